//! A local user without rights, files that somebody else wrote, and servers that lie: none of them gets further than
//! `docs/security.md` says.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use pm_tests::bot::{Bot, Manner};
use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::process::{Finished, must, run, until};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);
/// A user without rights.
const USER: u32 = 1000;
/// What such a user could put at a path.
const TRAPS: [&str; 6] = [
    "ln -s VICTIM PATH",
    "ln -s nowhere PATH",
    "mkfifo -m 666 PATH",
    "mkdir -p PATH/deep/er",
    "ln -s /dev/zero PATH",
    "touch PATH; chmod 666 PATH",
];

/// Runs a line of shell as somebody without rights; as ourselves where there is nobody else, in a user namespace.
fn as_a_user(host: &Namespace, line: &str) {
    let id = USER.to_string();
    let drop = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
    let shell = ["sh", "-c", line];
    let is_alone = host.try_run(&[&drop[..], &["true"]].concat()).code != Some(0);
    let words = if is_alone { shell.to_vec() } else { [&drop[..], &shell].concat() };
    host.run(&words);
}

fn mode(path: &Path) -> u32 {
    must(fs::symlink_metadata(path), path.display()).permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    must(fs::set_permissions(path, fs::Permissions::from_mode(mode)), path.display());
}

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

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn what_a_user_puts_into_a_folder_that_somebody_opened_is_no_trap() {
    let host = Namespace::new("host");
    let groups: [&[&str]; 3] = [
        &["etc/port_monitor/config.json"],
        &["var/run/pm.lock", "var/run/pm_cron.lock"],
        &[
            "etc/port_monitor/config.json.bak",
            "var/run/pm_tell.lock",
            "var/run/pm_nft.json",
            "var/run/pm_nft.new",
            "var/run/pm_tc.json",
            "var/run/pm_tc.new",
            "tmp/pm_user_editing",
        ],
    ];
    for (names, trap) in groups.into_iter().flat_map(|names| TRAPS.map(|trap| (names, trap))) {
        let machine = Machine::new(&host);
        let root = machine.root();
        machine.pm("add 10086 --quota 1");
        let victim = root.join("victim");
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::write(&victim, "{}").unwrap();
        set_mode(&victim, 0o644);
        for folder in ["", "etc/port_monitor", "var/run", "tmp"] {
            set_mode(&root.join(folder), 0o777);
        }
        let lines = names.iter().map(|name| {
            let path = root.join(name).display().to_string();
            let line = format!("rm -rf PATH && {trap}").replace("VICTIM", &victim.display().to_string());
            line.replace("PATH", &path)
        });
        as_a_user(&host, &lines.collect::<Vec<_>>().join("\n"));

        // Whether each succeeds depends on what the path is for; all of them end.
        for finished in [
            machine.try_pm("set 10086 --quota 2"),
            machine.try_minute(),
            machine.try_pm("doctor"),
            machine.try_pm("install --cron"),
        ] {
            let Finished { code, stderr, .. } = &finished;
            assert!(matches!(code, Some(0 | 1)), "{names:?}, {trap}: {finished}");
            assert!(!stderr.contains("panicked"), "{names:?}, {trap}: {finished}");
        }
        assert_eq!(fs::read(&victim).unwrap(), b"{}", "{names:?}, {trap}");
        assert_eq!(mode(&victim), 0o644, "{names:?}, {trap}");
        assert_eq!(fs::metadata(&victim).unwrap().uid(), fs::metadata(root).unwrap().uid());
        assert_eq!(host.run(&["find", &root.display().to_string(), "-name", "nowhere"]), "");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn whoever_else_can_change_the_configuration_is_named_and_it_is_taken_back() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let config = machine.config_path();
    let folder = config.parent().unwrap();

    set_mode(folder, 0o777);
    for told in [machine.minute(), machine.pm("list"), machine.try_pm("set 10086 --quota 2")] {
        assert!(told.stderr.contains("others may write to") || told.command.contains("set"), "{told}");
    }
    let mut described = machine.config();
    described["update"] = json!({"url": "https://127.0.0.1:9/", "public_key": "RW"});
    machine.write_config(&described.to_string());
    machine.try_pm("install --cron");
    set_mode(folder, 0o777);
    let update = machine.try_pm("update --yes");
    assert!(update.code == Some(1) && update.stderr.contains("nothing was downloaded"), "{update}");
    machine.try_pm("doctor --fix");
    assert_eq!((mode(folder), mode(&config)), (0o700, 0o600));
    assert!(!machine.pm("list").stderr.contains("others"));

    if chown(&config, Some(USER), Some(USER)).is_err() {
        // In a user namespace there is nobody else to give it to.
        return;
    }
    let kept = fs::File::options().append(true).open(&config).unwrap();
    let told = machine.minute();
    assert!(told.stderr.contains("belongs to user 1000"), "{told}");
    let about = fs::metadata(&config).unwrap();
    assert_ne!(about.ino(), kept.metadata().unwrap().ino(), "who has it open has the one before");
    assert_eq!(about.uid(), fs::metadata(machine.root()).unwrap().uid());
    assert!(!machine.minute().stderr.contains("belongs"));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn nothing_that_is_made_without_a_mask_can_be_written_by_others() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    let pm = format!("{} --root {}", binary("pm").display(), machine.root().display());
    let export = machine.root().join("moved.json");
    host.bash(&format!(
        "umask 000; {pm} install --cron; {pm} add 10086 --quota 1; {pm} export {0}; {pm} manual {1}/man",
        export.display(),
        machine.root().display()
    ));
    let root = machine.root().display().to_string();
    assert_eq!(host.run(&["find", &root, "-perm", "/022"]), "");
    assert_eq!(mode(&export), 0o600);
    assert_eq!(host.run(&["find", &format!("{root}/etc/port_monitor"), "-perm", "/077"]), "");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_crash_writes_no_memory_to_disk_and_a_path_of_others_runs_nothing() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    machine.pm("add 10086 --quota 1");
    let monitor = machine.monitor("--every 1s");
    until("the monitor takes its precautions", PATIENCE, || {
        let limits = fs::read_to_string(format!("/proc/{}/limits", monitor.id())).ok()?;
        let core = limits.lines().find(|line| line.starts_with("Max core file size"))?;
        (core.split_whitespace().filter(|word| *word == "0").count() == 2).then_some(())
    });
    drop(monitor);

    let folder = machine.root().join("tools");
    fs::create_dir(&folder).unwrap();
    for name in ["nft", "tc", "crontab"] {
        fs::write(folder.join(name), "#!/bin/sh\necho run >> \"$0.run\"\nexit 1\n").unwrap();
        set_mode(&folder.join(name), 0o755);
    }
    set_mode(&folder, 0o777);
    host.nft("delete table inet port_monitor");
    let mut command = machine.command("pm", None, &["--monitor"]);
    command.env("PATH", format!("{}:{}", folder.display(), pm_tests::process::PATH));
    run(command, PATIENCE).success();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "none of them was run");
    assert!(!host.table("port_monitor").is_empty());
}

/// A port, and a message that waits for Telegram.
fn talkative(host: &Namespace) -> (Machine<'_>, Bot) {
    let (machine, bot) = (Machine::new(host), Bot::new(host));
    let waits = json!({"id": 1, "at": "2026-02-10T06:00:00Z", "event": {"type": "test"}});
    let ports = json!({"10086": {"quota_gb": 1}});
    machine.write_config(&json!({"ports": ports, "telegram": Bot::block(), "outbox": [waits]}).to_string());
    (machine, bot)
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_server_that_floods_trickles_or_packs_a_bomb_costs_a_minute_neither_time_nor_memory() {
    let host = Namespace::new("host");
    let folder = tempfile::tempdir().unwrap();
    let bomb = folder.path().join("bomb.gz");
    host.bash(&format!("head -c 300M /dev/zero | gzip -1 > {}", bomb.display()));
    let head = "HTTP/1.1 200 so\r\n";
    let packed = format!("{head}Content-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n");
    let packed = [packed.as_bytes(), &fs::read(&bomb).unwrap()].concat();
    let line = format!("X-Flood: {}\r\n", "x".repeat(1000)).repeat(100).into_bytes();
    let (at_once, slowly) = (Duration::ZERO, Duration::from_millis(50));
    for (what, manner) in [
        ("headers", Manner::Floods(head.into(), line, at_once)),
        ("one header", Manner::Floods(format!("{head}X: ").into(), vec![b'x'; 100_000], at_once)),
        ("a body", Manner::Floods(format!("{head}\r\n").into(), vec![b'['; 100_000], at_once)),
        ("a trickle of headers", Manner::Floods(head.into(), b"X: y\r\n".to_vec(), slowly)),
        ("a trickle", Manner::Floods(format!("{head}\r\n").into(), b" ".to_vec(), slowly)),
        ("a bomb", Manner::Floods(packed, Vec::new(), at_once)),
    ] {
        let (machine, bot) = talkative(&host);
        bot.behave(manner);
        // Less memory than the bomb has, and less time than until the next minute.
        let monitor = format!("{} --root {}", binary("pm-monitor").display(), machine.root().display());
        let mut minute = host.command("bash");
        minute
            .args(["-c", &format!("ulimit -v 250000; exec {monitor}")])
            .env("PM_NOW", "2026-02-10T06:01:00Z");
        let minute = run(minute, Duration::from_secs(50));
        assert_eq!(minute.code, Some(0), "{what}: {minute}");
        assert!(minute.stderr.contains("tried again later"), "{what}: {minute}");
        assert!(!minute.stderr.contains("ABCdefGHI"), "{what}: {minute}");
        assert_eq!(machine.config()["outbox"].as_array().map(Vec::len), Some(1), "{what}");
        assert!(host.table("port_monitor").contains("10086"), "{what}");
        assert_eq!(bot.paths().len(), 1, "{what}");
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_telegram_that_lies_neither_silences_a_channel_nor_sends_its_messages_elsewhere() {
    let host = Namespace::new("host");
    let day = 86_400;
    for (manner, waits) in [
        (json!({"error_code": 429, "parameters": {"retry_after": u64::MAX}}), day),
        (json!({"error_code": 429, "parameters": {"retry_after": 4_000_000_000_u64}}), day),
        (json!({"error_code": 429, "parameters": {"retry_after": -1}}), 60),
        (json!({"error_code": 429, "parameters": {"retry_after": 1e300}}), 60),
        (json!({"error_code": 500, "description": "x".repeat(60_000)}), 60),
    ] {
        let (machine, bot) = talkative(&host);
        bot.behave(Manner::Says(200, manner.clone()));
        machine.minute_at("2026-02-10T06:01:00Z");
        let telegram = &machine.config()["delivery"]["telegram"];
        let begin = 1_770_703_260;
        let until = telegram["not_before_ts"].as_u64().unwrap();
        assert!((begin..=begin + waits).contains(&until), "{manner}: {telegram}");
        assert!(telegram.to_string().len() < 1_000, "{telegram}");
    }
    let (machine, bot) = talkative(&host);
    bot.behave(Manner::Says(400, json!({"ok": false, "error_code": 400, "description": "Bad Request: upgraded", "parameters": {"migrate_to_chat_id": -1_009_999_999_999_i64}})));
    machine.minute_at("2026-02-10T06:01:00Z");
    assert_eq!(machine.config()["telegram"]["chat_id"], "-1001234567890", "a supergroup stays where it is");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn an_api_url_leads_to_no_file_nor_link_local_address_nor_further() {
    let host = Namespace::new("host");
    let (machine, bot) = talkative(&host);
    let names = machine.root().join("hosts");
    fs::write(&names, "169.254.169.254 metadata.example\nfe80::1 metadata.example\n").unwrap();
    let told = |url: &str| {
        let mut config = machine.config();
        config["telegram"]["api_url"] = json!(url);
        machine.write_config(&config.to_string());
        let pm = format!("{} --root {}", binary("pm").display(), machine.root().display());
        let mut command = host.command("unshare");
        let line =
            format!("mount --bind {} /etc/hosts && exec {pm} --lang en telegram test", names.display());
        command.args(["--mount", "bash", "-c", &line]);
        run(command, PATIENCE)
    };
    for (url, sentence) in [
        ("file:///etc/passwd", "is not an address with http:// or https://"),
        ("ftp://127.0.0.1/", "is not an address with http:// or https://"),
        ("unix:/run/docker.sock", "is not an address with http:// or https://"),
        ("http://169.254.169.254/latest", "is a link-local address"),
        ("http://[fe80::1]", "is a link-local address"),
        ("http://[::ffff:169.254.169.254]", "is a link-local address"),
        ("http://metadata.example", "metadata.example leads to a link-local address"),
    ] {
        let refused = told(url);
        assert!(refused.code == Some(1) && refused.stderr.contains(sentence), "{url}: {refused}");
    }
    assert_eq!(told(Bot::URL).code, Some(0), "a server of one's own");
    let moved = format!("HTTP/1.1 307 so\r\nLocation: {0}/elsewhere\r\nContent-Length: 0\r\n\r\n", Bot::URL);
    bot.behave(Manner::Floods(moved.into_bytes(), Vec::new(), Duration::ZERO));
    let refused = told(Bot::URL);
    assert!(refused.code == Some(1) && refused.stderr.contains("which is not followed"), "{refused}");
    assert!(!bot.paths().iter().any(|path| path.contains("elsewhere")));
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_file_that_is_named_or_lies_beside_one_is_no_trap() {
    let host = Namespace::new("host");
    let machine = Machine::new(&host);
    let folder = machine.root().join("moved");
    fs::create_dir(&folder).unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("config.json"), r#"{"ports": {"10086": {"limit": "1GB"}}}"#).unwrap();
    let import = format!("--lang en import --from port-traffic-dog {} --yes", at("config.json"));
    host.bash(&format!(
        "mkfifo {0} {1}; ln -s /dev/zero {2}",
        at("fifo"),
        at("traffic_data.json"),
        at("zero")
    ));
    for words in [
        import.clone(),
        format!("--lang en import {}", at("fifo")),
        format!("--lang en import {}", at("zero")),
        format!("--lang en telegram set --token-file {}", at("fifo")),
        format!("--lang en telegram set --token-file {}", at("zero")),
    ] {
        let refused = machine.try_pm(&words);
        assert!(refused.code == Some(1) && refused.stderr.contains("regular file"), "{refused}");
    }
    fs::remove_file(at("traffic_data.json")).unwrap();
    fs::write(folder.join("usage"), "{}").unwrap();
    std::os::unix::fs::symlink(at("usage"), at("traffic_data.json")).unwrap();
    let refused = machine.try_pm(&import);
    assert!(refused.code == Some(1) && refused.stderr.contains("a link, which is not followed"), "{refused}");
    fs::rename(at("usage"), at("traffic_data.json")).unwrap();
    if chown(at("traffic_data.json"), Some(USER), Some(USER)).is_ok() {
        let refused = machine.try_pm(&import);
        assert!(refused.code == Some(1) && refused.stderr.contains("another user (1000)"), "{refused}");
        chown(at("config.json"), Some(USER), Some(USER)).unwrap();
    }
    machine.pm(&import);

    // The pages of the manual.
    let victim = folder.join("victim");
    fs::write(&victim, "it").unwrap();
    std::os::unix::fs::symlink(&victim, folder.join("pm.1")).unwrap();
    machine.pm(&format!("manual {}", folder.display()));
    assert_eq!(fs::read(&victim).unwrap(), b"it");
    assert!(fs::symlink_metadata(folder.join("pm.1")).unwrap().is_file());
}
