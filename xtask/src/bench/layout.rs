//! What stands in a namespace while its packets are measured.

use std::fmt::Write as _;

use anyhow::Result;
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use serde_json::{Map, Value, json};

/// The first port of every table.
pub(super) const FIRST: u16 = 10_000;

/// A way to meter ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// None at all.
    Nothing,
    /// pm's maps, made by `pm-monitor`, for so many ports.
    Maps(u16),
    /// Four rules a port, as section 5.1 of the specification has them.
    Linear(u16),
}

impl Layout {
    /// Everything that is measured.
    pub(super) const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Maps(1),
        Self::Maps(100),
        Self::Maps(1_000),
        Self::Maps(10_000),
        Self::Linear(1),
        Self::Linear(10),
        Self::Linear(100),
        Self::Linear(1_000),
    ];

    /// Over how many ports the packets are spread.
    pub(super) fn ports(self) -> u16 {
        match self {
            Self::Nothing => 1,
            Self::Maps(ports) | Self::Linear(ports) => ports,
        }
    }

    /// Sets it up.
    pub(super) fn stand_in(self, namespace: &Namespace) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Maps(ports) => {
                let machine = Machine::new(namespace);
                machine.write_config(&config(ports).to_string());
                machine.minute();
            }
            Self::Linear(ports) => {
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(&file, linear(ports)?)?;
                namespace.run(&["nft", "-f", &file.path().to_string_lossy()]);
            }
        }
        Ok(())
    }
}

/// A configuration with so many ports, each with a quota and a rate penalty.
pub(super) fn config(ports: u16) -> Value {
    let entry = |port: u16| {
        let settings = json!({
            "quota_gb": 10_000, "quota_mode": "both", "limit_mbps": 0, "reset_day": 1,
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
