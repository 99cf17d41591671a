//! A pen that writes JSON as `jq` lays it out, straight into its bytes: no tree of values is made first.
//!
//! Of what a quiet minute costs, writing the entries is the part that grows fastest with the number of ports.

use alloc::borrow::{Cow, ToOwned};
use alloc::vec::Vec;

use serde::Serialize;

use crate::port::PortRange;

/// Blanks for the indent of the deepest field that is written often; what is deeper takes several of these.
const BLANKS: &[u8] = &[b' '; 16];

/// Text that grows: the fields of an object one after another.
pub(super) struct Pen {
    text: Vec<u8>,
    depth: usize,
}

impl Pen {
    /// A pen that writes over these bytes. Where there is no memory yet, it makes room for so many.
    pub(super) fn on(mut paper: Vec<u8>, room: usize) -> Self {
        paper.clear();
        if paper.capacity() == 0 {
            paper.reserve(room);
        }
        Self { text: paper, depth: 0 }
    }

    /// What was written, and a newline at the end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.text.push(b'\n');
        self.text
    }

    /// An object, whose fields `fill` writes.
    #[inline]
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.text.push(b'{');
        self.depth += 1;
        let empty = self.text.len();
        fill(self);
        self.depth -= 1;
        if self.text.len() > empty {
            self.new_line();
        }
        self.text.push(b'}');
    }

    /// The name of a field that the schema has; its value is to follow.
    #[inline]
    pub(super) fn field(&mut self, name: &'static str) -> &mut Self {
        self.next_line();
        // Names of the schema have nothing in them to be escaped.
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\": ");
        self
    }

    /// What needs no thought: names, braces, line breaks and blanks.
    #[inline]
    pub(super) fn as_it_is(&mut self, text: &'static str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Where so many braces are open that this pen did not write.
    pub(super) fn at(&mut self, depth: usize, write: impl FnOnce(&mut Self)) {
        let before = core::mem::replace(&mut self.depth, depth);
        write(self);
        self.depth = before;
    }

    /// The name of any field; its value is to follow.
    pub(super) fn named(&mut self, name: &(impl Plain + ?Sized)) -> &mut Self {
        self.next_line();
        self.plain(name);
        self.text.extend_from_slice(b": ");
        self
    }

    /// A value that takes one line.
    #[inline]
    pub(super) fn plain(&mut self, value: &(impl Plain + ?Sized)) {
        value.write(&mut self.text);
    }

    /// A value that may take several lines.
    pub(super) fn value(&mut self, value: &impl Serialize) {
        // Maps with text keys and plain values: nothing in a document can fail to be written.
        let text = serde_json::to_vec_pretty(value).unwrap_or_default();
        // A line break within a text is written as an escape, so each of these is one of the layout.
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if number > 0 {
                self.new_line();
            }
            self.text.extend_from_slice(line);
        }
    }

    /// The line of the next field. No value ends with a brace that opens, so behind one the first field begins.
    #[inline]
    fn next_line(&mut self) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
        self.new_line();
    }

    #[inline]
    fn new_line(&mut self) {
        self.text.push(b'\n');
        let mut indent = 2 * self.depth;
        while indent > 0 {
            let piece = indent.min(BLANKS.len());
            self.text.extend_from_slice(&BLANKS[..piece]);
            indent -= piece;
        }
    }
}

/// A value that takes one line.
pub(super) trait Plain {
    /// Appends it.
    fn write(&self, text: &mut Vec<u8>);
}

impl Plain for u64 {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
    }
}

impl Plain for u32 {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        u64::from(*self).write(text);
    }
}

impl Plain for u16 {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        u64::from(*self).write(text);
    }
}

impl Plain for u8 {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        u64::from(*self).write(text);
    }
}

impl Plain for PortRange {
    fn write(&self, text: &mut Vec<u8>) {
        let numbers = self.numbers();
        text.push(b'"');
        numbers.start().write(text);
        if numbers.start() < numbers.end() {
            text.push(b'-');
            numbers.end().write(text);
        }
        text.push(b'"');
    }
}

impl Plain for bool {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Plain for str {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        if self.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            text.extend(serde_json::to_vec(self).unwrap_or_default());
            return;
        }
        text.push(b'"');
        text.extend_from_slice(self.as_bytes());
        text.push(b'"');
    }
}

impl<T: Plain + ToOwned + ?Sized> Plain for Cow<'_, T> {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        (**self).write(text);
    }
}

impl<T: Plain + ?Sized> Plain for &T {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        (**self).write(text);
    }
}

impl<T: Plain> Plain for Option<T> {
    #[inline]
    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(text),
            None => text.extend_from_slice(b"null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use serde_json::{Value, json};

    use super::*;

    fn write(pen: &mut Pen, value: &Value) {
        match value {
            Value::Object(fields) => pen.object(|pen| {
                fields.iter().for_each(|(name, value)| write(pen.named(name.as_str()), value));
            }),
            Value::Array(_) => pen.value(value),
            Value::Null => pen.plain(&None::<u64>),
            Value::Bool(flag) => pen.plain(flag),
            Value::Number(number) => pen.plain(&number.as_u64().unwrap()),
            Value::String(text) => pen.plain(text.as_str()),
        }
    }

    #[test]
    fn it_writes_as_serde_json_does() {
        let deep = (0..20).fold(json!({"a": [1]}), |inner, _| json!({ "{": inner, "b{": "\n{", "c": {} }));
        let plain = json!({"": [0, 1], "a": 0, "b": 10, "c": u64::MAX, "d": true, "e": false, "\u{7f}é\u{1}\\/": "\u{1f}"});
        for value in [
            plain,
            json!({}),
            json!({"a": {}, "b": []}),
            json!({"a\"": [{"b": ["\n"]}, {}], "c": null}),
            deep,
        ] {
            let mut pen = Pen::on(Vec::new(), 0);
            write(&mut pen, &value);
            let expected = serde_json::to_string_pretty(&value).unwrap() + "\n";
            assert_eq!(String::from_utf8(pen.finish()).unwrap(), expected);
        }
        let mut pen = Pen::on(Vec::new(), 0);
        pen.object(|pen| pen.field("known").plain(&1_u64));
        assert_eq!(pen.finish(), b"{\n  \"known\": 1\n}\n");
    }

    #[test]
    fn an_entry_is_named_as_it_is_everywhere() {
        for name in ["1", "65535", "20000-20100"] {
            let mut text = Vec::new();
            name.parse::<PortRange>().unwrap().write(&mut text);
            assert_eq!(text, serde_json::to_vec(name).unwrap());
        }
    }
}
