//! Sizes, speeds, ports and whatever else an operator types: what is understood is shown in a form that is understood
//! alike.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use pm_core::config::{Config, GroupId};
use pm_core::edit::telegram::{hours, thresholds};
use pm_core::port::{ClassId, Port, PortRange};
use pm_core::quota::Thresholds;
use pm_core::units::{Bytes, Rate, shown};
use pm_core::wire::{Snapshot, decode, encode};

/// Reads a text as everything that can be typed.
pub fn units(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let errors = [
        size(text),
        speed(text),
        port(text),
        text.parse::<Port>().err().map(|error| error.to_string()),
        GroupId::new(text).err().map(|error| error.to_string()),
        thresholds(text).err().map(|error| error.to_string()),
        hours(text).err().map(|error| error.to_string()),
    ];
    for error in errors.into_iter().flatten() {
        assert!(!error.chars().any(char::is_control), "it has control characters: {error:?}");
        assert!(error.chars().count() < 1_000, "it is a page long: {error}");
    }
    if let Ok(levels) = thresholds(text) {
        let levels: Vec<String> = levels.levels().map(|level| level.to_string()).collect();
        assert_eq!(
            thresholds(&levels.join(",")).ok().as_ref().map(Thresholds::levels).map(Iterator::count),
            Some(levels.len())
        );
    }
    assert!(!shown(text).chars().any(char::is_control));
}

fn size(text: &str) -> Option<String> {
    let size: Bytes = match text.parse() {
        Ok(size) => size,
        Err(error) => return Some(format!("{error}")),
    };
    assert!(size > Bytes(0) && size <= Bytes::MAX_QUOTA);
    let exact = size.exact();
    let back: Bytes = exact.parse().unwrap_or_else(|error| panic!("{error}"));
    // Two decimals of a unit are whole bytes only where nothing had to be rounded.
    assert_eq!(back, size, "{text} is shown as {exact}");
    let rounded = size.to_string().parse().unwrap_or(Bytes(0));
    assert!(rounded <= size, "{text} is shown as more than it is: {size}");
    let mut config = Config::default();
    config.ports.entry(PortRange::from(Port::new(1)?)).or_default().quota = Some(size);
    let quota = kept(config, |config| config.ports.values().next().and_then(|port| port.quota));
    // A number in JSON has 53 bits: beyond 8,192 TB the file keeps what they tell.
    let off = quota.map_or(u64::MAX, |quota| quota.0.abs_diff(size.0));
    assert!(off <= size.0 >> 52, "{text} does not survive the file: {quota:?}");
    None
}

fn speed(text: &str) -> Option<String> {
    let rate = match Rate::parse_limit(text) {
        Ok(Some(rate)) => rate,
        Ok(None) => return None,
        Err(error) => return Some(format!("{error}")),
    };
    assert!((Rate::MIN_LIMIT..=Rate::MAX_LIMIT).contains(&rate));
    let back = Rate::parse_limit(&rate.to_string());
    assert_eq!(back.ok().flatten(), Some(rate), "{text} is shown as {rate}");
    let mut config = Config::default();
    config.ports.entry(PortRange::from(Port::new(1)?)).or_default().limit = Some(rate);
    let limit = kept(config, |config| config.ports.values().next().and_then(|port| port.limit));
    assert_eq!(limit, Some(rate), "{text} does not survive the file");
    None
}

fn port(text: &str) -> Option<String> {
    let range: PortRange = match text.parse() {
        Ok(range) => range,
        Err(error) => return Some(format!("{error}")),
    };
    // There is one way to write a port.
    assert_eq!(range.to_string(), text);
    assert_eq!(PortRange::from_kernel_suffix(&range.kernel_suffix()), Some(range));
    assert_eq!(range.width(), range.numbers().count());
    assert!(range.overlaps(range));
    if let Some(class) = ClassId::of(range) {
        assert_eq!(ClassId::from_minor(class.minor()), Some(class));
        assert_eq!(class.priority(), 0x1_0000 + u32::from(range.first().number()));
    }
    None
}

/// What a configuration says after it was written and read.
fn kept<T>(config: Config, of: impl Fn(&Config) -> T) -> T {
    let written = encode(&Snapshot { config, ..Snapshot::default() });
    let read = decode(&written).unwrap_or_else(|error| panic!("{error}"));
    of(&read.snapshot.config)
}
