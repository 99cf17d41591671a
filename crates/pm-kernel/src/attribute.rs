//! The attributes that netlink messages are made of, read from any bytes without trusting them.

/// Length and type in front of every attribute.
const HEADER: usize = 4;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`: flags in the two highest bits of the type.
const TYPE_MASK: u16 = 0x3fff;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type without flags.
    pub kind: u16,
    /// Its value.
    pub payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as a 64-bit number in network order, as `nf_tables` writes all of its numbers.
    pub fn be64(self) -> Option<u64> {
        self.payload.try_into().ok().map(u64::from_be_bytes)
    }

    /// The value as a 32-bit number in network order.
    pub fn be32(self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_be_bytes)
    }

    /// The value as a 32-bit number in the order of this machine, as routing messages have it.
    pub fn u32(self) -> Option<u32> {
        self.payload.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The value as text; the zero that ends it is left out.
    pub fn text(self) -> Option<&'a str> {
        let end = self.payload.iter().position(|&byte| byte == 0).unwrap_or(self.payload.len());
        self.payload.get(..end).and_then(|text| str::from_utf8(text).ok())
    }

    /// Whether the value is this text and the zero that ends it.
    pub fn is_text(self, text: &str) -> bool {
        self.payload.split_last() == Some((&0, text.as_bytes()))
    }

    /// The attributes inside of this one.
    pub fn nested(self) -> Attributes<'a> {
        Attributes::of(self.payload)
    }
}

/// The attributes in some bytes, in their order. What is cut short or impossible ends them.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of this type.
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self.clone(), |attribute| attribute.kind == kind)
    }

    /// The first attribute of each of these types, found in one pass: for lists of thousands.
    pub fn find_all<const KINDS: usize>(self, kinds: [u16; KINDS]) -> [Option<Attribute<'a>>; KINDS] {
        let mut found = [None; KINDS];
        for attribute in self {
            for (place, &kind) in found.iter_mut().zip(&kinds) {
                if kind == attribute.kind && place.is_none() {
                    *place = Some(attribute);
                }
            }
        }
        found
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let &[length_low, length_high, kind_low, kind_high, ..] = self.rest else { return None };
        let length = usize::from(u16::from_ne_bytes([length_low, length_high]));
        let payload = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(Attribute { kind: u16::from_ne_bytes([kind_low, kind_high]) & TYPE_MASK, payload })
    }
}

/// Messages and attributes begin at multiples of four.
pub(crate) const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Writes one attribute. Values are a few hundred bytes at most; what does not fit is cut off.
pub(crate) fn write(into: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = u16::try_from(HEADER + payload.len()).unwrap_or(u16::MAX);
    let payload = &payload[..usize::from(length) - HEADER];
    into.extend(length.to_ne_bytes());
    into.extend(kind.to_ne_bytes());
    into.extend(payload);
    into.resize(aligned(into.len()), 0);
}

/// Writes an attribute that is made of attributes.
pub(crate) fn write_nested(into: &mut Vec<u8>, kind: u16, attributes: &[u8]) {
    write(into, kind | NESTED, attributes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut inner = Vec::new();
        write(&mut inner, 1, &7_u64.to_be_bytes());
        let mut bytes = Vec::new();
        write(&mut bytes, 3, b"name\0");
        write_nested(&mut bytes, 4, &inner);
        write(&mut bytes, 5, &9_u32.to_be_bytes());

        let attributes = Attributes::of(&bytes);
        assert_eq!(attributes.find(3).and_then(Attribute::text), Some("name"));
        let nested = attributes.find(4).unwrap().nested();
        assert_eq!(nested.find(1).and_then(Attribute::be64), Some(7));
        assert_eq!(attributes.find(5).and_then(Attribute::be32), Some(9));
        assert_eq!(attributes.find(6), None);
        let found = attributes.clone().find_all([5, 6, 3]);
        assert_eq!(found, [attributes.find(5), None, attributes.find(3)]);
        let is_text = |text| found[2].is_some_and(|name| name.is_text(text));
        assert!(is_text("name") && !is_text("nam") && !is_text("name\0"));
    }

    #[test]
    fn of_two_attributes_of_one_type_the_first_is_found() {
        let mut bytes = Vec::new();
        write(&mut bytes, 3, b"one\0");
        write(&mut bytes, 3, b"two\0");
        let attributes = Attributes::of(&bytes);
        assert_eq!(attributes.clone().find_all([3]), [attributes.find(3)]);
        assert_eq!(attributes.find(3).and_then(Attribute::text), Some("one"));
    }

    #[test]
    fn an_attribute_longer_than_its_bytes_is_none() {
        let mut bytes = Vec::new();
        write(&mut bytes, 3, b"name\0");
        assert_eq!(Attributes::of(&bytes[..8]).next(), None);
        assert_eq!(Attributes::of(&[3, 0, 1, 0]).next(), None);
        assert_eq!(Attributes::of(&[0, 0, 0, 0, 0]).next(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for attribute in Attributes::of(&bytes) {
                let _ = (attribute.be64(), attribute.be32(), attribute.u32(), attribute.text());
                prop_assert!(attribute.nested().count() <= bytes.len());
            }
        }
    }
}
