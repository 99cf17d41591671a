//! Where the menu is shown: a terminal that is redrawn in place, or a stream that only grows.

use std::io::{self, Write};

use anstream::adapter::strip_str;
use pm_core::units::escaped;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The size of a terminal, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// What an output can do.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    /// Whether pages can be redrawn in place.
    pub(crate) redraws: bool,
    /// Whether what is typed appears on it.
    pub(crate) echoes: bool,
    /// Whether colours are shown.
    pub(crate) colours: bool,
    /// How large it is now.
    pub(crate) size: fn() -> Size,
}

const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
const SAVE_CURSOR: &str = "\u{1b}7";
const RESTORE_CURSOR: &str = "\u{1b}8";
const HOME: &str = "\u{1b}[H";
const CLEAR_REST_OF_LINE: &str = "\u{1b}[K";

/// The output, and what still has to be said on it.
pub(crate) struct Screen<W> {
    out: W,
    abilities: Abilities,
    /// What was said and would be lost with the next page.
    notices: Vec<String>,
    drawn: Drawn,
}

/// The page that stands on a terminal.
#[derive(Default)]
struct Drawn {
    lines: Vec<String>,
    notices: Vec<String>,
    size: Option<Size>,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, abilities: Abilities) -> Self {
        Self { out, abilities, notices: Vec::new(), drawn: Drawn::default() }
    }

    /// Whether pages are redrawn while they wait.
    pub(crate) const fn redraws(&self) -> bool {
        self.abilities.redraws
    }

    /// The columns there are.
    pub(crate) fn columns(&self) -> usize {
        (self.abilities.size)().columns
    }

    /// Writes a text as it is. Whatever came from outside was made harmless before.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        if self.abilities.colours {
            self.out.write_all(text.as_bytes())?;
        } else {
            self.out.write_all(strip_str(text).to_string().as_bytes())?;
        }
        self.out.flush()
    }

    /// Ends the line of an answer where nothing else did.
    pub(crate) fn end_of_answer(&mut self, hidden: bool) -> io::Result<()> {
        if hidden || !self.abilities.echoes { self.write("\n") } else { Ok(()) }
    }

    /// A line that matters only now.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// A sentence that has to be read even when the next page comes at once.
    pub(crate) fn say(&mut self, sentence: &str) -> io::Result<()> {
        let safe = escaped(sentence);
        if self.abilities.redraws {
            self.notices.push(safe.into_owned());
            return Ok(());
        }
        self.line(&safe)
    }

    /// A new page, what was said before it, and a prompt.
    pub(crate) fn page(&mut self, page: &str, prompt: &str) -> io::Result<()> {
        if !self.abilities.redraws {
            return self.write(&format!("{page}{prompt}"));
        }
        let notices = std::mem::take(&mut self.notices);
        self.draw(page, notices, prompt)
    }

    /// The page anew, in place, while something may be typed behind its prompt.
    pub(crate) fn refresh(&mut self, page: &str, prompt: &str) -> io::Result<()> {
        let size = (self.abilities.size)();
        let lines = laid_out(page, &self.drawn.notices, size.columns);
        if self.drawn.size != Some(size) || self.drawn.lines.len() != lines.len() {
            let notices = std::mem::take(&mut self.drawn.notices);
            return self.draw(page, notices, prompt);
        }
        if lines == self.drawn.lines {
            return Ok(());
        }
        // Of a page that is taller than the terminal, the lower part stands there, above the prompt.
        let above = (lines.len() + 1).saturating_sub(size.rows);
        let mut text = format!("{SAVE_CURSOR}{HOME}");
        for line in &lines[above..] {
            text += &self.coloured(line);
            text += CLEAR_REST_OF_LINE;
            text.push('\n');
        }
        text += RESTORE_CURSOR;
        self.drawn.lines = lines;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn draw(&mut self, page: &str, notices: Vec<String>, prompt: &str) -> io::Result<()> {
        let size = (self.abilities.size)();
        let lines = laid_out(page, &notices, size.columns);
        let mut text = CLEAR.to_owned();
        for line in &lines {
            text += &self.coloured(line);
            text.push('\n');
        }
        text += prompt;
        self.drawn = Drawn { lines, notices, size: Some(size) };
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn coloured(&self, line: &str) -> String {
        if self.abilities.colours { line.to_owned() } else { strip_str(line).to_string() }
    }
}

/// The lines of a page and of what was said, none of them wider than the terminal.
fn laid_out(page: &str, notices: &[String], columns: usize) -> Vec<String> {
    let notices = notices.iter().map(|notice| format!(" {notice}"));
    let lines = page.lines().map(str::to_owned).chain(notices);
    lines.flat_map(|line| wrapped(&line, columns)).collect()
}

/// The line in pieces that fit. A line that does not fit loses its colours.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let plain = strip_str(line).to_string();
    if columns == 0 || plain.width() <= columns {
        return vec![line.to_owned()];
    }
    let mut pieces = vec![String::new()];
    let mut taken = 0;
    for character in plain.chars() {
        let width = character.width().unwrap_or(0);
        if taken + width > columns {
            pieces.push(String::new());
            taken = 0;
        }
        taken += width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(rows: usize) -> Screen<Vec<u8>> {
        let size =
            if rows == 5 { || Size { columns: 10, rows: 5 } } else { || Size { columns: 10, rows: 24 } };
        Screen::new(Vec::new(), Abilities { redraws: true, echoes: true, colours: false, size })
    }

    fn written(screen: &mut Screen<Vec<u8>>) -> String {
        String::from_utf8(std::mem::take(&mut screen.out)).unwrap()
    }

    #[test]
    fn a_page_is_redrawn_in_place_and_the_prompt_is_left_alone() {
        let mut screen = terminal(24);
        screen.page("a\nb\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "\u{1b}[H\u{1b}[2Ja\nb\n> ");
        screen.refresh("a\nb\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "", "nothing changed");
        screen.refresh("a\nc\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "\u{1b}7\u{1b}[Ha\u{1b}[K\nc\u{1b}[K\n\u{1b}8");
        screen.refresh("a\nb\nc\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "\u{1b}[H\u{1b}[2Ja\nb\nc\n> ", "another height is another page");
    }

    #[test]
    fn of_a_page_that_is_taller_than_the_terminal_the_visible_part_is_redrawn() {
        let mut screen = terminal(5);
        screen.page("1\n2\n3\n4\n5\n6\n", "> ").unwrap();
        written(&mut screen);
        screen.refresh("1\n2\n3\n4\n5\nx\n", "> ").unwrap();
        let text = written(&mut screen).replace("\u{1b}[K", "");
        assert_eq!(text, "\u{1b}7\u{1b}[H3\n4\n5\nx\n\u{1b}8");
    }

    #[test]
    fn what_was_said_is_shown_with_the_next_page_and_its_escapes_are_harmless() {
        let mut screen = terminal(24);
        screen.say("ok \u{1b}[2J").unwrap();
        assert_eq!(written(&mut screen), "");
        screen.page("a\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "\u{1b}[H\u{1b}[2Ja\n ok \\u{1b}\n[2J\n> ");
        screen.page("a\n", "> ").unwrap();
        assert_eq!(written(&mut screen), "\u{1b}[H\u{1b}[2Ja\n> ", "once");
    }

    #[test]
    fn wide_characters_are_not_cut_in_two() {
        assert_eq!(wrapped("一二三四五六", 10), ["一二三四五", "六"]);
        assert_eq!(wrapped("a一二三四五六", 10), ["a一二三四", "五六"]);
    }
}
