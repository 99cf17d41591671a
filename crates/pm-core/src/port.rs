//! What one entry meters: a port or a range of ports; and the HTB class that shapes it.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::num::NonZeroU16;
use core::ops::RangeInclusive;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::shown;

/// A TCP and UDP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port with this number; none for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Port {
    type Err = PortError;

    /// Plain decimal digits, nothing else: `0443` and `+5` name no port.
    fn from_str(text: &str) -> Result<Self, PortError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let port = if plain { text.parse().ok().map(Self) } else { None };
        port.ok_or_else(|| PortError::NotAPort(shown(text)))
    }
}

/// The key of an entry: one port (`10086`) or a range metered as one (`20000-20100`). Ordered by first port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// The ports from `first` to `last`; none when they are the wrong way round.
    pub fn new(first: Port, last: Port) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    pub const fn first(self) -> Port {
        self.first
    }

    /// The highest port.
    pub const fn last(self) -> Port {
        self.last
    }

    /// How many ports there are.
    pub fn width(self) -> usize {
        self.numbers().len()
    }

    /// The numbers of its ports.
    pub const fn numbers(self) -> RangeInclusive<u16> {
        self.first.number()..=self.last.number()
    }

    /// Whether some port is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The suffix of the kernel objects that belong to it: `10086`, or `20000_20100`.
    pub fn kernel_suffix(self) -> String {
        self.kernel_name("")
    }

    /// The name of the kernel object that belongs to it, with this in front: `cnt_in_10086` for `cnt_in_`.
    pub fn kernel_name(self, prefix: &str) -> String {
        // Two numbers of five digits and what is between them.
        let mut name = String::with_capacity(prefix.len() + 11);
        name.push_str(prefix);
        self.push_kernel_suffix(&mut name);
        name
    }

    /// Appends the [`kernel_suffix`](Self::kernel_suffix) to a text.
    pub fn push_kernel_suffix(self, text: &mut String) {
        text.push_str(itoa::Buffer::new().format(self.first.number()));
        if self.first != self.last {
            text.push('_');
            text.push_str(itoa::Buffer::new().format(self.last.number()));
        }
    }

    /// The range that a [`kernel_suffix`](Self::kernel_suffix) stands for.
    pub fn from_kernel_suffix(suffix: &str) -> Option<Self> {
        match suffix.split_once('_') {
            None => suffix.parse::<Port>().ok().map(Self::from),
            Some((first, last)) => {
                let range = Self::new(first.parse().ok()?, last.parse().ok()?)?;
                (range.first != range.last).then_some(range)
            }
        }
    }
}

/// Both numbers are compared as one: maps by entry compare keys more often than they do anything else.
impl Ord for PortRange {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |range: &Self| u32::from(range.first.number()) << 16 | u32::from(range.last.number());
        number(self).cmp(&number(other))
    }
}

impl PartialOrd for PortRange {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Port> for PortRange {
    fn from(port: Port) -> Self {
        Self { first: port, last: port }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.width() {
            None if self.first == self.last => write!(f, "{}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
            // As texts are, and numbers are not: from the left.
            Some(_) => f.pad(&self.kernel_suffix().replace('_', "-")),
        }
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        match text.split_once('-') {
            None => text.parse().map(|port: Port| port.into()),
            Some((first, last)) => {
                let refused = |_| PortError::NotAPort(shown(text));
                let first: Port = first.parse().map_err(refused)?;
                let last: Port = last.parse().map_err(refused)?;
                // A range of one port would be a second name for that port.
                Self::new(first, last)
                    .filter(|_| first != last)
                    .ok_or_else(|| PortError::Backwards(shown(text)))
            }
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The minor number of an HTB class under handle `1:`, chosen so that anyone can find a port's class with `tc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassId(NonZeroU16);

impl ClassId {
    /// The major number of the HTB root and of all of its classes.
    pub const MAJOR: u16 = 1;
    /// The minor that the v4.3 layout gave to unlimited traffic. No port is shaped by it.
    pub const RESERVED: u16 = 0xfffe;

    /// The class of an entry: its first port as a number. None for the port whose class is reserved.
    pub fn of(range: PortRange) -> Option<Self> {
        NonZeroU16::new(range.first.number()).filter(|minor| minor.get() != Self::RESERVED).map(Self)
    }

    /// The class with this minor number, as read from the kernel; none for 0.
    pub fn from_minor(minor: u16) -> Option<Self> {
        NonZeroU16::new(minor).map(Self)
    }

    /// The minor number.
    pub const fn minor(self) -> u16 {
        self.0.get()
    }

    /// The value that a packet's priority has when it belongs to this class: major above minor.
    pub const fn priority(self) -> u32 {
        (Self::MAJOR as u32) << 16 | self.0.get() as u32
    }
}

impl fmt::Display for ClassId {
    /// As `tc` and `nft` write it, in hexadecimal: `1:2766`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", Self::MAJOR, self.0)
    }
}

/// A port or range that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a port.
    #[error(
        "`{0}` is not a port: write a number from 1 to 65535 without sign or leading zero, such as 10086, or a range such as 20000-20100"
    )]
    NotAPort(String),
    /// The ends of a range are equal or the wrong way round.
    #[error(
        "`{0}` is not a range of ports: write the lower port first, such as 20000-20100, and a single port as itself"
    )]
    Backwards(String),
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn only_plain_decimal_numbers_are_ports() {
        for text in ["1", "443", "10086", "65535", "20000-20100", "1-65535"] {
            assert_eq!(range(text).to_string(), text);
        }
        for wrong in [
            "", "0", "0443", "65536", "+5", " 5 ", "-5", "5-", "5-5", "7-5", "1-2-3", "0-5", "0x50", "8o",
            "１",
        ] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn kernel_names_lead_back_to_their_ports() {
        for text in ["10086", "20000-20100"] {
            assert_eq!(PortRange::from_kernel_suffix(&range(text).kernel_suffix()), Some(range(text)));
        }
        for foreign in ["", "x", "5_", "5_5", "7_5", "010", "1_2_3"] {
            assert_eq!(PortRange::from_kernel_suffix(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn ranges_overlap_when_they_share_a_port() {
        assert!(range("10-20").overlaps(range("20")));
        assert!(range("15").overlaps(range("10-20")));
        assert!(!range("10-20").overlaps(range("21-30")));
    }

    #[test]
    fn a_class_is_the_hexadecimal_port_and_the_reserved_one_is_nobodys() {
        assert_eq!(ClassId::of(range("10086")).unwrap().to_string(), "1:2766");
        assert_eq!(ClassId::of(range("10086")).unwrap().priority(), 0x0001_2766);
        assert_eq!(ClassId::of(range("65534")), None);
        assert_eq!(ClassId::of(range("65535")).unwrap().to_string(), "1:ffff");
    }
}
