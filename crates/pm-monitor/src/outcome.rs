//! What a minute or an edit came to, beyond that it was saved.

use std::fmt;

use pm_core::backend::BackendError;
use pm_core::edit;
use pm_core::event::Message;
use pm_core::tick::Alarm;
use pm_core::wire::Warning;

use crate::ownership::Shared;

/// What there is to say after the state was saved.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the operator should know.
    pub notes: Vec<Note>,
    /// Speed limits are configured, but there is no interface to hold them on yet.
    pub shaping_waits: bool,
    /// There is something in the queue to tell.
    pub messages_wait: bool,
    /// What happened, where no channel is switched on that could be told of it.
    pub unheard: Vec<Message>,
    /// What could not be brought into force.
    pub faults: Vec<BackendError>,
}

/// The sentence for [`Outcome::shaping_waits`].
pub const SHAPING_WAITS: &str = "speed limits are not in force, because this machine has no default route: they wait for one, or name the interface with pm set --interface NAME; metering and quotas work";

/// Something that the operator should know. Its `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// About the file.
    File(Warning),
    /// About the change that was made.
    Edit(edit::Note),
    /// A counter cannot be trusted for once.
    Counter(Alarm),
    /// Somebody else can change the configuration.
    Shared(Shared),
    /// The interface of an import is not here.
    Interface {
        /// Its name, with its control characters escaped.
        foreign: String,
        /// The one that is shaped in its place; none for that of the default route.
        instead: Option<String>,
    },
    /// An import names another place where newer releases come from, or another publisher; it was left out.
    Releases,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(warning) => warning.fmt(f),
            Self::Edit(note) => note.fmt(f),
            Self::Shared(shared) => shared.fmt(f),
            Self::Counter(Alarm { port, direction, from, to }) => write!(
                f,
                "the {direction}bound counter of port {port} went back from {} to {} bytes: something else reset it, so what it counted in between is not billed",
                from.0, to.0
            ),
            Self::Interface { foreign, instead } => write!(
                f,
                "this machine has no network interface `{foreign}` as the export names it; speed limits are held on {}: pm set --interface NAME chooses another",
                instead.as_deref().unwrap_or("that of the default route")
            ),
            Self::Releases => f.write_str(
                "the export says where its machine gets newer releases of pm from; that was left out, and this machine keeps its own: `update` in config.json, if you trust it",
            ),
        }
    }
}

/// What became of a minute.
#[derive(Debug)]
pub enum MinuteOutcome {
    /// It ran.
    Done(Outcome),
    /// Another monitor is in the middle of one.
    Busy,
    /// There is no configuration yet.
    NothingConfigured,
}
