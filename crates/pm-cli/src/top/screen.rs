//! The whole terminal, given back as it was on every way out: leaving, stopping, an error, a signal, a panic.

use std::io::{self, Stdout, stdout};
use std::panic;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use rustix::process::{Signal, kill_current_process_group};

/// A terminal in raw mode with a screen of its own.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        // The release aborts on a panic, so nothing but the hook is left to give the terminal back.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        Ok(Self { terminal: take()? })
    }

    /// Stops the program as Ctrl-Z stops any other, until its shell goes on with it.
    pub(crate) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // The whole group, as the terminal itself does it: whoever runs this for somebody, such as sudo, stops too.
        kill_current_process_group(Signal::TSTP)?;
        self.take_again()
    }

    /// Takes the terminal after others had it. The next picture is drawn whole.
    pub(crate) fn take_again(&mut self) -> io::Result<()> {
        self.terminal = take()?;
        Ok(())
    }

    /// Draws a picture; only what differs from the last one is sent.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    // Raw mode that was taken away from outside counts as on, and would not be set again.
    disable_raw_mode()?;
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide)
        .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())))
        .inspect_err(|_| give_back())
}

fn give_back() {
    // Where this fails, the terminal is gone.
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::time::Duration;

    use expectrl::process::unix::UnixProcess;
    use expectrl::{Eof, Expect, Session};

    use super::*;

    /// Runs this very test once more, as a program on a terminal.
    const SHELL: &str = r#"before=$(stty -g)
"$PROGRAM" --exact top::screen::tests::a_panic_gives_the_terminal_back --nocapture
[ "$before" = "$(stty -g)" ] && echo "the terminal is as it was""#;

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if env::var_os("PROGRAM").is_some() {
            let mut screen = Screen::open().unwrap();
            screen.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            // In the release nothing is dropped after a panic.
            std::mem::forget(screen);
            panic!("told afterwards");
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL]).env("PROGRAM", env::current_exe().unwrap()).env("TERM", "xterm-256color");
        let mut session = Session::spawn(shell).unwrap();
        session.set_expect_timeout(Some(Duration::from_secs(30)));
        let process: &mut UnixProcess = session.get_process_mut();
        process.set_window_size(80, 24).unwrap();
        for text in ["drawn", "\u{1b}[?1049l", "\u{1b}[?25h", "told afterwards", "the terminal is as it was"]
        {
            assert!(session.expect(text).is_ok(), "`{text}` did not appear");
        }
        session.expect(Eof).unwrap();
    }
}
