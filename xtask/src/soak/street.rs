//! A machine with two hundred tenants, one in ten of whom has traffic.

use anyhow::{Result, ensure};
use pm_tests::machine::{Machine, number};
use pm_tests::namespace::Namespace;
use pm_tests::network::Family;
use pm_tests::process::Background;
use pm_tests::traffic::udp_sink;
use pm_tests::witness::{BEFORE, Point, Witness};
use serde_json::{Value, json};

use crate::demo::grouped;

pub(super) const PORTS: u16 = 200;
/// The ports that have traffic.
pub(super) const BUSY: u16 = 20;
pub(super) const FIRST: u16 = 20_000;

/// The tenants, and a witness of what each of them is sent.
pub(super) struct Street<'a> {
    pub(super) machine: &'a Machine<'a>,
    witness: Witness<'a>,
    _sinks: Vec<Background>,
}

impl<'a> Street<'a> {
    /// Moves everybody in. The witness stands with those who send.
    pub(super) fn new(machine: &'a Machine<'a>, host: &Namespace, client: &'a Namespace) -> Self {
        let ports: serde_json::Map<String, Value> = (FIRST..FIRST + PORTS)
            .map(|port| (port.to_string(), json!({ "quota_gb": 100, "quota_mode": "both", "reset_day": 1 })))
            .collect();
        machine.write_config(&json!({ "ports": ports }).to_string());
        machine.minute();
        let names: Vec<(String, String)> =
            busy().map(|port| (name(port), format!("udp dport {port}"))).collect();
        let points: Vec<Point<'_>> = names
            .iter()
            .map(|(name, packets)| Point { name, hook: "output", priority: BEFORE, packets })
            .collect();
        let witness = Witness::new(client, &points);
        let sinks = busy().map(|port| udp_sink(host, port)).collect();
        Self { machine, witness, _sinks: sinks }
    }

    /// Compares every busy port with the witness, to the byte. Nothing may be on its way. Returns the bytes of all.
    pub(super) fn compare(&self) -> Result<u64> {
        let mut sum = 0;
        for port in busy() {
            let seen = self.witness.settled(&name(port)).bytes;
            let shown = number(&self.machine.show(&port.to_string()), "in_bytes");
            ensure!(
                seen == shown,
                "port {port}: {} bytes were sent, and pm says {}",
                grouped(seen),
                grouped(shown)
            );
            sum += seen;
        }
        Ok(sum)
    }
}

/// The ports that have traffic.
pub(super) fn busy() -> impl Iterator<Item = u16> {
    (FIRST..FIRST + PORTS).step_by(usize::from(PORTS / BUSY))
}

/// Datagrams to every busy port, in turns.
pub(super) fn send(client: &Namespace, goes_on: impl Fn() -> bool) {
    let (last, step) = (FIRST + PORTS - 1, PORTS / BUSY);
    let to = Family::V4.host();
    let round = format!(
        "for port in $(seq {FIRST} {step} {last}); do dd if=/dev/zero bs=1000 count=50 status=none > /dev/udp/{to}/$port; done"
    );
    while goes_on() {
        client.bash(&round);
    }
}

fn name(port: u16) -> String {
    format!("p{port}")
}
