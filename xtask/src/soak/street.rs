//! A machine with two hundred tenants, one in ten of whom has traffic that can be paused.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pm_tests::machine::Machine;
use pm_tests::namespace::Namespace;
use pm_tests::network::Family;
use pm_tests::process::{Background, until};
use pm_tests::traffic::udp_sink;
use pm_tests::witness::{BEFORE, Point, Witness};
use serde_json::{Value, json};

pub(super) const PORTS: u16 = 200;
/// The ports that have traffic.
pub(super) const BUSY: u16 = 20;
pub(super) const FIRST: u16 = 20_000;

/// Datagrams to one port in a turn, and the bytes of each with its headers.
const TURN: u64 = 50;
const DATAGRAM: u64 = 1000 + 28;

const PATIENCE: Duration = Duration::from_mins(1);

/// The tenants, and a witness of what each of them is sent.
pub(super) struct Street<'a> {
    pub(super) machine: &'a Machine<'a>,
    client: &'a Namespace,
    witness: Witness<'a>,
    _sinks: Vec<Background>,
    closed: AtomicBool,
    pause: AtomicBool,
    pausing: AtomicBool,
    turns: AtomicU64,
}

/// The bytes of every busy port at one moment, in their order.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// What was sent, as the senders' own machine counted it.
    pub(super) sent: Vec<u64>,
    /// What the saved accounts hold.
    pub(super) saved: Vec<u64>,
}

impl<'a> Street<'a> {
    /// Moves everybody in. The witness stands with those who send, so nothing that befalls the machine reaches it.
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
        Self {
            machine,
            client,
            witness,
            _sinks: sinks,
            closed: AtomicBool::new(false),
            pause: AtomicBool::new(false),
            pausing: AtomicBool::new(false),
            turns: AtomicU64::new(0),
        }
    }

    /// Sends datagrams to every busy port, in turns, until the street is closed.
    pub(super) fn send(&self) {
        let (last, step) = (FIRST + PORTS - 1, PORTS / BUSY);
        let to = Family::V4.host();
        let turn = format!(
            "for port in $(seq {FIRST} {step} {last}); do dd if=/dev/zero bs=1000 count={TURN} status=none > /dev/udp/{to}/$port; done"
        );
        while self.is_open() {
            let pause = self.pause.load(Ordering::SeqCst);
            self.pausing.store(pause, Ordering::SeqCst);
            if pause {
                thread::sleep(Duration::from_millis(5));
            } else {
                self.client.bash(&turn);
                self.turns.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.pausing.store(true, Ordering::SeqCst);
    }

    /// Whether anything goes on.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// Ends everything that goes on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Nothing is sent any more, and nothing is on its way.
    pub(super) fn pause(&self) {
        self.pause.store(true, Ordering::SeqCst);
        until("the senders pause", PATIENCE, || self.pausing.load(Ordering::SeqCst).then_some(()));
    }

    /// Traffic again.
    pub(super) fn resume(&self) {
        self.pause.store(false, Ordering::SeqCst);
    }

    /// While everything pauses: what was sent and what is saved, after a minute of the monitor's that began since.
    pub(super) fn settled(&self) -> Result<Moment> {
        // A datagram that was sent is at the other end of the cable when its sender goes on, or a moment later.
        self.witness.settled(&name(FIRST));
        for _ in 0..2 {
            let before = self.last_run();
            until("a minute of the monitor", PATIENCE, || (self.last_run() > before).then_some(()));
        }
        let moment = Moment { sent: self.sent()?, saved: self.saved()? };
        let all = self.turns.load(Ordering::SeqCst) * TURN * DATAGRAM;
        ensure!(moment.sent.iter().all(|&sent| sent == all), "the senders sent {all} bytes each: {moment:?}");
        Ok(moment)
    }

    /// What was sent to every busy port so far.
    pub(super) fn sent(&self) -> Result<Vec<u64>> {
        let tallies = self.witness.all();
        busy().map(|port| tallies.get(&name(port)).map(|tally| tally.bytes).context("no witness")).collect()
    }

    /// What the accounts of every busy port hold in the file.
    pub(super) fn saved(&self) -> Result<Vec<u64>> {
        let config = self.machine.config();
        let account = |port: u16| config["ports"][port.to_string()]["stats"]["acc_in"].as_u64();
        busy().map(|port| account(port).with_context(|| format!("port {port} has no account"))).collect()
    }

    fn last_run(&self) -> Option<u64> {
        self.machine.config()["monitor"]["last_run_ts"].as_u64()
    }
}

/// The ports that have traffic.
fn busy() -> impl Iterator<Item = u16> {
    (FIRST..FIRST + PORTS).step_by(usize::from(PORTS / BUSY))
}

fn name(port: u16) -> String {
    format!("p{port}")
}
