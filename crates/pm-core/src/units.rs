//! The three quantities that pm speaks of, each in one integer unit: bytes, bits a second, tenths of a percent.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes, as IP packet lengths add up at the netfilter hooks.
///
/// ```
/// use pm_core::units::Bytes;
///
/// let quota: Bytes = "1.5TB".parse()?;
/// assert_eq!(quota, Bytes(3 << 39));
/// assert_eq!(quota.exact(), "1.5 TB");
/// // Usage is cut off rather than rounded up: it never reads as used up before it is.
/// assert_eq!(Bytes((10 << 30) - 1).to_string(), "9.9 GB");
/// # Ok::<(), pm_core::units::UnitError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

impl Bytes {
    /// 1 GB as the panel, the configuration file and the script mean it: 1024^3 bytes.
    pub const GB: Self = Self(1 << 30);
    /// 1 MB: 1024^2 bytes.
    pub const MB: Self = Self(1 << 20);
    /// The largest quota that can be configured, 1,048,576 TB: it leaves room for adding usage without overflow.
    pub const MAX_QUOTA: Self = Self(1 << 60);

    /// The sum, or the largest number there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The number in the largest unit that shows it without rounding, for quotas: `1500 GB`, not `1.4 TB`.
    pub fn exact(self) -> String {
        let (name, unit) = UNITS
            .into_iter()
            .find(|&(_, unit)| self.0 >= unit && (u128::from(self.0) * 100).is_multiple_of(u128::from(unit)))
            .unwrap_or(("B", 1));
        let hundredths = u128::from(self.0) * 100 / u128::from(unit);
        format!("{} {name}", Decimal { units: hundredths, places: 2 })
    }
}

impl fmt::Display for Bytes {
    /// One decimal, cut off rather than rounded up, so that 9.99 GB of 10 GB never reads as used up.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS.into_iter().find(|&(_, unit)| self.0 >= unit).unwrap_or(("B", 1));
        let tenths = u128::from(self.0) * 10 / u128::from(unit);
        f.pad(&format!("{} {name}", Decimal { units: tenths, places: 1 }))
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    /// `10`, `10GB`, `10GiB`, `0.5`, `500MB`, `20MiB`, `2TB`: powers of 1024, gigabytes when no unit is given.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refused = || UnitError::Size(shown(text));
        let (digits, unit) = split_unit(text);
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "g" | "gb" | "gib" => 1 << 30,
            "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(refused()),
        };
        let bytes = scaled(digits, factor).ok_or_else(refused)?;
        if bytes == 0 || bytes > Self::MAX_QUOTA.0 { Err(refused()) } else { Ok(Self(bytes)) }
    }
}

/// A speed in bits a second.
///
/// ```
/// use pm_core::units::{Bytes, Rate};
///
/// assert_eq!(Rate::parse_limit("1.5Gbps")?, Some(Rate::mbps(1500)));
/// assert_eq!(Rate::parse_limit("0")?, None);
/// // 45 MB in three seconds.
/// assert_eq!(Rate::over(Bytes(45_000_000), 3_000).to_string(), "120 Mbps");
/// # Ok::<(), pm_core::units::UnitError>(())
/// ```
///
/// Zero stands for "no traffic", never for "no limit".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(u64);

impl Rate {
    /// The slowest limit that can be configured, 8 kbit/s: a packet of 1,500 bytes then takes a second and a half.
    pub const MIN_LIMIT: Self = Self(8_000);
    /// The fastest limit that can be configured, 1 Tbit/s.
    pub const MAX_LIMIT: Self = Self(1_000_000_000_000);

    /// A rate of `bits` a second.
    pub const fn bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// A rate of `mbps` million bits a second.
    pub const fn mbps(mbps: u64) -> Self {
        Self(mbps.saturating_mul(1_000_000))
    }

    /// The average of `bytes` over `milliseconds`; the largest rate there is when no time passed.
    pub fn over(bytes: Bytes, milliseconds: u64) -> Self {
        let bits = u128::from(bytes.0) * 8 * 1000;
        let rate = bits.checked_div(u128::from(milliseconds)).unwrap_or(u128::MAX);
        Self(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// Bits a second.
    pub const fn as_bits_per_second(self) -> u64 {
        self.0
    }

    /// The rate in Mbps with two decimals, as the messages show a measured rate: `120.50 Mbps`.
    pub fn measured(self) -> String {
        let hundredths = u128::from(self.0) / 10_000;
        format!("{}.{:02} Mbps", hundredths / 100, hundredths % 100)
    }

    /// A speed limit as an operator writes it, where `0` means that there is none.
    pub fn parse_limit(text: &str) -> Result<Option<Self>, UnitError> {
        let refused = || UnitError::Speed(shown(text));
        let (digits, unit) = split_unit(text);
        let unit = unit.to_ascii_lowercase();
        let prefix = ["bit/s", "bps", "bit", "b"].into_iter().find_map(|name| unit.strip_suffix(name));
        let factor = match prefix.unwrap_or(&unit) {
            "" if prefix.is_some() => 1,
            "" | "m" => 1_000_000,
            "k" => 1_000,
            "g" => 1_000_000_000,
            "t" => 1_000_000_000_000,
            _ => return Err(refused()),
        };
        match scaled(digits, factor).map(Self).ok_or_else(refused)? {
            Self(0) if digits.bytes().all(|byte| byte == b'0' || byte == b'.') => Ok(None),
            rate if (Self::MIN_LIMIT..=Self::MAX_LIMIT).contains(&rate) => Ok(Some(rate)),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Rate {
    /// Mbps with as many decimals as it takes: `100 Mbps`, `0.8 Mbps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} Mbps", Decimal { units: u128::from(self.0), places: 6 }))
    }
}

/// A share of a quota in tenths of a percent, cut off rather than rounded up; more than 100 % is possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(u32);

impl Percent {
    /// All of it.
    pub const FULL: Self = Self(1000);

    /// A share given in tenths of a percent.
    pub const fn from_tenths(tenths: u32) -> Self {
        Self(tenths)
    }

    /// What share of `whole` is `part`. Of nothing, everything is all.
    pub fn of(part: Bytes, whole: Bytes) -> Self {
        let tenths = (u128::from(part.0) * 1000).checked_div(u128::from(whole.0));
        tenths.map_or(Self::FULL, |tenths| Self(u32::try_from(tenths).unwrap_or(u32::MAX)))
    }

    /// Tenths of a percent: 810 for 81.0 %.
    pub const fn tenths(self) -> u32 {
        self.0
    }

    /// Whether it is `level` percent or more.
    pub fn reaches(self, level: u8) -> bool {
        self.0 >= u32::from(level) * 10
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}%", self.0 / 10, self.0 % 10))
    }
}

/// A size or a speed that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error(
        "`{0}` is not a size: write a number above 0 with an optional unit, such as 10, 0.5, 500MB, 20MiB or 2TB (GB when none is given)"
    )]
    Size(String),
    /// Not a speed.
    #[error(
        "`{0}` is not a speed: write 0 for no limit, or 8kbps to 1Tbps, such as 100, 0.8, 800kbps or 1.5Gbps (Mbps when no unit is given)"
    )]
    Speed(String),
}

/// What somebody typed, fit for one line of an error message: an [`excerpt`] of at most 60 characters.
pub fn shown(text: &str) -> String {
    excerpt(text, 60)
}

/// So many characters of a text, [`escaped`], and an ellipsis where there were more.
pub fn excerpt(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", escaped(&text[..end])),
        None => escaped(text).into_owned(),
    }
}

/// A text as it may be sent to a terminal: characters that steer it or cannot be seen are escaped.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character steers a terminal, changes the direction of what is around it, or cannot be seen: the control
/// characters of ASCII and of ISO 6429 (C1), and Unicode's format characters (category Cf) but for those with a shape
/// of their own, its line separators, and its blank letters.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || !character.is_ascii()
            && matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Splits `10.5GiB` into the number and the unit, blanks around either ignored.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim())
}

/// A decimal number times `factor`, rounded to the nearest whole; none when it is no number or too large.
pub(crate) fn scaled(digits: &str, factor: u64) -> Option<u64> {
    const MOST_DECIMALS: usize = 18;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > MOST_DECIMALS {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    let part = (fraction.parse::<u128>().ok()? * u128::from(factor) + scale / 2) / scale;
    u64::try_from(whole.checked_add(part)?).ok()
}

/// A number of tenths, hundredths or less, without the zeros that it ends with.
struct Decimal {
    units: u128,
    places: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u128.pow(self.places);
        let (whole, mut fraction, mut width) = (self.units / scale, self.units % scale, self.places as usize);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        while fraction.is_multiple_of(10) {
            (fraction, width) = (fraction / 10, width - 1);
        }
        write!(f, "{whole}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_gigabytes_by_default() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0).ok();
        assert_eq!(bytes("10"), Some(10 << 30));
        assert_eq!(bytes("10GB"), Some(10 << 30));
        assert_eq!(bytes("10 GiB"), Some(10 << 30));
        assert_eq!(bytes("0.5"), Some(1 << 29));
        assert_eq!(bytes("500mb"), Some(500 << 20));
        assert_eq!(bytes("20MiB"), Some(20 << 20));
        assert_eq!(bytes("2TB"), Some(2 << 40));
        assert_eq!(bytes("100TB"), Some(100 << 40));
        for wrong in [
            "",
            "0",
            "-1",
            "+5",
            "1e3",
            "ten",
            "1.",
            ".5",
            "1.2.3",
            "10XB",
            "99999999999",
            "1/2",
            "∞",
            "0.0000000000001",
        ] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn speeds_are_powers_of_1000_and_megabits_by_default() {
        let rate = |text: &str| Rate::parse_limit(text).map(|rate| rate.map(Rate::as_bits_per_second)).ok();
        assert_eq!(rate("100"), Some(Some(100_000_000)));
        assert_eq!(rate("100Mbps"), Some(Some(100_000_000)));
        assert_eq!(rate("1.5Gbps"), Some(Some(1_500_000_000)));
        assert_eq!(rate("800kbps"), Some(Some(800_000)));
        assert_eq!(rate("5mbit/s"), Some(Some(5_000_000)));
        assert_eq!(rate("0"), Some(None));
        assert_eq!(rate("0.0"), Some(None));
        assert_eq!(rate("5 g"), Some(Some(5_000_000_000)));
        assert_eq!(rate("9600bps"), Some(Some(9_600)));
        let wrong_units = ["100ps", "100it/s", "100mbpsps", "100MB/s", "100bb", "100kbitps"];
        for wrong in
            ["", "-1", "fast", "1bps", "0.0000001", "2000Gbps", "10 10"].into_iter().chain(wrong_units)
        {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn used_bytes_are_cut_off_and_quotas_are_exact() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes((10 << 30) - 1).to_string(), "9.9 GB");
        assert_eq!(Bytes(10 << 30).to_string(), "10 GB");
        assert_eq!(Bytes(1500 << 30).exact(), "1500 GB");
        assert_eq!(Bytes(20 << 20).exact(), "20 MB");
        assert_eq!(Bytes(2 << 40).exact(), "2 TB");
        assert_eq!(Bytes((1 << 30) + 1).exact(), "1073741825 B");
        assert_eq!(Bytes(3 << 29).exact(), "1.5 GB");
    }

    #[test]
    fn a_rate_is_taken_over_the_time_that_really_passed() {
        assert_eq!(Rate::over(Bytes(750_000_000), 60_000), Rate::mbps(100));
        assert_eq!(Rate::over(Bytes(u64::MAX), 1), Rate::bits_per_second(u64::MAX));
        assert_eq!(Rate::over(Bytes(1), 0), Rate::bits_per_second(u64::MAX));
        assert_eq!(Rate::bits_per_second(120_503_999).measured(), "120.50 Mbps");
        assert_eq!(Rate::bits_per_second(800_000).to_string(), "0.8 Mbps");
    }

    #[test]
    fn one_byte_short_of_a_quota_is_not_all_of_it() {
        assert_eq!(Percent::of(Bytes((10 << 30) - 1), Bytes(10 << 30)).to_string(), "99.9%");
        assert_eq!(Percent::of(Bytes(10 << 30), Bytes(10 << 30)), Percent::FULL);
        assert_eq!(Percent::of(Bytes(u64::MAX), Bytes(1)), Percent::from_tenths(u32::MAX));
        assert!(Percent::from_tenths(800).reaches(80) && !Percent::from_tenths(799).reaches(80));
    }

    #[test]
    fn what_was_typed_is_shown_without_its_control_characters() {
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
        assert_eq!(shown(&"长".repeat(61)), "长".repeat(60) + "…");
    }

    #[test]
    fn nothing_that_steers_a_terminal_or_cannot_be_seen_is_shown_as_it_is() {
        let controls = (0..=0x1f).chain(0x7f..=0x9f).filter_map(char::from_u32);
        // Directions, marks, joiners, blank letters, tags.
        let unseen = "\u{202e}\u{2066}\u{61c}\u{200f}\u{200b}\u{2060}\u{ad}\u{3164}\u{feff}\u{2028}\u{e0041}";
        for hidden in controls.chain(unseen.chars()) {
            let text = hidden.to_string();
            let text = escaped(&text);
            assert!(text.is_ascii() && text.starts_with('\\'), "{text:?} of {hidden:?}");
        }
        for seen in ["Snell 家庭 😀", "e\u{301} ❤\u{fe0f}", "עברית العربية", "\u{e0b0}"] {
            assert_eq!(shown(seen), seen);
        }
    }
}
