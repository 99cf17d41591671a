//! The menu of the real program on a real terminal.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test is told by its place")]

use std::process::Command;
use std::time::Duration;

use expectrl::process::unix::UnixProcess;
use expectrl::session::OsSession;
use expectrl::{ControlCode, Eof, Expect, Session};
use tempfile::TempDir;

/// How long a slow machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program as a shell does, and tells whether it left the terminal as it found it. The shell itself does not
/// mind Ctrl-C. A terminal of the test's library shows nothing that is typed, unlike those that people sit at.
const SHELL: &str = r#"trap : INT
stty echo
before=$(stty -g)
"$PM" $WORDS
echo "status=$?"
[ "$before" = "$(stty -g)" ] && echo "the terminal is as it was""#;

struct Terminal {
    session: OsSession,
    folder: TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self::running("")
    }

    /// With these words on the command line.
    fn running(words: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SHELL])
            .env("PM", env!("CARGO_BIN_EXE_pm"))
            .env("PM_ROOT", folder.path())
            .env("WORDS", words);
        shell.env("TERM", "xterm-256color").env_remove("PM_LANG").env_remove("NO_COLOR");
        let mut session = Session::spawn(shell).unwrap();
        session.set_expect_timeout(Some(PATIENCE));
        let process: &mut UnixProcess = session.get_process_mut();
        process.set_window_size(100, 40).unwrap();
        Self { session, folder }
    }

    /// Waits for a text, and returns what came before it.
    fn sees(&mut self, text: &str) -> String {
        match self.session.expect(text) {
            Ok(seen) => String::from_utf8_lossy(seen.before()).into_owned(),
            Err(error) => panic!("`{text}` did not appear: {error}"),
        }
    }

    fn types(&mut self, line: &str) {
        self.session.send_line(line).unwrap();
    }

    fn left_cleanly(&mut self) {
        self.ended_with(0);
    }

    fn ended_with(&mut self, status: i32) {
        self.sees(&format!("status={status}"));
        self.sees("the terminal is as it was");
        self.session.expect(Eof).unwrap();
    }
}

#[test]
fn q_ctrl_c_and_ctrl_d_leave_with_the_terminal_as_it_was() {
    for prompts in [&[][..], &[("1", "[ID/M/0]: ")], &[("4", "请输入选项: "), ("1", "(输入时不显示): ")]]
    {
        for key in [None, Some(ControlCode::EndOfText), Some(ControlCode::EndOfTransmission)] {
            let mut terminal = Terminal::new();
            terminal.sees("请输入选项: ");
            for (item, prompt) in prompts {
                terminal.types(item);
                terminal.sees(prompt);
            }
            match key {
                None => terminal.types("q"),
                Some(key) => terminal.session.send(key).unwrap(),
            }
            terminal.left_cleanly();
        }
    }
}

#[test]
fn a_token_is_not_shown_while_it_is_typed() {
    let mut terminal = Terminal::new();
    terminal.sees("请输入选项: ");
    terminal.types("4");
    terminal.sees("请输入选项: ");
    terminal.types("1");
    terminal.sees("(输入时不显示): ");
    terminal.types("not-a-token");
    let shown = terminal.sees("(输入时不显示): ");
    assert!(!shown.contains("not-a-token"), "{shown}");
    terminal.types("q");
    terminal.left_cleanly();
}

#[test]
fn a_token_is_asked_for_unseen_and_ctrl_c_leaves_the_terminal_as_it_was() {
    let (token, chat) = ("(输入时不显示): ", "@频道名): ");
    let mut terminal = Terminal::running("telegram set");
    terminal.sees(token);
    terminal.types("no-token-but-secret");
    let mut shown = terminal.sees(chat);
    terminal.types("42");
    shown += &terminal.sees("this is not the token of a bot");
    assert!(!shown.contains("secret") && shown.contains("42"), "{shown}");
    terminal.ended_with(1);

    for prompts in [&[token][..], &[token, chat]] {
        let mut terminal = Terminal::running("telegram set");
        terminal.sees(token);
        for prompt in &prompts[1..] {
            terminal.types("no-token");
            terminal.sees(prompt);
        }
        terminal.session.send(ControlCode::EndOfText).unwrap();
        terminal.sees("nothing was changed");
        terminal.ended_with(1);
        assert!(!terminal.folder.path().join("etc").exists(), "nothing was written");
    }
}

#[test]
fn what_is_typed_stays_while_the_panel_is_drawn_anew() {
    let mut terminal = Terminal::new();
    terminal.sees("请输入选项: ");
    terminal.session.send("4").unwrap();
    // Somebody else adds a port: the panel shows it without anybody asking, and the 4 still waits for its end.
    let config = terminal.folder.path().join("etc/port_monitor/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, r#"{"ports": {"10086": {"quota_gb": 10, "comment": "Snell"}}}"#).unwrap();
    terminal.sees("Snell");
    terminal.types("");
    terminal.sees("Telegram 通知配置");
    terminal.types("0");
    terminal.sees("请输入选项: ");
    terminal.types("0");
    terminal.left_cleanly();
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_port_is_added_configured_and_deleted_by_hand() {
    let mut terminal = Terminal::new();
    terminal.sees("请输入选项: ");
    for (answer, prompt) in [
        ("1", "[ID/M/0]: "),
        ("M", "20000-20100): "),
        ("１００８６", "(纯数字, GB): "),
        ("0", "(纯数字, GB): "),
        ("10", "[1/2]: "),
        ("1", "0为不限速): "),
        ("", "0为不自动重置): "),
        ("1", "备注信息: "),
        ("Snell", "添加成功!"),
        ("2", "ID > "),
        ("1", "请输入选项: "),
        ("5", "[输入 - 清空]: "),
        ("家用", "修改成功!"),
        ("0", "家用"),
        ("3", "要删除的端口 ID: "),
        ("1", "确定删除端口 10086 监控吗? [y/N]: "),
        ("y", "删除完成。"),
    ] {
        terminal.types(answer);
        terminal.sees(prompt);
    }
    terminal.types("0");
    terminal.left_cleanly();
}
