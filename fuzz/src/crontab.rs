//! Crontabs: our lines come and go, and every byte that is somebody else's stays.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use pm_setup::crontab::{BOOT, MINUTE, has_minute, with, without};

/// Adds our lines to a crontab and takes them out again.
pub fn crontab(input: &[u8]) {
    let others = without(input);
    assert_eq!(without(&others), others, "taking out twice is taking out once");
    assert!(!has_minute(&others), "a line of ours was left");
    are_lines_of(input, &others);
    for line in missing(input, &others) {
        assert!(
            calls_nothing_else(line),
            "somebody else's line was taken out: {:?}",
            line.escape_ascii().to_string()
        );
    }
    for boot in [false, true] {
        let text = with(input, boot);
        assert!(has_minute(&text), "our line is not there");
        assert_eq!(with(&text, boot), text, "adding twice is adding once");
        assert_eq!(without(&text), others, "what was added is not what is taken out");
        let added = with(&others, boot);
        let count =
            |line: &str| added.split(|&byte| byte == b'\n').filter(|at| *at == line.as_bytes()).count();
        assert_eq!(
            (count(MINUTE), count(BOOT)),
            (1, usize::from(boot)),
            "a clean crontab gets a line of each kind"
        );
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
}

/// All of `part`'s lines are lines of `whole`, in their order.
fn are_lines_of(whole: &[u8], part: &[u8]) {
    let mut whole = lines(whole);
    assert!(
        lines(part).all(|line| whole.any(|other| other == line)),
        "a line of somebody else's was changed"
    );
}

/// The lines of `whole` that `part` lacks.
fn missing<'a>(whole: &'a [u8], part: &'a [u8]) -> Vec<&'a [u8]> {
    let mut kept = lines(part).peekable();
    lines(whole).filter(|line| kept.next_if_eq(line).is_none()).collect()
}

/// Whether cron and a shell would run nothing for this line but pm: what a shell or cron understands stands only in an
/// arrow and the name of its file.
fn calls_nothing_else(line: &[u8]) -> bool {
    let Ok(line) = str::from_utf8(line) else { return false };
    let Some((_, rest)) = line.split_once("/usr/local/bin/pm") else { return false };
    let rest = rest.replace(">&1", " ").replace(">&2", " ").replace("&>", ">");
    let Some(rest) = rest.trim_start().strip_prefix("--monitor") else { return false };
    !rest.contains([
        '&', '|', ';', '`', '$', '(', ')', '<', '%', '\\', '"', '\'', '#', '*', '?', '[', '{', '!', '\0',
    ])
}
