//! What of the configuration is in force at this moment: looked at, not changed.

use jiff::Zoned;
use pm_core::backend::BackendError;
use pm_core::tick::settle;
use pm_core::wire::{Decoded, Snapshot};

use crate::machine::{Machine, MachineError};

/// Whether the kernel is as it should be.
#[derive(Debug)]
pub struct Standing {
    /// The table.
    pub rules: Result<bool, BackendError>,
    /// The limits.
    pub limits: Limits,
}

/// Whether the speed limits stand.
#[derive(Debug)]
pub enum Limits {
    /// There are none.
    None,
    /// There are some, and no interface for them.
    Waiting,
    /// They stand, or do not.
    Looked(Result<bool, BackendError>),
}

/// Between the two looks at a quota packets pass, and then it may have to be moved a little; twice in a row is rare.
const LOOKS: u32 = 3;

impl Machine {
    /// Compares the kernel with the configuration.
    pub async fn standing(&self, now: &Zoned) -> Result<Standing, MachineError> {
        let Decoded { snapshot, .. } = self.load_or_new()?;
        let Snapshot { config, state, extras } = snapshot;
        let mut looks = 1;
        loop {
            let readings = self.firewall.read().await.map_err(MachineError::Read)?;
            let settled = settle(&config, state.clone(), &readings, now.timestamp()).state;
            let snapshot = Snapshot { config: config.clone(), state: settled, extras: extras.clone() };
            let desired = self.desired(&snapshot, &readings);
            let rules = self.firewall.stands(&desired.ruleset).await;
            if matches!(rules, Ok(false)) && looks < LOOKS {
                looks += 1;
                continue;
            }
            let limits = if desired.shaping.classes.is_empty() {
                Limits::None
            } else if desired.shaping.interface.is_none() {
                Limits::Waiting
            } else {
                Limits::Looked(self.shaper.stands(&desired.shaping).await)
            };
            return Ok(Standing { rules, limits });
        }
    }
}

#[cfg(test)]
mod tests {
    use pm_core::desired::Host;
    use pm_core::edit::{Edit, Settings};
    use pm_core::fake::FakeKernel;
    use pm_core::units::Rate;

    use super::*;
    use crate::paths::Paths;

    #[tokio::test]
    async fn what_is_lost_is_noticed_and_looking_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = FakeKernel::default();
        let host = || Host { default_interface: Some("eth0".into()), forwards: false };
        let (firewall, shaper) = (Box::new(kernel.clone()), Box::new(kernel.clone()));
        let machine = Machine::new(Paths::under(folder.path()), firewall, shaper, Box::new(host));
        let now: Zoned = "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap();
        let empty = machine.standing(&now).await.unwrap();
        assert!(matches!((empty.rules, empty.limits), (Ok(true), Limits::None)));

        let limit = Some(Some(Rate::mbps(5)));
        let add =
            Edit::Add("443".parse().unwrap(), Settings { quota: Some(None), limit, ..Settings::default() });
        machine.edit(&add, &now).await.unwrap();
        let whole = machine.standing(&now).await.unwrap();
        assert!(matches!((whole.rules, whole.limits), (Ok(true), Limits::Looked(Ok(true)))));

        kernel.flush();
        pm_core::backend::Shaper::remove(&kernel).await.unwrap();
        for _ in 0..2 {
            let lost = machine.standing(&now).await.unwrap();
            assert!(matches!((lost.rules, lost.limits), (Ok(false), Limits::Looked(Ok(false)))));
        }
        kernel.set_broken(true);
        assert!(matches!(machine.standing(&now).await, Err(MachineError::Read(_))));
    }
}
