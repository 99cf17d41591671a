//! Numbers as operators write them: decimal gigabytes and megabits on disk, whole bytes and bits a second in memory.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::pen::Plain;
use crate::reset::ResetDay;
use crate::units::{Bytes, Rate, scaled};

/// `quota_gb`: gigabytes of 1024^3 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gigabytes(pub(super) Bytes);

/// `limit_mbps` and its like: megabits a second; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Megabits(pub(super) Rate);

/// A whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Whole(#[serde(deserialize_with = "whole")] pub(super) u64);

/// A Unix time; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Seconds(#[serde(deserialize_with = "seconds")] pub(super) u64);

/// Minutes, hours or strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Count(#[serde(deserialize_with = "count")] pub(super) u32);

/// A day of the month; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Day(#[serde(deserialize_with = "day")] pub(super) u8);

/// A threshold in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Level(#[serde(deserialize_with = "level")] pub(super) u8);

impl Day {
    pub(super) fn of(day: Option<ResetDay>) -> Self {
        Self(day.map_or(0, ResetDay::day))
    }
}

macro_rules! plain_as_its_number {
    ($($name:ident)*) => {$(
        impl Plain for $name {
            #[inline]
            fn write(&self, text: &mut Vec<u8>) {
                self.0.write(text);
            }
        }
    )*};
}

plain_as_its_number!(Whole Seconds Count Day Level);

const GB: u64 = 1 << 30;
const MBPS: u64 = 1_000_000;

impl Plain for Gigabytes {
    fn write(&self, text: &mut Vec<u8>) {
        write(self.0.0, GB, text);
    }
}

impl Plain for Megabits {
    fn write(&self, text: &mut Vec<u8>) {
        write(self.0.as_bits_per_second(), MBPS, text);
    }
}

fn write(amount: u64, unit: u64, text: &mut Vec<u8>) {
    match whole_units(amount, unit) {
        Some(whole) => whole.write(text),
        None => text.extend(shortest(amount, unit).to_string().into_bytes()),
    }
}

/// Most amounts are whole, and need no search for a fraction that means them.
fn whole_units(amount: u64, unit: u64) -> Option<u64> {
    amount.is_multiple_of(unit).then_some(amount / unit)
}

/// A rate as a JSON number of Mbps.
pub(crate) mod megabits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{MBPS, Megabits, shortest};
    use crate::units::Rate;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field over so")]
    pub(crate) fn serialize<S: Serializer>(rate: &Rate, serializer: S) -> Result<S::Ok, S::Error> {
        shortest(rate.as_bits_per_second(), MBPS).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        Megabits::deserialize(deserializer).map(|rate| rate.0)
    }
}

/// The shortest decimal number of `unit`s that means exactly `amount`; beyond 2^53 bytes or bits, where a number in JSON has
/// too few digits for that, the nearest one.
fn shortest(amount: u64, unit: u64) -> Number {
    const MOST_PLACES: u32 = 12;
    if let Some(whole) = whole_units(amount, unit) {
        return Number::from(whole);
    }
    let candidates = (1..=MOST_PLACES).filter_map(|places| {
        let scale = 10_u128.pow(places);
        let digits = (u128::from(amount) * scale + u128::from(unit) / 2) / u128::from(unit);
        let text = format!("{}.{:0width$}", digits / scale, digits % scale, width = places as usize);
        Number::from_f64(text.parse().ok()?)
    });
    let exact = |number: &Number| number.as_f64().and_then(|value| decimal(value, unit)) == Some(amount);
    let mut nearest = None;
    for number in candidates {
        if exact(&number) {
            return number;
        }
        nearest = Some(number);
    }
    nearest.unwrap_or_else(|| Number::from(amount / unit))
}

/// A JSON number of `unit`s as a whole amount, without going through binary fractions.
fn decimal(value: f64, unit: u64) -> Option<u64> {
    // The shortest text that reads back as this number: what somebody typed, not its binary neighbour.
    let text = value.to_string();
    let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    // A computed number such as 1/3 has more places than can matter.
    let text = if places > 18 { format!("{value:.18}") } else { text };
    scaled(&text, unit)
}

struct Amount {
    unit: u64,
    most: u64,
    expected: &'static str,
}

impl Visitor<'_> for Amount {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        let amount = value.checked_mul(self.unit).filter(|&amount| amount <= self.most);
        amount.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Err(E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        // What is counted in ones has no fraction that could be rounded away.
        let divisible = self.unit > 1 || !value.to_string().contains('.');
        let amount = decimal(value, self.unit).filter(|&amount| divisible && amount <= self.most);
        amount.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }
}

impl<'de> Deserialize<'de> for Gigabytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number of GB from 0 to 1073741824, or null to meter only";
        deserializer
            .deserialize_any(Amount { unit: GB, most: Bytes::MAX_QUOTA.0, expected })
            .map(|bytes| Self(Bytes(bytes)))
    }
}

impl<'de> Deserialize<'de> for Megabits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a number of Mbps from 0 to 1000000, where 0 means none";
        let most = Rate::MAX_LIMIT.as_bits_per_second();
        let bits = deserializer.deserialize_any(Amount { unit: MBPS, most, expected })?;
        Ok(Self(Rate::bits_per_second(bits)))
    }
}

/// A whole number that `jq` may have written as `1e+17`.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Amount { unit: 1, most: u64::MAX, expected: "a whole number, 0 or more" })
}

/// A Unix time in seconds; 0 for none.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    const YEAR_9999: u64 = 253_402_207_200;
    let expected = "a Unix time in seconds, or 0 for none";
    deserializer.deserialize_any(Amount { unit: 1, most: YEAR_9999, expected })
}

/// A whole number of minutes, hours or strikes.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    const MOST: u64 = 525_600;
    let visitor = Amount { unit: 1, most: MOST, expected: "a whole number from 0 to 525600" };
    Ok(u32::try_from(deserializer.deserialize_any(visitor)?).unwrap_or(u32::MAX))
}

/// A day of the month; 0 for none.
pub(super) fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let visitor = Amount { unit: 1, most: 31, expected: "a day of the month from 1 to 31, or 0 for none" };
    Ok(u8::try_from(deserializer.deserialize_any(visitor)?).unwrap_or(u8::MAX))
}

/// A percentage.
pub(super) fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let visitor = Amount { unit: 1, most: 100, expected: "a whole number from 0 to 100" };
    Ok(u8::try_from(deserializer.deserialize_any(visitor)?).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn gigabytes(json: &str) -> Option<u64> {
        serde_json::from_str::<Gigabytes>(json).ok().map(|gigabytes| gigabytes.0.0)
    }

    fn written(value: &impl Plain) -> String {
        let mut text = Vec::new();
        value.write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn an_amount_with_more_digits_than_a_number_has_is_kept_to_the_last_that_it_has() {
        for amount in [(1 << 53) + 1, 9_007_199_845_690_661, 9_028_797_180_189_968, (1 << 60) - 1] {
            let kept = shortest(amount, GB).as_f64().and_then(|value| decimal(value, GB)).unwrap();
            assert!(kept.abs_diff(amount) <= amount >> 52, "{amount} is kept as {kept}");
        }
    }

    #[test]
    fn fractions_are_read_as_typed() {
        assert_eq!(gigabytes("10"), Some(10 << 30));
        assert_eq!(gigabytes("10.0"), Some(10 << 30));
        assert_eq!(gigabytes("0.1"), Some(107_374_182));
        assert_eq!(gigabytes("0.01953125"), Some(20 << 20));
        assert_eq!(gigabytes("1e2"), Some(100 << 30));
        assert_eq!(gigabytes("0"), Some(0));
        for wrong in ["-1", "-0.5", "\"10\"", "true", "1e30", "1073741825", "[]"] {
            assert_eq!(gigabytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_amount_is_written_as_somebody_would_type_it() {
        let gigabytes = |bytes| written(&Gigabytes(Bytes(bytes)));
        assert_eq!(gigabytes(10 << 30), "10");
        assert_eq!(gigabytes(107_374_182), "0.1");
        assert_eq!(gigabytes(20 << 20), "0.01953125");
        assert_eq!(written(&Megabits(Rate::bits_per_second(800_000))), "0.8");
    }

    proptest! {
        #[test]
        fn every_quota_up_to_a_million_gigabytes_survives_the_file(bytes in 0_u64..(1 << 50)) {
            let text = written(&Gigabytes(Bytes(bytes)));
            prop_assert_eq!(gigabytes(&text), Some(bytes), "{}", text);
        }

        #[test]
        fn every_rate_survives_the_file(bits in 0_u64..=1_000_000_000_000) {
            let rate = Rate::bits_per_second(bits);
            let text = written(&Megabits(rate));
            prop_assert_eq!(serde_json::from_str::<Megabits>(&text).unwrap().0, rate);
        }
    }
}
