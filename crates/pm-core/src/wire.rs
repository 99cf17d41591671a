//! config.json, schema v4.3, exactly as it is on disk: the only place where 0 means "none" and flags must agree.
//!
//! What the script's schema lacks stands in optional, additive fields. A field that nobody here knows is written back
//! as it came. The numbers keep the form in which an operator would write them: `0.1` GB stays `0.1`.

mod delivery;
mod document;
mod entry;
mod field;
mod form;
mod number;
mod pen;
mod reader;
mod warning;
mod writing;

pub(crate) use number::megabits;
pub use warning::Warning;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::port::PortRange;
use crate::state::State;
use crate::units::escaped;

/// A configuration file in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What the operator decides.
    pub config: Config,
    /// What the monitor learns.
    pub state: State,
    /// Fields that we do not know, to be written back.
    pub extras: Extras,
}

/// The fields of a file that we do not know, by where they stood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extras {
    top: Map<String, Value>,
    telegram: Map<String, Value>,
    config_version: Option<Value>,
    monitor: Map<String, Value>,
    update: Map<String, Value>,
    ports: BTreeMap<PortRange, PortExtras>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct PortExtras {
    port: Map<String, Value>,
    stats: Map<String, Value>,
    dyn_limit: Map<String, Value>,
    notify_state: Map<String, Value>,
    names_no_group: bool,
    figures: entry::Figures,
}

/// A file that was read, with what should be pointed out about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The file.
    pub snapshot: Snapshot,
    /// What it says that nobody can have meant.
    pub warnings: Vec<Warning>,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}{}: {reason}", if .field.is_empty() { String::new() } else { format!(", field `{field}`") })]
pub struct WireError {
    /// Where, counted from 1.
    pub line: usize,
    /// Where in the line, counted from 1.
    pub column: usize,
    /// The path of the field, such as `ports.10086.quota_gb`; empty when the text is no JSON.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a file.
///
/// ```
/// use pm_core::units::Bytes;
/// use pm_core::wire::{decode, encode};
///
/// let text = br#"{"ports": {"10086": {"quota_gb": 0.5, "quota_mode": "in_out", "tomorrow": true}}}"#;
/// let decoded = decode(text)?;
/// let port = "10086".parse().unwrap();
/// assert_eq!(decoded.snapshot.config.ports[&port].quota, Some(Bytes(1 << 29)));
/// let written = String::from_utf8(encode(&decoded.snapshot)).unwrap();
/// assert!(written.contains("\"tomorrow\": true") && written.contains("\"quota_gb\": 0.5"));
///
/// let refused = decode(br#"{"ports": {"0443": {}}}"#).unwrap_err();
/// assert!(refused.to_string().starts_with("line 1, column 17, field `ports.0443`: `0443` is not a port"));
/// # Ok::<(), pm_core::wire::WireError>(())
/// ```
pub fn decode(text: &[u8]) -> Result<Decoded, WireError> {
    // Nearly every file is one that we wrote.
    let document = document::Document::of_our_form(text).map_or_else(|| read(text), Ok)?;
    Ok(document.into_snapshot())
}

/// Reads any JSON, and says where it was refused. To follow the path of every field costs more than to read it, so what is
/// read every minute has a reader of its own.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, WireError> {
    let text = core::str::from_utf8(text).map_err(|error| {
        let lines = || text[..error.valid_up_to()].split(|&byte| byte == b'\n');
        let (line, column) = (lines().count(), lines().next_back().map_or(0, <[u8]>::len) + 1);
        let reason = "this is not UTF-8 text".to_string();
        WireError { line, column, field: String::new(), reason }
    })?;
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| locate(&error))?;
    json.end().map_err(|error| WireError {
        line: error.line(),
        column: error.column(),
        field: String::new(),
        reason: "there is text after the end of the configuration".to_string(),
    })?;
    Ok(value)
}

fn locate(error: &serde_path_to_error::Error<serde_json::Error>) -> WireError {
    let inner = error.inner();
    let place = format!(" at line {} column {}", inner.line(), inner.column());
    let text = inner.to_string();
    let path = error.path().to_string();
    WireError {
        line: inner.line().max(1),
        column: inner.column().max(1),
        field: if path == "." || !inner.is_data() { String::new() } else { without_middle(&path) },
        reason: without_middle(text.strip_suffix(&place).unwrap_or(&text)),
    }
}

/// What a file says, in one line. A value that is a page long must not push what is allowed, which stands at the end, out
/// of sight.
fn without_middle(text: &str) -> String {
    const HEAD: usize = 100;
    const TAIL: usize = 250;
    let length = text.chars().count();
    if length <= HEAD + TAIL {
        return escaped(text).into_owned();
    }
    let place = |number: usize| text.char_indices().nth(number).map_or(text.len(), |(place, _)| place);
    format!("{} … {}", escaped(&text[..place(HEAD)]), escaped(&text[place(length - TAIL)..]))
}

/// Writes a file: two blanks of indent as `jq` does, a newline at the end.
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    encode_over(snapshot, Vec::new())
}

/// The same, over what these bytes hold: the memory that a file was read into does for the next one.
pub fn encode_over(snapshot: &Snapshot, paper: Vec<u8>) -> Vec<u8> {
    writing::document(snapshot, paper)
}

#[cfg(test)]
mod tests;
