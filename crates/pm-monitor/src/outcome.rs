//! What a minute or an edit came to, beyond that it was saved.

use pm_core::backend::BackendError;
use pm_core::tick::Alarm;

/// What there is to say after the state was saved.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the operator should know, a sentence each.
    pub notes: Vec<String>,
    /// Speed limits are configured, but there is no interface to hold them on yet.
    pub shaping_waits: bool,
    /// There is something in the queue to tell.
    pub messages_wait: bool,
    /// What could not be brought into force.
    pub faults: Vec<BackendError>,
}

/// The sentence for [`Outcome::shaping_waits`].
pub const SHAPING_WAITS: &str = "speed limits are not in force, because this machine has no default route: they wait for one, or name the interface with pm set --interface NAME; metering and quotas work";

impl Outcome {
    pub(crate) fn note_alarms(&mut self, alarms: &[Alarm]) {
        for Alarm { port, direction, from, to } in alarms {
            self.notes.push(format!(
                "the {direction}bound counter of port {port} went back from {} to {} bytes: something else reset it, so what it counted in between is not billed",
                from.0, to.0
            ));
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
