//! The live view of the real program on a real terminal.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test is told by its place")]

use std::process::{Command, Stdio};
use std::time::Duration;

use expectrl::process::unix::UnixProcess;
use expectrl::session::OsSession;
use expectrl::{ControlCode, Eof, Expect, Session};
use tempfile::TempDir;

/// How long a slow machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program as a shell does, and tells whether it left the terminal as it found it. The shell itself does not
/// mind Ctrl-C.
const SHELL: &str = r#"trap : INT
before=$(stty -g)
"$PM" --lang en top
echo "status=$?"
[ "$before" = "$(stty -g)" ] && echo "the terminal is as it was""#;

/// The same in a shell that goes on when the program stops, and then with it.
const JOBS: &str = r#"set -m
before=$(stty -g)
"$PM" --lang en top
echo "stopped=$?"
[ "$before" = "$(stty -g)" ] && echo "the terminal is free"
fg
echo "status=$?"
[ "$before" = "$(stty -g)" ] && echo "the terminal is as it was""#;

/// How a terminal is told to go back to its first screen, and to show its cursor again.
const GIVEN_BACK: [&str; 2] = ["\u{1b}[?1049l", "\u{1b}[?25h"];

struct Terminal {
    session: OsSession,
    _folder: TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self::with(SHELL)
    }

    fn with(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("etc/port_monitor/config.json");
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        std::fs::write(&config, r#"{"ports": {"10086": {"quota_gb": 10, "comment": "Snell"}}}"#).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PM", env!("CARGO_BIN_EXE_pm")).env("PM_ROOT", folder.path());
        shell.env("TERM", "xterm-256color").env_remove("PM_LANG").env_remove("NO_COLOR");
        let mut session = Session::spawn(shell).unwrap();
        session.set_expect_timeout(Some(PATIENCE));
        let process: &mut UnixProcess = session.get_process_mut();
        process.set_window_size(100, 30).unwrap();
        Self { session, _folder: folder }
    }

    /// Waits for a text, and returns what came before it.
    fn sees(&mut self, text: &str) -> String {
        match self.session.expect(text) {
            Ok(seen) => String::from_utf8_lossy(seen.before()).into_owned(),
            Err(error) => panic!("`{text}` did not appear: {error}"),
        }
    }

    fn left_cleanly(&mut self) {
        let last = self.sees("status=0");
        for sequence in GIVEN_BACK {
            assert!(last.contains(sequence), "{sequence:?} is not in {last:?}");
        }
        self.sees("the terminal is as it was");
        self.session.expect(Eof).unwrap();
    }

    /// The process that the shell started.
    fn program(&self) -> String {
        let shell = self.session.get_process().pid();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.trim().to_owned()
    }
}

#[test]
fn q_escape_and_ctrl_c_give_the_terminal_back() {
    for key in [ControlCode::EndOfText, ControlCode::Escape] {
        let mut terminal = Terminal::new();
        terminal.sees("Snell");
        terminal.session.send(key).unwrap();
        terminal.left_cleanly();
    }
    let mut terminal = Terminal::new();
    terminal.sees("Snell");
    terminal.session.send("/nobody\r").unwrap();
    terminal.sees("no port matches");
    terminal.session.send("q").unwrap();
    terminal.left_cleanly();
}

#[test]
fn a_signal_gives_the_terminal_back() {
    for signal in ["-TERM", "-HUP"] {
        let mut terminal = Terminal::new();
        terminal.sees("Snell");
        let program = terminal.program();
        assert!(Command::new("kill").args([signal, &program]).status().unwrap().success());
        terminal.left_cleanly();
    }
}

#[test]
fn ctrl_z_gives_the_terminal_to_the_shell_until_it_goes_on() {
    let mut terminal = Terminal::with(JOBS);
    terminal.sees("Snell");
    terminal.session.send(ControlCode::Substitute).unwrap();
    let last = terminal.sees("stopped=");
    for sequence in GIVEN_BACK {
        assert!(last.contains(sequence), "{sequence:?} is not in {last:?}");
    }
    terminal.sees("the terminal is free");
    terminal.sees("Snell");
    terminal.session.send("q").unwrap();
    terminal.left_cleanly();
}

#[test]
fn whoever_stops_it_from_outside_finds_it_drawn_again_afterwards() {
    let mut terminal = Terminal::with(JOBS);
    terminal.sees("Snell");
    let program = terminal.program();
    assert!(Command::new("kill").args(["-STOP", &program]).status().unwrap().success());
    terminal.sees("stopped=");
    terminal.sees("Snell");
    terminal.session.send("q").unwrap();
    terminal.left_cleanly();
}

#[test]
fn where_there_is_no_terminal_it_says_so_and_where_there_are_no_eyes_too() {
    let run = |words: &[&str]| {
        let mut pm = Command::new(env!("CARGO_BIN_EXE_pm"));
        pm.args(words).env("PM_ROOT", "/nonexistent").env("PM_LANG", "en").stdin(Stdio::null());
        let output = pm.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run(&["top"]);
    assert_eq!((status, said.contains("pm list --json")), (Some(1), true), "{said}");
    let (status, said) = run(&["top", "--json"]);
    assert_eq!((status, said.contains("pm list --json")), (Some(2), true), "{said}");
}
