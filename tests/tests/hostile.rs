//! A local user without rights, files that somebody else wrote, and servers that lie: none of them gets further than
//! `docs/security.md` says.

use std::time::Duration;

use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::process::run;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

/// What erases the screen, fills the clipboard, moves the cursor, switches colours by a C1 byte, turns text around, and
/// cannot be seen.
const STEERING: &str =
    "R\u{1b}[2J\u{1b}]52;c;aGk=\u{7}B\u{8}\u{9b}31mC\u{202e}X\u{61c}Y\u{200b}Z\u{2066}W\nN\rM\u{ad}\u{e0041}";

/// What of it a terminal was sent as it is. Colours and line ends are pm's own.
fn raw(shown: &str) -> Vec<char> {
    let plain = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\r\n"]
        .iter()
        .fold(shown.to_owned(), |text, own| text.replace(own, ""));
    let steers = |c: &char| c.is_control() || "\u{202e}\u{61c}\u{200b}\u{2066}\u{ad}\u{e0041}".contains(*c);
    plain.chars().filter(steers).collect()
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn nothing_that_a_file_holds_steers_the_terminal() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let mut config = machine.config();
    config["interface"] = json!(format!("lo{STEERING}"));
    config["ports"]["10086"]["comment"] = json!(STEERING);
    config["ports"]["10086"]["limit_mbps"] = json!(5);
    config["ports"]["10086"]["group_id"] = json!("g\u{202e}\u{61c}");
    config["telegram"] = json!({
        "enable": true, "bot_token": "123456789:ABCdefGHIjklMNOpqrSTUvwxyz-_0", "chat_id": STEERING,
        "api_url": format!("http://127.0.0.1:9/{STEERING}"), "proxy": format!("socks5://u:p@{STEERING}"),
    });
    let url = format!("http://127.0.0.1:9/{STEERING}");
    config["channels"] =
        json!([{"name": format!("c{STEERING}"), "type": "webhook", "enable": true, "url": url}]);
    config["update"] = json!({"url": format!("https://{STEERING}"), "public_key": STEERING});
    config[STEERING] = json!(STEERING);
    let config = config.to_string();

    let pm = format!("{} --root {}", binary("pm").display(), machine.root().display());
    let mut commands: Vec<String> = ["list", "show 10086", "doctor", "telegram show", "report"]
        .iter()
        .flat_map(|command| [(*command).to_owned(), format!("{command} --json")])
        .collect();
    commands.extend(
        ["telegram test", "report --send", "set 10086 --quota 2 --json", "--monitor", "export", "update"]
            .map(str::to_owned),
    );
    commands.extend([format!("'frob{STEERING}'"), format!("set 10086 --quota '{STEERING}'")]);
    for command in commands {
        machine.write_config(&config);
        let mut terminal = host.command("script");
        terminal.args(["-qec", &format!("{pm} {command}"), "/dev/null"]);
        let shown = run(terminal, PATIENCE).stdout;
        assert!(shown.len() > 20, "{command:?} said nothing: {shown:?}");
        assert_eq!(raw(&shown), [], "{command:?}: {shown:?}");
    }
}
