//! Releases: nothing that a server or a file of it says leads out of its folder, fills memory, or passes as signed.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use pm_release::release::Release;
use pm_release::signature::Publisher;
use semver::Version;

/// The key of the example in minisign-verify's documentation, what it signed there, and as what.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const SIGNED: &[u8] = b"test";
const SIGNED_AS: &str = "timestamp:1633700835\tfile:test\tprehashed";

/// Reads a description of a release, a signature and a key.
pub fn release(input: &[u8]) {
    description(input);
    let text = String::from_utf8_lossy(input);
    let _ = Publisher::new(&text);
    let Ok(publisher) = Publisher::new(KEY) else { panic!("the key is none") };
    let verify = |bytes, offered: &str| publisher.verify("pm", bytes, &text, offered.to_owned());
    for offered in ["pm 5.1.0 x86_64-unknown-linux-musl", SIGNED_AS] {
        assert!(verify(b"something else", offered).is_err(), "this passes as signed");
    }
    match verify(SIGNED, "pm 5.1.0 x86_64-unknown-linux-musl") {
        Ok(()) => panic!("this passes as signed as something else"),
        Err(error) => is_line(&error.to_string()),
    }
    let _ = verify(SIGNED, SIGNED_AS);
}

fn description(input: &[u8]) {
    let release = match Release::read(input) {
        Ok(release) => release,
        Err(reason) => return is_line(&reason),
    };
    for (name, program) in release.targets.values().flatten() {
        assert!(
            !program.file.contains(['/', '\\', '\0', '%', '?', '#', ':']) && !program.file.starts_with('.')
        );
        assert!((1..=64 << 20).contains(&program.size));
        assert!(program.sha256.len() == 64 && program.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let _ = release.vouched(name, "here");
    }
    for language in ["zh", "en", "?"] {
        let notes = release.notes_in(language);
        assert!(notes.len() <= 40);
        for line in &notes {
            is_line(line);
        }
    }
    // Which kind of machine this is, no server decides.
    if let Err(error) = release.programs("x86_64-unknown-linux-musl") {
        is_line(&error.to_string());
    }
    for target in release.targets.keys() {
        if let Ok(programs) = release.programs(target) {
            assert_eq!(programs.len(), pm_release::PROGRAMS.len());
        }
    }
    let present = Version::new(5, 0, 0);
    match release.is_newer_than(&present) {
        Ok(newer) => assert_eq!(newer, release.version > present),
        Err(error) => {
            assert!(release.version < present);
            is_line(&error.to_string());
        }
    }
    let written = serde_json::to_vec(&release).unwrap_or_else(|error| panic!("{error}"));
    let again = Release::read(&written).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(serde_json::to_vec(&again).ok(), Some(written));
}

fn is_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.chars().count() < 6_000, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_that_the_inputs_begin_with_is_genuine() {
        let signature = include_str!("../corpus/release/signature");
        let publisher = Publisher::new(KEY).unwrap();
        publisher.verify("test", SIGNED, signature, SIGNED_AS.to_owned()).unwrap();
    }
}
