//! Taking over from the script: figures from both of its generations, its files kept, and every way to stop half way.

use std::fs;

use pm_core::units::Bytes;

use super::{ALL, Bench, Notes, now};
use crate::schedule::Wish;

const SCRIPT: &str = "#!/bin/bash\nSCRIPT_VERSION=\"5.4.0\"\nCONFIG_DIR=/etc/port_monitor\n";
const CONFIG: &str = r#"{"config_version": 3, "interface": "eth0", "ports": {
  "443": {"quota_gb": 10, "quota_mode": "both", "group_id": "", "stats": {"acc_in": 1, "acc_out": 2},
    "dyn_limit": {"enable": true, "trigger_mbps": 100, "trigger_time": 5, "punish_mbps": 5, "punish_time": 60},
    "ip_limit": {"enable": false}},
  "8443": {"quota_gb": 10, "quota_mode": "out_only", "group_id": "家", "stats": {"acc_in": 3, "acc_out": 4}}},
  "push": {"enable": false}}"#;
const STATE: &str = "s_acc_in=6000000000\ns_acc_out=70\ns_last_k_in=0\ns_last_k_out=0\ns_last_reset_ts=1770000000\ns_strike=3\ns_is_punished=false\ns_quota_level=50\n";
const TABLE: &str = "0 1 * * * /a\n* * * * * /usr/local/bin/pm --monitor >> /var/log/port_monitor.log 2>&1\n";

impl Bench {
    /// A machine that the script runs.
    fn of_the_script() -> Self {
        let bench = Self::new(Notes::with(&ALL), true);
        *bench.system.crontab.borrow_mut() = Some(TABLE.into());
        for (path, text) in [
            ("usr/local/bin/pm", SCRIPT),
            ("etc/port_monitor/config.json", CONFIG),
            ("etc/port_monitor/state/443.txt", STATE),
            ("etc/port_monitor/state/999.txt", "s_acc_in=9\n"),
            ("tmp/pm_user_editing", ""),
        ] {
            let path = bench.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        bench
    }

    fn used(&self, port: &str) -> (Bytes, Bytes) {
        let view = self.runtime.block_on(self.machine().view(&now())).unwrap();
        let port = view.overview.port(port.parse().unwrap()).unwrap();
        (port.in_bytes, port.out_bytes)
    }
}

#[test]
fn figures_come_from_the_scripts_files_once_and_everything_is_kept() {
    let bench = Bench::of_the_script();
    let steps = bench.install(None);
    assert_eq!(steps, ["Program", "Program", "TakenOver", "Scheduled", "InForce"]);
    assert_eq!(bench.used("443"), (Bytes(6_000_000_000), Bytes(70)));
    assert_eq!(bench.used("8443"), (Bytes(3), Bytes(4)));
    let backup = "etc/port_monitor/before-pm-20260310-120000";
    assert_eq!(bench.text(&format!("{backup}/pm")), SCRIPT);
    assert_eq!(bench.text(&format!("{backup}/config.json")), CONFIG);
    assert_eq!(bench.text(&format!("{backup}/crontab")), TABLE);
    assert_eq!(bench.text(&format!("{backup}/state/443.txt")), STATE);
    assert!(!bench.path("etc/port_monitor/state").exists() && !bench.path("tmp/pm_user_editing").exists());
    assert_eq!(bench.system.crontab.borrow().as_deref(), Some(&b"0 1 * * * /a\n"[..]));
    let config = bench.text("etc/port_monitor/config.json");
    for kept in [
        "\"ip_limit\"",
        "\"push\"",
        "\"group_id\": \"家\"",
        "\"last_reset_ts\": 1770000000",
        "\"quota_level\": 50",
    ] {
        assert!(config.contains(kept), "{kept} is not in {config}");
    }
    assert_eq!(bench.install(None), ["NothingToDo"]);
}

#[test]
fn figures_that_cannot_be_read_stop_it_before_the_script_loses_its_place() {
    let bench = Bench::of_the_script();
    fs::write(bench.path("etc/port_monitor/state/443.txt"), "s_strike=1\ns_acc_in=$(id)\n").unwrap();
    let (refused, _) = bench.install_with(Wish::default(), true);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("443.txt, line 2") && refused.contains("s_acc_in=$(id)"), "{refused}");
    assert_eq!(
        (bench.text("usr/local/bin/pm"), bench.text("etc/port_monitor/config.json")),
        (SCRIPT.into(), CONFIG.into())
    );
    assert_eq!(bench.system.crontab.borrow().as_deref(), Some(TABLE.as_bytes()));
}

#[test]
fn one_that_was_cut_short_is_taken_up_again() {
    // The programs were in place already, but no minute had run.
    let bench = Bench::of_the_script();
    fs::write(bench.path("usr/local/bin/pm"), "the program pm of port_monitor").unwrap();
    bench.install(None);
    assert_eq!(bench.used("443"), (Bytes(6_000_000_000), Bytes(70)));

    // A minute of pm had run: what the files say is old.
    let bench = Bench::of_the_script();
    bench.install(None);
    let stale = bench.path("etc/port_monitor/state/443.txt");
    fs::create_dir_all(stale.parent().unwrap()).unwrap();
    fs::write(stale, "s_acc_in=1\n").unwrap();
    assert_eq!(bench.install(None), ["NothingToDo"]);
    assert_eq!(bench.used("443"), (Bytes(6_000_000_000), Bytes(70)));
}
