//! Standard input: a terminal, a pipe or a file.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::menu::input::{Input, Typed};

/// No answer is longer. What is, is cut here, and refused by whoever reads it.
const LONGEST: usize = 64 << 10;

/// Reads standard input, and hears the signals that end a program.
pub(crate) struct Keyboard {
    /// A signal makes it readable.
    signals: UnixStream,
    lines: VecDeque<Vec<u8>>,
    partial: Vec<u8>,
    ended: bool,
    hidden: Option<Hidden>,
}

enum Heard {
    Input,
    Nothing,
    Signal,
}

impl Keyboard {
    /// From now on, Ctrl-C is an answer like any other, so that it finds no change half made.
    pub(crate) fn new() -> io::Result<Self> {
        let (signals, writer) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { signals, lines: VecDeque::new(), partial: Vec::new(), ended: false, hidden: None })
    }

    fn wait(&self, deadline: Option<Instant>) -> io::Result<Heard> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let input = io::stdin();
            let mut watched = [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
            match poll(&mut watched, timeout.as_ref()) {
                // The signal itself interrupts, and is in its stream by then.
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let [signal, typed] = watched.map(|watched| !watched.revents().is_empty());
            match (signal, typed) {
                (true, _) => return Ok(Heard::Signal),
                (_, true) => return Ok(Heard::Input),
                _ => {}
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Heard::Nothing);
            }
        }
    }

    /// Takes what there is.
    fn take(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let length = match rustix::io::read(io::stdin(), &mut chunk) {
            Ok(length) => length,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            // The terminal is gone.
            Err(Errno::IO) => 0,
            Err(error) => return Err(error.into()),
        };
        self.ended = length == 0;
        for &byte in &chunk[..length] {
            if byte == b'\n' {
                self.lines.push_back(std::mem::take(&mut self.partial));
            } else if self.partial.len() < LONGEST {
                self.partial.push(byte);
            }
        }
        Ok(())
    }
}

impl Input for Keyboard {
    fn hide(&mut self, hidden: bool) {
        // What was hidden is shown again first, so that the terminal ends as it was.
        self.hidden = None;
        self.hidden = hidden.then(Hidden::begin).flatten();
    }

    fn read(&mut self, patience: Option<Duration>) -> io::Result<Typed> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Typed::Line(line));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.partial);
                return Ok(if rest.is_empty() { Typed::End } else { Typed::Line(rest) });
            }
            match self.wait(deadline)? {
                Heard::Input => self.take()?,
                Heard::Nothing => return Ok(Typed::Nothing),
                Heard::Signal => {
                    self.ended = true;
                    self.partial.clear();
                }
            }
        }
    }
}

/// A terminal that does not show what is typed, for as long as this lives.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> Option<Self> {
        let input = io::stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(&input).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nobody is left to be told when the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
