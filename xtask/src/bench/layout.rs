//! What stands in a namespace while its packets are measured.

use std::fmt::Write as _;

use anyhow::Result;
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use serde_json::{Map, Value, json};

/// The first port of every table.
pub(super) const FIRST: u16 = 10_000;

/// A way to meter ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// None at all.
    Nothing,
    /// pm's maps, made by `pm-monitor`, for so many ports, each with a quota.
    Maps(u16),
    /// Four rules a port, as section 5.1 of the specification has them.
    Linear(u16),
    /// Eight rules a port: port-traffic-dog's counters for TCP and UDP in `input`, `output` and twice in `forward`.
    Eight(u16),
    /// The same with a quota, whose rules stand in front, and counted twice, as port-traffic-dog bills relays.
    TwentyFour(u16),
}

impl Layout {
    /// Over how many ports the packets are spread.
    pub(super) fn ports(self) -> u16 {
        match self {
            Self::Nothing => 1,
            Self::Maps(ports) | Self::Linear(ports) | Self::Eight(ports) | Self::TwentyFour(ports) => ports,
        }
    }

    /// Sets it up.
    pub(super) fn stand_in(self, namespace: &Namespace) -> Result<()> {
        let text = match self {
            Self::Nothing => return Ok(()),
            Self::Maps(ports) => {
                let machine = Machine::new(namespace);
                machine.write_config(&config(ports).to_string());
                machine.minute();
                return Ok(());
            }
            Self::Linear(ports) => linear(ports)?,
            Self::Eight(ports) => dog(ports, false)?,
            Self::TwentyFour(ports) => dog(ports, true)?,
        };
        load(namespace, &text)
    }
}

/// Loads text with nft, however large it is.
pub(super) fn load(namespace: &Namespace, text: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, text)?;
    namespace.run_for(&["nft", "-f", &file.path().to_string_lossy()], std::time::Duration::from_mins(5));
    Ok(())
}

/// A configuration with so many ports, each with a quota and a rate penalty.
pub(super) fn config(ports: u16) -> Value {
    config_with(ports, 0)
}

/// The same with a limit for each port, in Mbit/s; 0 for none.
pub(super) fn config_with(ports: u16, limit: u32) -> Value {
    let entry = |port: u16| {
        let settings = json!({
            "quota_gb": 10_000, "quota_mode": "both", "limit_mbps": limit, "reset_day": 1,
            "comment": format!("tenant {port}"),
            "dyn_limit": {
                "enable": true, "trigger_mbps": 1000, "trigger_time": 5, "punish_mbps": 5, "punish_time": 60
            }
        });
        (port.to_string(), settings)
    };
    let ports: Map<String, Value> = (FIRST..FIRST + ports).map(entry).collect();
    json!({ "interface": "", "ports": ports })
}

fn linear(ports: u16) -> Result<String> {
    let mut text = String::from("table inet port_monitor {\nset blocked_ports { type inet_service; }\n");
    for port in FIRST..FIRST + ports {
        writeln!(text, "counter cnt_in_{port} {{ }}\ncounter cnt_out_{port} {{ }}")?;
    }
    for (hook, side, name) in [("input", "dport", "in"), ("output", "sport", "out")] {
        writeln!(text, "chain {hook} {{ type filter hook {hook} priority -5;")?;
        for transport in ["tcp", "udp"] {
            writeln!(text, "{transport} {side} @blocked_ports drop")?;
        }
        for port in FIRST..FIRST + ports {
            let mark = if hook == "output" { format!(" meta mark set {port}") } else { String::new() };
            for transport in ["tcp", "udp"] {
                writeln!(text, "{transport} {side} {port} counter name cnt_{name}_{port}{mark}")?;
            }
        }
        text.push_str("}\n");
    }
    text.push_str("}\n");
    Ok(text)
}

/// The layout of port-traffic-dog: in `forward`, either direction of a port. Billed twice means that each counting rule
/// stands twice.
fn dog(ports: u16, with_quota_and_twice: bool) -> Result<String> {
    let mut text = String::from("table inet dog {\n");
    for port in FIRST..FIRST + ports {
        writeln!(text, "counter port_{port}_in {{ }}\ncounter port_{port}_out {{ }}")?;
        if with_quota_and_twice {
            writeln!(text, "quota port_{port}_quota {{ over 10000000 mbytes }}")?;
        }
    }
    let (inward, outward) = (("dport", "in"), ("sport", "out"));
    let hooks = [("input", &[inward][..]), ("output", &[outward][..]), ("forward", &[inward, outward][..])];
    for (hook, sides) in hooks {
        writeln!(text, "chain {hook} {{ type filter hook {hook} priority filter;")?;
        let mut rules = |statement: &dyn Fn(u16, &str) -> String| -> Result<()> {
            for port in FIRST..FIRST + ports {
                for (side, name) in sides {
                    for transport in ["tcp", "udp"] {
                        writeln!(text, "{transport} {side} {port} {}", statement(port, name))?;
                    }
                }
            }
            Ok(())
        };
        if with_quota_and_twice {
            rules(&|port, _| format!("quota name port_{port}_quota drop"))?;
            rules(&|port, name| format!("counter name port_{port}_{name}"))?;
        }
        rules(&|port, name| format!("counter name port_{port}_{name}"))?;
        text.push_str("}\n");
    }
    text.push_str("}\n");
    Ok(text)
}
