//! `pm update` and item 5 of the menu, with the real programs and a server on this machine.

use std::fs;
use std::path::PathBuf;

use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::process::must;
use pm_tests::publisher::{PROGRAMS, Publisher, install};
use serde_json::{Value, json};

/// A machine with pm installed, and a server with release 9.9.9 for it.
struct Laboratory<'a> {
    machine: Machine<'a>,
    namespace: &'a Namespace,
    publisher: Publisher,
}

impl<'a> Laboratory<'a> {
    fn new(namespace: &'a Namespace) -> Self {
        let lab = Self { machine: Machine::new(namespace), namespace, publisher: Publisher::new(namespace) };
        for name in PROGRAMS {
            install(&lab.installed(name), &must(fs::read(binary(name)), name));
        }
        lab.machine.write_config(&json!({ "update": lab.publisher.source() }).to_string());
        lab
    }

    fn installed(&self, name: &str) -> PathBuf {
        self.machine.root().join("usr/local/bin").join(name)
    }

    #[track_caller]
    fn version(&self, name: &str) -> String {
        self.namespace.run(&[&self.installed(name).display().to_string(), "--version"]).trim().to_owned()
    }

    fn files(&self) -> Vec<String> {
        let files = must(fs::read_dir(self.machine.root().join("usr/local/bin")), "the programs");
        let mut names: Vec<String> =
            files.map_while(Result::ok).map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn a_release_is_shown_installed_and_gone_back_from() {
    let host = Namespace::new("host");
    let lab = Laboratory::new(&host);
    let ours = lab.version("pm");
    // Nobody can be asked, so nothing happens.
    let asked = lab.machine.try_pm("update");
    assert!(
        asked.code != Some(0) && asked.stdout.contains("发现新版本: v9.9.9\n  更快\n  更省\n"),
        "{asked}"
    );
    assert!(asked.stderr.contains("--yes"), "{asked}");
    assert_eq!(lab.files(), ["pm", "pm-monitor"]);

    let updated = lab.machine.pm("--lang en update --yes");
    assert!(updated.stdout.contains("faster") && updated.stdout.contains("updated to 9.9.9"), "{updated}");
    assert_eq!(
        (lab.version("pm"), lab.version("pm-monitor")),
        ("pm 9.9.9".into(), "pm-monitor 9.9.9".into())
    );
    assert_eq!(lab.files(), ["pm", "pm-monitor", "pm-monitor.old", "pm.old"]);

    let back: Value =
        must(serde_json::from_str(&lab.machine.pm("update --rollback --yes --json").stdout), "data");
    assert_eq!(back["updated"], true);
    assert_eq!(lab.version("pm"), ours);
    assert_eq!(lab.version("pm.old"), "pm 9.9.9");
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn the_menu_goes_on_as_the_program_that_it_installed() {
    let host = Namespace::new("host");
    let lab = Laboratory::new(&host);
    let answers = lab.machine.root().join("answers");
    must(fs::write(&answers, "5\nn\n5\ny\n"), "answers");
    let root = lab.machine.root().display().to_string();
    let pm = binary("pm").display().to_string();
    let shown = host.bash(&format!("{pm} --root {root} --lang zh < {}", answers.display()));
    assert_eq!(shown.matches("发现新版本: v9.9.9").count(), 2, "{shown}");
    assert!(
        shown.ends_with(&format!("正在重新载入...\nasked: --root {root} --lang zh\npm 9.9.9\n")),
        "{shown}"
    );
}

#[test]
#[ignore = "needs a network namespace: run by cargo xtask test"]
fn without_a_release_address_or_with_a_forged_release_nothing_changes() {
    let host = Namespace::new("host");
    let lab = Laboratory::new(&host);
    let ours = lab.version("pm");
    must(fs::write(lab.publisher.served("pm"), "#!/bin/sh\nrm -rf /\n"), "a forgery");
    let forged = lab.machine.try_pm("update --yes");
    assert!(forged.code != Some(0) && forged.stderr.contains("pm-9.9.9"), "{forged}");
    assert_eq!((lab.files().len(), lab.version("pm")), (2, ours));

    lab.machine.write_config("{}");
    let nowhere = lab.machine.try_pm("update --yes");
    assert!(nowhere.code != Some(0) && nowhere.stderr.contains("config.json"), "{nowhere}");
}
