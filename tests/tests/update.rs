//! `pm update` and item 5 of the menu, with the real programs and a server on this machine.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minisign::KeyPair;
use pm_tests::machine::{Machine, binary};
use pm_tests::namespace::Namespace;
use pm_tests::process::{Background, must, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a shell says of a file's SHA-256.
fn sha256(namespace: &Namespace, file: &Path) -> String {
    let shown = namespace.run(&["sha256sum", &file.display().to_string()]);
    shown.split_whitespace().next().unwrap_or_default().to_owned()
}

/// A file that can be run.
#[track_caller]
fn install(path: &Path, bytes: &[u8]) {
    must(fs::create_dir_all(path.parent().unwrap_or(path)), "cannot make a folder");
    must(fs::write(path, bytes), path.display());
    must(fs::set_permissions(path, fs::Permissions::from_mode(0o755)), path.display());
}

/// A machine with pm installed, and a server with release 9.9.9 for it.
struct Laboratory<'a> {
    machine: Machine<'a>,
    namespace: &'a Namespace,
    keys: KeyPair,
    release: TempDir,
    _server: Background,
}

impl<'a> Laboratory<'a> {
    const URL: &'static str = "http://127.0.0.1:8090/pm";

    fn new(namespace: &'a Namespace) -> Self {
        let machine = Machine::new(namespace);
        let release = must(TempDir::new(), "cannot make a folder");
        let script = release.path().join("serve");
        let answer = r#"#!/bin/bash
read -r _ path _
while read -r line && [ -n "${line%$'\r'}" ]; do :; done
file="${0%/*}/${path##*/}"
if [ -f "$file" ]; then
  printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nConnection: close\r\n\r\n' "$(stat -c %s "$file")"
  cat "$file"
else
  printf 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
fi
"#;
        install(&script, answer.as_bytes());
        let relay = format!("EXEC:{}", script.display());
        let server = namespace.spawn(&["socat", "TCP4-LISTEN:8090,bind=127.0.0.1,fork,reuseaddr", &relay]);
        until("the server listens", Duration::from_secs(5), || {
            (!namespace.run(&["ss", "-Hltn", "sport = :8090"]).is_empty()).then_some(())
        });
        let keys = must(KeyPair::generate_unencrypted_keypair(), "cannot make keys");
        let lab = Self { machine, namespace, keys, release, _server: server };
        for name in ["pm", "pm-monitor"] {
            install(&lab.installed(name), &must(fs::read(binary(name)), name));
        }
        let update = json!({ "url": Self::URL, "public_key": lab.keys.pk.to_base64() });
        lab.machine.write_config(&json!({ "update": update }).to_string());
        lab.publish();
        lab
    }

    fn installed(&self, name: &str) -> PathBuf {
        self.machine.root().join("usr/local/bin").join(name)
    }

    /// Puts programs on the server that say version 9.9.9, and what they were asked to do.
    fn publish(&self) {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let mut programs = serde_json::Map::new();
        for name in ["pm", "pm-monitor"] {
            let text =
                format!("#!/bin/sh\n[ \"$1\" = --version ] || echo asked: \"$@\"\necho {name} 9.9.9\n");
            let file = self.release.path().join(format!("{name}-9.9.9"));
            install(&file, text.as_bytes());
            let vouched = format!("{name} 9.9.9 {target}");
            let signed =
                minisign::sign(Some(&self.keys.pk), &self.keys.sk, Cursor::new(&text), Some(&vouched), None);
            let signature = must(signed, "cannot sign").into_string();
            must(
                fs::write(self.release.path().join(format!("{name}-9.9.9.minisig")), signature),
                "a signature",
            );
            programs.insert(
                name.to_owned(),
                json!({ "file": format!("{name}-9.9.9"), "size": text.len(), "sha256": sha256(self.namespace, &file) }),
            );
        }
        let latest = json!({
            "version": "9.9.9", "notes": { "zh": "更快\n更省", "en": "faster" }, "targets": { target: programs }
        });
        must(fs::write(self.release.path().join("latest.json"), latest.to_string()), "latest.json");
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
    must(fs::write(lab.release.path().join("pm-9.9.9"), "#!/bin/sh\nrm -rf /\n"), "a forgery");
    let forged = lab.machine.try_pm("update --yes");
    assert!(forged.code != Some(0) && forged.stderr.contains("pm-9.9.9"), "{forged}");
    assert_eq!((lab.files().len(), lab.version("pm")), (2, ours));

    lab.machine.write_config("{}");
    let nowhere = lab.machine.try_pm("update --yes");
    assert!(nowhere.code != Some(0) && nowhere.stderr.contains("config.json"), "{nowhere}");
}
