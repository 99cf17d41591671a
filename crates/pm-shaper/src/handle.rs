//! The 32-bit numbers by which the kernel names queueing disciplines and classes.

use std::fmt;
use std::str::FromStr;

use pm_core::port::ClassId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A queueing discipline (minor 0) or a class: major in the upper half, minor in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(pub(crate) u32);

impl Handle {
    /// `TC_H_ROOT`: the parent of an interface's outermost queueing discipline and of HTB's outermost classes.
    pub(crate) const ROOT: Self = Self(0xffff_ffff);
    /// `TC_H_INGRESS`: the parent of what looks at arriving packets.
    pub(crate) const INGRESS: Self = Self(0xffff_fff1);
    /// What the kernel set by itself has no number.
    pub(crate) const NONE: Self = Self(0);
    /// Our root.
    pub(crate) const OURS: Self = Self::new(ClassId::MAJOR, 0);

    /// The handle of these two halves.
    pub(crate) const fn new(major: u16, minor: u16) -> Self {
        Self((major as u32) << 16 | minor as u32)
    }

    pub(crate) const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(crate) const fn minor(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The only class of a queueing discipline that has just one, such as TBF.
    pub(crate) const fn only_class(self) -> Self {
        Self::new(self.major(), 1)
    }
}

impl From<ClassId> for Handle {
    fn from(class: ClassId) -> Self {
        Self(class.priority())
    }
}

impl fmt::Display for Handle {
    /// As tc writes it: `1:2766`, `8001:`, `root`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.minor()) {
            (Self::ROOT, _) => f.write_str("root"),
            (_, 0) => write!(f, "{:x}:", self.major()),
            (_, minor) => write!(f, "{:x}:{minor:x}", self.major()),
        }
    }
}

impl FromStr for Handle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let half = |text: &str| match text {
            "" => Some(0),
            _ => u16::from_str_radix(text, 16).ok(),
        };
        let halves = || {
            let (major, minor) = text.split_once(':')?;
            Some(Self::new(half(major)?, half(minor)?))
        };
        match text {
            "root" => Ok(Self::ROOT),
            _ => halves().ok_or_else(|| format!("`{text}` is not a handle such as 8001:")),
        }
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_written_and_read_as_tc_writes_them() {
        for (handle, text) in [
            (Handle::ROOT, "root"),
            (Handle::NONE, "0:"),
            (Handle::OURS, "1:"),
            (Handle::new(1, 0x2766), "1:2766"),
            (Handle::new(0x8001, 0).only_class(), "8001:1"),
        ] {
            assert_eq!(handle.to_string(), text);
            assert_eq!(text.parse(), Ok(handle));
        }
        for wrong in ["", "1", "x:", "1:12345", "Root"] {
            assert!(wrong.parse::<Handle>().is_err(), "{wrong}");
        }
    }
}
