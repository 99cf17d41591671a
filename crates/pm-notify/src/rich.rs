//! Text with bold and code in it, which no character of the text itself can change.

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// Bold.
    Bold,
    /// Monospaced.
    Code,
}

/// A text in pieces, each with its style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rich(Vec<(Style, String)>);

/// How much a service takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// At most so many of them.
    pub most: usize,
    /// At most so many pieces that are bold or code.
    pub styled: usize,
}

/// What a service counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// UTF-16 code units, of the text as it is read.
    Utf16,
    /// Bytes of UTF-8.
    Bytes,
}

impl Rich {
    /// A template with its values filled in: `*bold*`, `` `code` `` and `{name}` are understood in the template, nothing
    /// is understood in a value.
    pub fn filled(template: &str, values: &[(&str, &str)]) -> Self {
        let (mut text, mut style) = (Self::default(), Style::Plain);
        let mut rest = template;
        while let Some(place) = rest.find(['*', '`', '{']) {
            let (before, mark) = rest.split_at(place);
            text.push(style, before);
            rest = &mark[1..];
            match mark.as_bytes().first() {
                Some(b'*') => style = if style == Style::Bold { Style::Plain } else { Style::Bold },
                Some(b'`') => style = if style == Style::Code { Style::Plain } else { Style::Code },
                _ => {
                    let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
                    let value = values.iter().find(|(known, _)| *known == name);
                    text.push(style, value.map_or("", |(_, value)| value));
                    rest = after;
                }
            }
        }
        text.push(style, rest);
        text
    }

    /// Adds a piece.
    pub fn push(&mut self, style: Style, text: &str) {
        let readable: String = text.replace("\r\n", "\n").chars().map(readable).collect();
        self.extend(style, &readable);
    }

    fn extend(&mut self, style: Style, readable: &str) {
        match self.0.last_mut() {
            _ if readable.is_empty() => {}
            Some((last, piece)) if *last == style => piece.push_str(readable),
            _ => self.0.push((style, readable.to_owned())),
        }
    }

    /// Adds another text behind this one.
    pub fn append(&mut self, other: &Self) {
        for (style, piece) in &other.0 {
            self.extend(*style, piece);
        }
    }

    /// Two texts with something between them; the other alone when there is no first.
    #[must_use]
    pub fn joined(&self, separator: &str, other: &Self) -> Self {
        let mut both = self.clone();
        both.follow(separator, other);
        both
    }

    /// Adds another text behind this one, with something between them unless there was none.
    pub fn follow(&mut self, separator: &str, other: &Self) {
        if !self.0.is_empty() {
            self.push(Style::Plain, separator);
        }
        self.append(other);
    }

    /// As it is read.
    pub fn plain(&self) -> String {
        self.0.iter().map(|(_, piece)| piece.as_str()).collect()
    }

    /// In Telegram's HTML, where `&`, `<` and `>` are all that has a meaning.
    pub fn html(&self) -> String {
        let mut html = String::new();
        for (style, piece) in &self.0 {
            let (open, close) = match style {
                Style::Plain => ("", ""),
                Style::Bold => ("<b>", "</b>"),
                Style::Code => ("<code>", "</code>"),
            };
            html.push_str(open);
            html.push_str(&piece.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
            html.push_str(close);
        }
        html
    }

    /// Whether there is nothing to see in it. Services refuse such a text.
    pub fn is_blank(&self) -> bool {
        self.0.iter().all(|(_, piece)| piece.trim().is_empty())
    }

    /// Whether a service takes it at once.
    pub fn fits(&self, limit: Limit) -> bool {
        limit.takes(self.size(limit.unit), self.styled())
    }

    fn size(&self, unit: Unit) -> usize {
        self.0.iter().flat_map(|(_, piece)| piece.chars()).map(|character| unit.size(character)).sum()
    }

    fn styled(&self) -> usize {
        self.0.iter().filter(|(style, _)| *style != Style::Plain).count()
    }

    /// The text in pieces that fit, cut wherever that is.
    fn cut(&self, limit: Limit) -> Vec<Self> {
        let (mut parts, mut part, mut size) = (Vec::new(), Self::default(), 0);
        for (style, piece) in &self.0 {
            let full = *style != Style::Plain && part.styled() == limit.styled;
            if full {
                parts.push(std::mem::take(&mut part));
                size = 0;
            }
            let mut rest = piece.as_str();
            while !rest.is_empty() {
                let mut end = 0;
                for character in rest.chars() {
                    let longer = size + limit.unit.size(character);
                    if longer > limit.most {
                        break;
                    }
                    size = longer;
                    end += character.len_utf8();
                }
                part.extend(*style, &rest[..end]);
                rest = &rest[end..];
                if !rest.is_empty() {
                    parts.push(std::mem::take(&mut part));
                    size = 0;
                }
            }
        }
        parts.push(part);
        parts
    }
}

impl Limit {
    const fn takes(self, size: usize, styled: usize) -> bool {
        size <= self.most && styled <= self.styled
    }
}

impl Unit {
    const fn size(self, character: char) -> usize {
        match self {
            Self::Utf16 => character.len_utf16(),
            Self::Bytes => character.len_utf8(),
        }
    }
}

/// Blocks with a blank line between them, in as few texts as fit, each under the same head. A block stays whole unless
/// it is too long by itself.
pub fn packed(head: &Rich, blocks: &[Rich], limit: Limit) -> Vec<Rich> {
    const BETWEEN: &str = "\n\n";
    let measured = |text: &Rich| (text.size(limit.unit), text.styled());
    let (mut texts, mut text, mut holds_block) = (Vec::new(), head.clone(), false);
    // What is packed already is not measured again, however many blocks there are.
    let (mut size, mut styled) = measured(head);
    for block in blocks {
        let (more, more_styled) = measured(block);
        let between = if text.0.is_empty() { 0 } else { BETWEEN.len() };
        if limit.takes(size + between + more, styled + more_styled) {
            text.follow(BETWEEN, block);
            (size, styled, holds_block) = (size + between + more, styled + more_styled, true);
            continue;
        }
        if holds_block {
            texts.push(text);
        }
        let mut pieces = head.joined(BETWEEN, block).cut(limit);
        text = pieces.pop().unwrap_or_default();
        (size, styled) = measured(&text);
        texts.append(&mut pieces);
        holds_block = true;
    }
    if blocks.is_empty() {
        texts = text.cut(limit);
    } else {
        texts.push(text);
    }
    texts.retain(|text| !text.is_blank());
    texts
}

/// Line breaks and tabs are kept. Other control characters become blanks, which is what Telegram makes of them.
fn readable(character: char) -> char {
    if character.is_control() && !matches!(character, '\n' | '\t') { ' ' } else { character }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limit = Limit { unit: Unit::Utf16, most: 20, styled: 3 };

    fn plain(text: &str) -> Rich {
        let mut rich = Rich::default();
        rich.push(Style::Plain, text);
        rich
    }

    #[test]
    fn a_value_is_never_part_of_the_template() {
        let text =
            Rich::filled("🏷 *{who}* `{port}`{none}", &[("who", "*a* {port} `b` <b>&amp;"), ("port", "80")]);
        assert_eq!(text.plain(), "🏷 *a* {port} `b` <b>&amp; 80");
        assert_eq!(text.html(), "🏷 <b>*a* {port} `b` &lt;b&gt;&amp;amp;</b> <code>80</code>");
    }

    #[test]
    fn control_characters_become_blanks_and_line_breaks_stay() {
        assert_eq!(plain("a\u{1b}[2J\0b\r\nc\td").plain(), "a [2J b\nc\td");
    }

    #[test]
    fn blocks_stay_whole_and_each_text_has_the_head() {
        let blocks = ["one one", "two two", "three"].map(plain);
        let texts: Vec<String> = packed(&plain("head"), &blocks, SMALL).iter().map(Rich::plain).collect();
        assert_eq!(
            texts,
            ["head\n\none one", "head\n\ntwo two\n\nthree"][..]
                .iter()
                .map(|t| (*t).to_owned())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_text_with_nothing_to_see_is_not_sent() {
        assert!(packed(&Rich::default(), &[plain(&" ".repeat(50))], SMALL).is_empty());
    }

    #[test]
    fn no_text_has_more_styled_pieces_than_a_service_takes() {
        let block = Rich::filled("`1` *2* `3` *4*", &[]);
        let texts = packed(&Rich::default(), std::slice::from_ref(&block), SMALL);
        assert_eq!(texts.iter().map(Rich::plain).collect::<Vec<_>>(), ["1 2 3 ", "4"]);
        assert!(texts.iter().all(|text| text.fits(SMALL)));
    }

    proptest! {
        #[test]
        fn whatever_is_too_long_is_cut_and_nothing_of_it_is_lost(texts in proptest::collection::vec("\\PC{0,60}", 0..6)) {
            let mut whole = Rich::default();
            for (number, text) in texts.iter().enumerate() {
                whole.push([Style::Plain, Style::Bold, Style::Code][number % 3], text);
            }
            let parts = whole.cut(SMALL);
            prop_assert!(parts.iter().all(|part| part.fits(SMALL)));
            prop_assert_eq!(parts.iter().map(Rich::plain).collect::<String>(), whole.plain());
        }
    }
}
