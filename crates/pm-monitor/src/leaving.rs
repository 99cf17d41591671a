//! The end of pm on a machine: accounts settled for the last time, and a kernel as it was before.

use jiff::Zoned;
use pm_core::backend::BackendError;
use pm_core::tick::settle;
use pm_core::wire::{Decoded, Snapshot};

use crate::lock::{Lock, LockError};
use crate::machine::{Machine, MachineError};

/// What became of it. Whatever could be done was done.
#[derive(Debug, Default)]
pub struct Left {
    /// Why the accounts were not settled to the last byte.
    pub unsettled: Option<MachineError>,
    /// What could not be taken out of the kernel.
    pub faults: Vec<BackendError>,
}

impl Machine {
    /// Settles, then removes the table and the limits, and puts back what stood before them.
    pub async fn leave(&self, now: &Zoned) -> Result<Left, LockError> {
        let _alone = Lock::wait(&self.paths.cron_lock())?;
        let _lock = Lock::wait(&self.paths.lock())?;
        let unsettled = self.settle_for_good(now).await.err();
        let removals = [self.firewall.remove().await, self.shaper.remove().await];
        Ok(Left { unsettled, faults: removals.into_iter().filter_map(Result::err).collect() })
    }

    async fn settle_for_good(&self, now: &Zoned) -> Result<(), MachineError> {
        let Some(Decoded { snapshot, .. }) = self.store.load()? else { return Ok(()) };
        let Snapshot { config, state, extras } = snapshot;
        let readings = self.firewall.read().await.map_err(MachineError::Read)?;
        let state = settle(&config, state, &readings, now.timestamp()).state;
        self.store.save(&Snapshot { config, state, extras })?;
        Ok(())
    }
}
