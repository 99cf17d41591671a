//! What a `config.json` of v4.3 says: the rows of the panel, what nobody can have meant, and what a broken one is
//! refused with.
//!
//! `cargo run -p pm-core --example read_config`
#![expect(clippy::print_stdout, reason = "this example is for reading")]

use std::error::Error;

use jiff::civil::date;
use jiff::tz::TimeZone;
use pm_core::units::Bytes;
use pm_core::view::Overview;
use pm_core::wire::{decode, encode};

const FILE: &str = r#"{
  "interface": "eth0",
  "ports": {
    "10086": {
      "quota_gb": 10, "quota_mode": "both", "limit_mbps": 100, "reset_day": 1, "last_reset_ts": 1767225600,
      "comment": "Snell",
      "stats": { "acc_in": 1073741824, "acc_out": 3436003328, "last_kernel_in": 50000000, "last_kernel_out": 80000000 },
      "dyn_limit": { "enable": false },
      "notify_state": { "quota_level": 0, "punish_notified": false, "recover_notified": true }
    },
    "20000": {
      "quota_gb": 5, "quota_mode": "out_only", "limit_mbps": 0, "reset_day": 0, "comment": "SS",
      "stats": { "acc_in": 9000000000, "acc_out": 5368709120 },
      "dyn_limit": { "enable": false }, "a_field_of_tomorrow": [1, 2, 3]
    },
    "30000": {
      "quota_gb": 10, "quota_mode": "in_out", "limit_mbps": 0, "comment": "VMess",
      "stats": { "acc_in": 3489660928, "acc_out": 3489660928 },
      "dyn_limit": { "enable": true, "trigger_mbps": 100, "trigger_time": 5, "punish_mbps": 5, "punish_time": 60,
                     "is_punished": true, "strike_count": 0, "punish_end_ts": 1768047000 }
    },
    "40000": { "quota_gb": 0, "comment": "Trojan" }
  }
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let now = date(2026, 1, 10).at(12, 0, 0, 0).to_zoned(TimeZone::UTC)?;
    let decoded = decode(FILE.as_bytes())?;
    let snapshot = &decoded.snapshot;

    for view in Overview::of(&snapshot.config, &snapshot.state, &now).ports {
        let used = if view.blocked { "blocked".to_owned() } else { view.used_bytes.to_string() };
        let quota = view.quota_bytes.map_or("unlimited".to_owned(), Bytes::exact);
        let speed = view.effective_limit.map_or("no limit".to_owned(), |rate| rate.to_string());
        let speed = if view.punished { speed + " (penalty)" } else { speed };
        println!("{:<8} {:<9} {used:>8} / {quota:<9} {speed:<18} {}", view.port, view.mode, view.comment);
    }
    for warning in &decoded.warnings {
        println!("note: {warning}");
    }

    let written = String::from_utf8(encode(snapshot))?;
    println!(
        "\nWritten back, it still has the field of tomorrow: {}",
        written.contains("a_field_of_tomorrow")
    );

    let broken = FILE.replacen("\"quota_gb\": 10", "\"quota_gb\": \"ten\"", 1);
    if let Err(error) = decode(broken.as_bytes()) {
        println!("A broken one is refused: {error}");
    }
    Ok(())
}
