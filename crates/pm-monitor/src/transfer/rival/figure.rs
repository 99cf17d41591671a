//! Scalars as scripts write them: numbers in quotes, `1.2e+10`, `"true"`, null.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use pm_core::units::{Bytes, shown};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A number, a text or a switch, as the text that a script would see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure(String);

impl Figure {
    /// The text without blanks around it.
    pub(super) fn text(&self) -> &str {
        self.0.trim()
    }

    /// The text, fit for one line.
    pub(super) fn shown(&self) -> String {
        shown(self.text())
    }

    /// Whether it is a switch that is on.
    pub(super) fn is_on(&self) -> bool {
        self.text() == "true"
    }

    /// A whole number; none when it is anything else.
    pub(super) fn whole(&self) -> Option<u64> {
        Some(self.text()).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    }

    /// A number of gigabytes of 1024^3 bytes, fractions and zero allowed; none when it is anything else.
    pub(super) fn gigabytes(&self) -> Option<Bytes> {
        let text = self.text();
        let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        if text.is_empty() || !text.bytes().all(is_number) {
            return None;
        }
        if text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            return Some(Bytes(0));
        }
        // bc leaves the zero in front of the point away.
        let whole = if text.starts_with('.') { "0" } else { "" };
        format!("{whole}{text}").parse().ok()
    }

    /// A day of the month, or 0 for none; none when it is anything else.
    pub(super) fn day(&self) -> Option<u8> {
        self.whole().and_then(|day| u8::try_from(day).ok()).filter(|day| *day <= 31)
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = Figure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a text, true or false")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Figure, E> {
                Ok(Figure(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Figure, E> {
                Ok(Figure(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Figure, E> {
                Ok(Figure(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Figure, E> {
                Ok(Figure(value.to_string()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Figure, E> {
                Ok(Figure(value.to_owned()))
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

/// An object whose keys are names; a name that stands twice is refused, since nobody can know which one was meant.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with an entry for each port")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if entries.contains_key(&name) {
                        return Err(A::Error::custom(format!(
                            "`{}` stands here twice: remove one of the two entries",
                            shown(&name)
                        )));
                    }
                    let value = map.next_value()?;
                    entries.insert(name, value);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(json: &str) -> Option<Figure> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn numbers_are_read_in_every_form_that_a_script_gives_them() {
        for json in ["12000000000", "\"12000000000\"", "1.2e+10", "\" 12000000000 \""] {
            assert_eq!(figure(json).and_then(|figure| figure.whole()), Some(12_000_000_000), "{json}");
        }
        for json in ["-1", "1.5", "\"\"", "\"+5\"", "true", "1e300", "18446744073709551616"] {
            assert_eq!(figure(json).and_then(|figure| figure.whole()), None, "{json}");
        }
        assert!(figure("[]").is_none() && figure("{}").is_none());
    }

    #[test]
    fn gigabytes_have_fractions_and_no_unit() {
        let bytes = |json: &str| figure(json).and_then(|figure| figure.gigabytes());
        assert_eq!(bytes("0.5"), Some(Bytes(1 << 29)));
        assert_eq!(bytes("\".5\""), Some(Bytes(1 << 29)));
        assert_eq!(bytes("\"0.000\""), Some(Bytes(0)));
        for wrong in ["-1", "\"5GB\"", "\"\"", "1e300", "\"1.2.3\"", "true"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
