//! One question and its answer. A wrong answer is explained and asked again; every question can be left.

use std::io::Write;

use pm_core::units::escaped;

use crate::menu::Menu;
use crate::menu::input::{Input, Typed};

/// Why a question was not answered.
pub(crate) enum Leave {
    /// Back to the main menu.
    Back,
    /// Out of the program.
    Quit,
    /// On to the program that was just put in place of this one.
    Updated,
    /// The machine or the terminal does not allow to go on.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Leave {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How an answer is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Numbers and names of items: full-width forms are the plain ones, `b` goes back.
    Plain,
    /// Any text, kept as it is.
    Free,
    /// A text that is not shown.
    Secret,
}

impl<I: Input, W: Write> Menu<'_, I, W> {
    /// Asks until the answer can be read.
    pub(crate) fn ask<T>(
        &mut self,
        prompt: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Leave> {
        self.ask_kind(Kind::Plain, prompt, read)
    }

    /// Asks for a text that is kept as it was typed.
    pub(crate) fn ask_text<T>(
        &mut self,
        prompt: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Leave> {
        self.ask_kind(Kind::Free, prompt, read)
    }

    /// Asks for a text that nobody else should see.
    pub(crate) fn ask_secret<T>(
        &mut self,
        prompt: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Leave> {
        self.ask_kind(Kind::Secret, prompt, read)
    }

    /// Asks for a yes. Blank is a no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, Leave> {
        let wrong = self.texts().menu.yes_or_no;
        self.ask(question, |answer| match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "" | "n" | "no" => Ok(false),
            _ => Err(wrong.to_owned()),
        })
    }

    fn ask_kind<T>(
        &mut self,
        kind: Kind,
        prompt: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Leave> {
        loop {
            // Before the prompt: somebody may paste the moment it appears.
            self.input.hide(kind == Kind::Secret);
            self.screen.write(prompt)?;
            let typed = self.input.read(None)?;
            self.input.hide(false);
            let Typed::Line(line) = typed else { return Err(self.ended()) };
            self.screen.end_of_answer(kind == Kind::Secret)?;
            let explained = match text(line) {
                None => self.texts().menu.unreadable.to_owned(),
                Some(text) => match answer(kind, &text, &read)? {
                    Ok(answer) => return Ok(answer),
                    Err(explained) => explained,
                },
            };
            self.explain(&explained)?;
        }
    }

    /// What a page that redraws itself was answered.
    pub(crate) fn choice(&mut self, typed: Typed) -> Result<Option<String>, Leave> {
        match typed {
            Typed::Nothing => Ok(None),
            Typed::End => Err(self.ended()),
            // What cannot be read is no item of any page.
            Typed::Line(line) => {
                self.screen.end_of_answer(false)?;
                let choice = plain(&text(line).unwrap_or_default());
                if choice.eq_ignore_ascii_case("q") { Err(Leave::Quit) } else { Ok(Some(choice)) }
            }
        }
    }

    /// Says why an answer was wrong, where it is asked again.
    pub(crate) fn explain(&mut self, sentence: &str) -> Result<(), Leave> {
        for line in sentence.lines() {
            self.screen.line(&escaped(line))?;
        }
        Ok(())
    }

    /// Nobody will answer any more, so the prompt's line is ended for whatever comes next on the terminal.
    fn ended(&mut self) -> Leave {
        match self.screen.write("\n") {
            Ok(()) => Leave::Quit,
            Err(error) => error.into(),
        }
    }
}

fn answer<T>(
    kind: Kind,
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Result<T, String>, Leave> {
    let plain = plain(text);
    if plain.eq_ignore_ascii_case("q") {
        return Err(Leave::Quit);
    }
    match kind {
        Kind::Plain if plain.eq_ignore_ascii_case("b") => Err(Leave::Back),
        Kind::Plain => Ok(read(&plain)),
        Kind::Free | Kind::Secret => Ok(read(text)),
    }
}

/// The prompt with the value that a blank answer keeps: `备注信息 [Snell]: `.
pub(crate) fn with_present(prompt: &str, present: &str) -> String {
    let question = prompt.trim_end().trim_end_matches(':');
    format!("{question} [{}]: ", escaped(present))
}

/// A line as text; a pasted carriage return is no part of it. None when it is no UTF-8.
fn text(line: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(line).ok()?;
    Some(text.replace('\r', "").trim().to_owned())
}

/// The plain form of what a Chinese keyboard types full width: `１２` is `12`, `，` and `、` are `,`.
fn plain(text: &str) -> String {
    /// From `！` to `～`, the full-width forms stand in the order of the plain ones.
    const DISTANCE: u32 = '！' as u32 - '!' as u32;
    let plain = |character: char| match character {
        '！'..='～' => char::from_u32(u32::from(character) - DISTANCE).unwrap_or(character),
        '\u{3000}' => ' ',
        '、' => ',',
        '。' => '.',
        other => other,
    };
    text.chars().map(plain).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_forms_are_the_plain_ones() {
        assert_eq!(plain("１２"), "12");
        assert_eq!(plain("１，３－５"), "1,3-5");
        assert_eq!(plain("　１、２。５　"), "1,2.5");
        assert_eq!(plain("ＵＮＬＩＭＩＴＥＤ"), "UNLIMITED");
        assert_eq!(plain("备注"), "备注");
    }

    #[test]
    fn a_carriage_return_is_no_part_of_an_answer() {
        assert_eq!(text(b"10086\r".to_vec()).as_deref(), Some("10086"));
        assert_eq!(text(b"\r\r".to_vec()).as_deref(), Some(""));
        assert_eq!(text(vec![0xff, b'1']), None);
    }

    #[test]
    fn the_present_value_stands_before_the_colon_and_is_harmless() {
        assert_eq!(with_present("备注信息: ", "a\u{1b}[2J"), "备注信息 [a\\u{1b}[2J]: ");
    }
}
