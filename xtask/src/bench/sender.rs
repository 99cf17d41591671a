//! A process that does something when it has its turn, and says how long it took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use pm_tests::namespace::Namespace;

use super::FLOOD;
use super::flood::Way;

pub(super) struct Sender {
    process: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Sender {
    /// Starts one for packets of so many ports, with the namespace at the other end if the way has one.
    pub(super) fn new(
        namespace: &Namespace,
        way: Way,
        first: u16,
        ports: u16,
        far: Option<&Namespace>,
    ) -> Result<Self> {
        let mut command = namespace.command("taskset");
        // Pinned to one processor: there, what a sender causes runs in its own time.
        command.args(["--cpu-list", "0"]).arg(std::env::current_exe()?);
        command.args(["bench", FLOOD, way.word(), &first.to_string(), &ports.to_string()]);
        command.args(far.map(|far| format!("/proc/{}/ns/net", far.id())));
        Self::of(command)
    }

    /// One that waits for lines on its standard input, and answers each with a number.
    pub(super) fn of(mut command: Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = process.stdin.take().context("a sender without an ear")?;
        let answer = BufReader::new(process.stdout.take().context("a sender without a voice")?);
        Ok(Self { process, ask, answer })
    }

    /// One turn: the nanoseconds that it took, for a packet if it sends packets.
    pub(super) fn slice(&mut self) -> Result<u64> {
        self.ask.write_all(b"go\n")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        line.trim().parse().context("it gave up when it had its turn")
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
