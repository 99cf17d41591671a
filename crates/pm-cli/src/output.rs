//! Standard output: what is printed for people, and what is printed as data.
//!
//! A remark, an answer of a server or the name of a process may hold anything. Whoever draws a page escapes such values
//! where they stand; here, at the last door, nothing passes that would steer a terminal but colours.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use pm_core::units::{escaped, is_hidden};

/// Prints text for people; a reader who went away is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(&readable(text))
}

/// Prints a JSON document and ends its line. It means the same with whatever steers a terminal written as `\u009b`.
pub(crate) fn print_data(json: &str) -> anyhow::Result<()> {
    write(&(in_plain_characters(json.trim_end()) + "\n"))
}

/// The text with lines, tabs and colours, and everything else that is hidden in it shown for what it is.
pub(crate) fn readable(text: &str) -> String {
    let mut readable = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(|c| is_hidden(c) && !matches!(c, '\n' | '\t')) {
        let (plain, hidden) = rest.split_at(place);
        readable.push_str(plain);
        rest = match colours(hidden) {
            0 => {
                let (first, after) = hidden.split_at(hidden.ceil_char_boundary(1));
                readable.push_str(&escaped(first));
                after
            }
            length => {
                let (colours, after) = hidden.split_at(length);
                readable.push_str(colours);
                after
            }
        };
    }
    readable.push_str(rest);
    readable
}

/// The length of the change of colours that a text begins with, `ESC [ 31 m`; 0 when it begins otherwise.
fn colours(text: &str) -> usize {
    let figures = text.strip_prefix("\u{1b}[").unwrap_or_default();
    let end = figures.find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(figures.len());
    if figures[end..].starts_with('m') { "\u{1b}[".len() + end + "m".len() } else { 0 }
}

/// JSON has no such characters outside of its strings, and in them either form means the same.
fn in_plain_characters(json: &str) -> String {
    let mut plain = String::new();
    for character in json.chars() {
        if is_hidden(character) && !matches!(character, '\n' | '\t' | '\r') {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stream = anstream::stdout().lock();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\u{1b}[2Jb\u{1b}]52;c;aGk=\u{7}c\u{8}\u{9b}31md\u{202e}e\u{61c}\rf\u{e0041}g\u{1b}[31;1mh";

    #[test]
    fn text_keeps_its_lines_and_colours_and_steers_nothing_else() {
        assert_eq!(readable("one\n\u{1b}[31mtwo\u{1b}[0m\tthree"), "one\n\u{1b}[31mtwo\u{1b}[0m\tthree");
        assert_eq!(
            readable(HOSTILE),
            "a\\u{1b}[2Jb\\u{1b}]52;c;aGk=\\u{7}c\\u{8}\\u{9b}31md\\u{202e}e\\u{61c}\\rf\\u{e0041}g\u{1b}[31;1mh"
        );
        assert_eq!(readable("\u{1b}"), "\\u{1b}");
        assert_eq!(readable("\u{1b}[31"), "\\u{1b}[31");
    }

    #[test]
    fn data_means_the_same_and_steers_nothing() {
        let data = serde_json::json!({ HOSTILE: [HOSTILE, "家庭 \"😀\""] });
        for json in [data.to_string(), serde_json::to_string_pretty(&data).unwrap()] {
            let plain = in_plain_characters(&json);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), data);
            assert!(plain.chars().all(|c| c == '\n' || !is_hidden(c)), "{plain}");
        }
    }
}
