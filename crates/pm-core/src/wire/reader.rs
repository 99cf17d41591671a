//! JSON read straight from the text, as fast as what we write can be read.
//!
//! More than a third of a file is its indent, and most of the rest is names: both are passed eight bytes at a time.
//! A number or a text of an unusual form is left to `serde_json`, and so is a whole file that is refused here, since
//! there it is refused with a sentence.

use core::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use super::form::{Hand, Whose};

/// Reads an object but for what stands in the field `name`, which is an object too: its fields are handed to `take`, by
/// their names, with the reader at their values. None for a text that is wrong, or nested so deeply that it is not for
/// this reader, and where `take` takes none.
pub(super) fn read_around<'de, T: Deserialize<'de>>(
    text: &'de [u8],
    name: &'static str,
    take: impl FnMut(&str, &mut Reader<'de>) -> Option<()>,
) -> Option<T> {
    let mut reader = Reader::of(text)?;
    let value = T::deserialize(Around { reader: &mut reader, name, take }).ok()?;
    reader.next().is_none().then_some(value)
}

/// A file has six levels of its own; `serde_json` stops at 128.
const DEEPEST: u8 = 64;
/// As many digits as surely fit.
const DIGITS: usize = 19;

/// A place in a text.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    fn of(text: &'de [u8]) -> Option<Self> {
        Some(Self { text: core::str::from_utf8(text).ok()?, at: 0, depth: 0 })
    }

    /// Passes this text if it is next, to the byte.
    #[inline]
    fn passes(&mut self, text: &'static str) -> bool {
        let end = self.at + text.len();
        let found = self.text.as_bytes().get(self.at..end) == Some(text.as_bytes());
        self.at = if found { end } else { self.at };
        found
    }

    /// The next byte that means something. It is not taken.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                other if other > b' ' => return Some(other),
                b'\n' => self.at = self.search(self.at + 1, |eight| eight.first_but(b' ')),
                b' ' | b'\t' | b'\r' => self.at += 1,
                other => return Some(other),
            }
        }
    }

    /// The place from here on that is found among eight bytes, or one that less than eight bytes follow.
    #[inline]
    fn search(&self, mut at: usize, find: impl Fn(Eight) -> Option<usize>) -> usize {
        while let Some(eight) = Eight::of(self.text, at) {
            match find(eight) {
                Some(place) => return at + place,
                None => at += Eight::BYTES,
            }
        }
        at
    }

    /// Takes the next byte that means something if it is this one.
    #[inline]
    fn take(&mut self, wanted: u8) -> Result<(), Refused> {
        let found = self.next() == Some(wanted);
        self.at += usize::from(found);
        if found { Ok(()) } else { Err(Refused) }
    }

    #[inline]
    fn take_word(&mut self, word: &str) -> Result<(), Refused> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        self.at += word.len();
        if rest.starts_with(word.as_bytes()) { Ok(()) } else { Err(Refused) }
    }

    /// The text whose first quotation mark is next, unless it has escapes.
    #[inline]
    fn plain_text(&mut self) -> Option<&'de str> {
        let start = self.at + 1;
        let mut end = self.search(start, Eight::first_special);
        let special = loop {
            match *self.text.as_bytes().get(end)? {
                special if is_special(special) => break special,
                _ => end += 1,
            }
        };
        if special != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// The number that is next, if it is whole and written plainly.
    #[inline]
    fn plain_number(&mut self) -> Option<u64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let (mut number, mut length) = (0_u64, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(length) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            length += 1;
        }
        let fits = (1..=DIGITS).contains(&length) && (length == 1 || rest.first() != Some(&b'0'));
        if !fits || matches!(rest.get(length), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += length;
        Some(number)
    }

    /// Leaves the number or text that is next to `serde_json`.
    #[cold]
    fn unusual<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Refused> {
        let rest = self.text.get(self.at..).ok_or(Refused)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let value = values.next().and_then(Result::ok).ok_or(Refused)?;
        self.at += values.byte_offset();
        value.deserialize_any(visitor).map_err(|_| Refused)
    }

    /// What stands between two brackets.
    #[inline]
    fn within<T>(
        &mut self,
        [opening, closing]: [u8; 2],
        read: impl FnOnce(Items<'_, 'de>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.take(opening)?;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Refused);
        }
        let value = read(Items { reader: self, closing, is_first: true })?;
        self.depth -= 1;
        self.take(closing)?;
        Ok(value)
    }
}

/// Whether a byte is not simply part of a JSON text: a quotation mark, a backslash, a control character.
const fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// Eight bytes of a text, the first of them lowest.
#[derive(Clone, Copy)]
struct Eight(u64);

impl Eight {
    const BYTES: usize = 8;
    const HIGHEST_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

    #[inline]
    fn of(text: &str, at: usize) -> Option<Self> {
        text.as_bytes().get(at..)?.first_chunk().map(|bytes| Self(u64::from_le_bytes(*bytes)))
    }

    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// Where the first byte is that is another one.
    #[inline]
    fn first_but(self, byte: u8) -> Option<usize> {
        let others = self.0 ^ Self::all(byte);
        (others != 0).then(|| others.trailing_zeros() as usize / 8)
    }

    /// Where the first byte is that [`is_special`].
    #[inline]
    fn first_special(self) -> Option<usize> {
        // Marks every byte below `limit`. What a borrow marks wrongly stands behind a byte that is marked rightly.
        let below = |bytes: u64, limit: u8| bytes.wrapping_sub(Self::all(limit)) & !bytes;
        let is = |byte: u8| below(self.0 ^ Self::all(byte), 1);
        let special = (is(b'"') | is(b'\\') | below(self.0, b' ')) & Self::HIGHEST_BITS;
        (special != 0).then(|| special.trailing_zeros() as usize / 8)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Refused;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.next() {
            Some(b'{') => self.within(*b"{}", |items| visitor.visit_map(items)),
            Some(b'[') => self.within(*b"[]", |items| visitor.visit_seq(items)),
            Some(b'"') => match self.plain_text() {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.unusual(visitor),
            },
            Some(b't') => self.take_word("true").and_then(|()| visitor.visit_bool(true)),
            Some(b'f') => self.take_word("false").and_then(|()| visitor.visit_bool(false)),
            Some(b'n') => self.take_word("null").and_then(|()| visitor.visit_unit()),
            _ => match self.plain_number() {
                Some(number) => visitor.visit_u64(number),
                None => self.unusual(visitor),
            },
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.next() {
            Some(b'n') => self.take_word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// What is left of a list or an object.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    closing: u8,
    is_first: bool,
}

impl Items<'_, '_> {
    /// Whether there is another one. The reader then stands before it, or before blanks.
    #[inline]
    fn has_next(&mut self) -> Result<bool, Refused> {
        let is_first = core::mem::take(&mut self.is_first);
        match self.reader.next() {
            Some(closing) if closing == self.closing => Ok(false),
            Some(b',') if !is_first => {
                self.reader.at += 1;
                Ok(true)
            }
            Some(_) if is_first => Ok(true),
            _ => Err(Refused),
        }
    }
}

impl<'de> Items<'_, 'de> {
    /// The name of the next field.
    #[inline]
    fn next_name(&mut self) -> Result<Option<&'de str>, Refused> {
        if !self.has_next()? {
            return Ok(None);
        }
        if self.reader.next() != Some(b'"') {
            return Err(Refused);
        }
        self.reader.plain_text().ok_or(Refused).map(Some)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Refused;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let name = self.next_name()?;
        name.map(|name| seed.deserialize(BorrowedStrDeserializer::new(name))).transpose()
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        self.reader.take(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Refused;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        if self.has_next()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

/// An object but for one of its fields.
struct Around<'a, 'de, F> {
    reader: &'a mut Reader<'de>,
    name: &'static str,
    take: F,
}

impl<'de, F: FnMut(&str, &mut Reader<'de>) -> Option<()>> Deserializer<'de> for Around<'_, 'de, F> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let Self { reader, name, take } = self;
        reader.within(*b"{}", |items| visitor.visit_map(ItemsAround { items, name: Some(name), take }))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct ItemsAround<'a, 'de, F> {
    items: Items<'a, 'de>,
    /// The field; none when it was passed.
    name: Option<&'static str>,
    take: F,
}

impl<'de, F: FnMut(&str, &mut Reader<'de>) -> Option<()>> ItemsAround<'_, 'de, F> {
    fn pass(&mut self) -> Result<(), Refused> {
        self.items.reader.take(b':')?;
        self.items.reader.next();
        self.items.reader.within(*b"{}", |mut fields| {
            while let Some(name) = fields.next_name()? {
                fields.reader.take(b':')?;
                fields.reader.next();
                (self.take)(name, fields.reader).ok_or(Refused)?;
            }
            Ok(())
        })
    }
}

impl<'de, F: FnMut(&str, &mut Reader<'de>) -> Option<()>> MapAccess<'de> for ItemsAround<'_, 'de, F> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        loop {
            let Some(name) = self.items.next_name()? else { return Ok(None) };
            if self.name.take_if(|passed| *passed == name).is_none() {
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
            self.pass()?;
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        self.items.next_value_seed(seed)
    }
}

/// An eye that goes along the form of an entry. Fields that nobody knows are no part of it.
impl<'de> Hand<'de> for Reader<'de> {
    type Error = Refused;

    #[inline]
    fn text(&mut self, text: &'static str) -> Result<(), Refused> {
        if self.passes(text) { Ok(()) } else { Err(Refused) }
    }

    #[inline]
    fn field<T: Deserialize<'de>>(&mut self, lead: &'static str, value: &mut T) -> Result<(), Refused> {
        self.text(lead)?;
        *value = T::deserialize(self)?;
        Ok(())
    }

    #[inline]
    fn option<T: Deserialize<'de>>(
        &mut self,
        lead: &'static str,
        value: &mut Option<T>,
    ) -> Result<(), Refused> {
        if self.passes(lead) {
            *value = Some(T::deserialize(self)?);
        }
        Ok(())
    }

    #[inline]
    fn object<T: Default>(
        &mut self,
        lead: &'static str,
        value: &mut Option<T>,
        form: impl FnOnce(&mut Self, &mut T) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if self.passes(lead) {
            form(self, value.insert(T::default()))?;
        }
        Ok(())
    }

    fn lines<T: Deserialize<'de>>(
        &mut self,
        lead: &'static str,
        value: &mut Option<T>,
    ) -> Result<(), Refused> {
        if self.passes(lead) {
            *value = Some(T::deserialize(self)?);
        }
        Ok(())
    }

    #[inline]
    fn unknown(&mut self, _: Whose) -> Result<(), Refused> {
        Ok(())
    }
}

/// Something is wrong. `serde_json` will say what.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl core::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Option<T> {
        let mut reader = Reader::of(text)?;
        let value = T::deserialize(&mut reader).ok()?;
        reader.next().is_none().then_some(value)
    }

    fn by_serde_json(text: &[u8]) -> Option<Value> {
        serde_json::from_slice(text).ok()
    }

    #[test]
    fn json_of_every_form_is_read_as_serde_json_reads_it() {
        let spread = " \n                    {\n                 \"a\"   :\n\n1}   \n";
        let texts = r#"0 7 1234567890123456789 9999999999999999999 18446744073709551615 18446744073709551616 -1 -0 0.1 1e3
            12E-2 0.30000000000000004 null true false "" "plain" "家庭,or.so" "\"quoted\"\u5bb6\n" "seven..\"" [] [1]
            {} {"a":{"b":[]},"a":1}"#;
        let spaced = ["[ 1 , [2,\r\n\t3 ] ]", "\"\u{7f} \u{80}\"", spread];
        for text in texts.split_whitespace().chain(spaced) {
            let read = read::<Value>(text.as_bytes());
            assert!(read.is_some() && read == by_serde_json(text.as_bytes()), "{text}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let texts = r#"01 00 - 1. 1e .5 +1 1x 1e999 nul nulll tru True " "a "\" "\x" [ ] [1 [1,] [,1] [1} { } {1:2} {"a"} {"a":}
            {"a"1} {"a":1,} {,} {"a":1"b":2} {"a":1] {"a":1}}"#;
        let others = ["", " ", "1 2", "[1 2]", "\"a\nb\"", "\"12345678\u{1}\""];
        for text in texts.split_whitespace().chain(others) {
            assert_eq!(by_serde_json(text.as_bytes()), None, "{text}");
            assert_eq!(read::<Value>(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read::<Value>(b"\"\xff\""), None);
    }

    #[test]
    fn a_list_in_a_list_and_so_on_is_no_overflow_of_the_stack() {
        let nested = |depth: u8| format!("{}{}", "[".repeat(depth.into()), "]".repeat(depth.into()));
        assert!(read::<Value>(nested(DEEPEST).as_bytes()).is_some());
        assert_eq!(read::<Value>("[".repeat(1 << 20).as_bytes()), None);
        assert_eq!(read::<Value>(nested(DEEPEST + 1).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(
            mut text in proptest::collection::vec(proptest::sample::select(br#"{}[]",:\ n0123.eE-+ux"#.to_vec()), 0..12),
            place in any::<proptest::sample::Index>(), spaced in any::<String>(),
        ) {
            let around = format!("[{{\"{spaced}\": 10, \"b\": \"{spaced}\"}}, true ,\n     null, 1.5]");
            let place = place.index(around.len());
            let mut broken = around.clone().into_bytes();
            broken.splice(place..place, text.iter().copied());
            text.truncate(6);
            for text in [around.as_bytes(), &broken, &text] {
                if let Some(value) = read::<Value>(text) {
                    prop_assert_eq!(Some(value), by_serde_json(text));
                }
            }
        }
    }
}
