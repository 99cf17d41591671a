//! Somebody who publishes releases: keys, a signed release 9.9.9, and a server for it on the machine itself.

use std::fs::{self, Permissions};
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minisign::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::{Background, must, until};

/// The programs of a release.
pub const PROGRAMS: [&str; 2] = ["pm", "pm-monitor"];

const URL: &str = "http://127.0.0.1:8090/pm";

const SERVE: &str = r#"#!/bin/bash
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

/// A release address with a key of its own, up as long as the value lives.
#[derive(Debug)]
pub struct Publisher {
    keys: KeyPair,
    release: TempDir,
    _server: Background,
}

impl Publisher {
    /// Publishes the release on that machine.
    #[track_caller]
    pub fn new(namespace: &Namespace) -> Self {
        let release = must(TempDir::new(), "cannot make a folder");
        let script = release.path().join("serve");
        install(&script, SERVE.as_bytes());
        let relay = format!("EXEC:{}", script.display());
        let server = namespace.spawn(&["socat", "TCP4-LISTEN:8090,bind=127.0.0.1,fork,reuseaddr", &relay]);
        until("the server listens", Duration::from_secs(5), || {
            (!namespace.run(&["ss", "-Hltn", "sport = :8090"]).is_empty()).then_some(())
        });
        let keys = must(KeyPair::generate_unencrypted_keypair(), "cannot make keys");
        let publisher = Self { keys, release, _server: server };
        publisher.publish(namespace);
        publisher
    }

    /// What config.json has to say under `update`.
    pub fn source(&self) -> Value {
        json!({ "url": URL, "public_key": self.keys.pk.to_base64() })
    }

    /// The text of a program of the release: it says version 9.9.9, and what it was asked to do.
    pub fn program(name: &str) -> String {
        format!("#!/bin/sh\n[ \"$1\" = --version ] || echo asked: \"$@\"\necho {name} 9.9.9\n")
    }

    /// Where the server has a program of the release.
    pub fn served(&self, name: &str) -> PathBuf {
        self.release.path().join(format!("{name}-9.9.9"))
    }

    #[track_caller]
    fn publish(&self, namespace: &Namespace) {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let mut programs = serde_json::Map::new();
        for name in PROGRAMS {
            let (text, file) = (Self::program(name), self.served(name));
            install(&file, text.as_bytes());
            let vouched = format!("{name} 9.9.9 {target}");
            let signed =
                minisign::sign(Some(&self.keys.pk), &self.keys.sk, Cursor::new(&text), Some(&vouched), None);
            let signature = must(signed, "cannot sign").into_string();
            must(fs::write(file.with_file_name(format!("{name}-9.9.9.minisig")), signature), "a signature");
            programs.insert(
                name.to_owned(),
                json!({ "file": format!("{name}-9.9.9"), "size": text.len(), "sha256": sha256(namespace, &file) }),
            );
        }
        let latest = json!({
            "version": "9.9.9", "notes": { "zh": "更快\n更省", "en": "faster" }, "targets": { target: programs }
        });
        must(fs::write(self.release.path().join("latest.json"), latest.to_string()), "latest.json");
    }
}

/// A file that can be run.
#[track_caller]
pub fn install(path: &Path, bytes: &[u8]) {
    must(fs::create_dir_all(path.parent().unwrap_or(path)), "cannot make a folder");
    must(fs::write(path, bytes), path.display());
    must(fs::set_permissions(path, Permissions::from_mode(0o755)), path.display());
}

/// What a shell says of a file's SHA-256.
fn sha256(namespace: &Namespace, file: &Path) -> String {
    let shown = namespace.run(&["sha256sum", &file.display().to_string()]);
    shown.split_whitespace().next().unwrap_or_default().to_owned()
}
