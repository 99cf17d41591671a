//! A program that runs with a deadline, or in the background until it is dropped.

use std::fmt::Display;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;

use crate::pace;

/// Where tools are looked for: a login's PATH may lack the folders of nft and ip.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How often something that has no better signal is looked at again.
const GLANCE: Duration = Duration::from_millis(5);

/// The value, or a panic with a sentence that says what could not be done.
#[track_caller]
pub fn must<T, E: Display>(result: Result<T, E>, what: impl Display) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Waits until `ready` yields something, and panics with `what` when it has not within `patience`.
#[track_caller]
pub fn until<T>(what: impl Display, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let patience = pace::patience(patience);
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::sleep(GLANCE);
    }
}

/// What a program left behind when it ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command line, for the messages of failed assertions.
    pub command: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
}

impl Finished {
    /// Itself, when the program ended with code 0; a panic that shows everything otherwise.
    #[track_caller]
    #[expect(
        clippy::return_self_not_must_use,
        reason = "the check is the point; what was printed is often of no interest"
    )]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

impl Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr } = self;
        write!(f, "`{command}` ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Runs a program to its end and captures what it prints; past the deadline it is killed and the test fails.
#[track_caller]
pub fn run(command: Command, patience: Duration) -> Finished {
    let mut background = Background::spawn(command);
    match background.wait(patience) {
        Some(finished) => finished,
        None => panic!("`{}` did not end within {patience:?}: {}", background.line, background.seen()),
    }
}

/// A program in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Background {
    pub(crate) line: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Background {
    /// Starts the program with nothing on its standard input.
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let line = words(&command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = must(command.spawn(), format_args!("cannot start `{line}`"));
        let stdout = Stream::of(child.stdout.take());
        let stderr = Stream::of(child.stderr.take());
        Self { line, child, stdout, stderr }
    }

    /// Waits for the end of the program; `None` when it still runs after `patience`.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> Option<Finished> {
        let deadline = Instant::now() + pace::patience(patience);
        loop {
            if let Some(status) = self.ended() {
                let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
                return Some(Finished { command: self.line.clone(), code: status.code(), stdout, stderr });
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(GLANCE);
        }
    }

    /// Whether it still runs.
    #[track_caller]
    pub fn runs(&mut self) -> bool {
        self.ended().is_none()
    }

    /// Sends a signal to the program.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        must(
            rustix::process::kill_process(pid(&self.child), signal),
            format_args!("cannot signal `{}`", self.line),
        );
    }

    /// Kills the program and returns what it had printed.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.kill();
        self.stdout.finish()
    }

    /// What the program has printed so far, on both streams.
    pub fn seen(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Process number, for `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    fn ended(&mut self) -> Option<ExitStatus> {
        must(self.child.try_wait(), format_args!("cannot wait for `{}`", self.line))
    }

    fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One output stream, read by a thread so that the program never blocks on a full pipe.
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = pipe.map(|mut pipe| {
            thread::spawn(move || {
                let mut block = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut block) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&block[..count]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

#[track_caller]
fn pid(child: &Child) -> rustix::process::Pid {
    let number = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    must(number.ok_or("no such number"), "a process number")
}

fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}
