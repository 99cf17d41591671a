//! A machine that is looked at second after second: the counters are read each time, the file only when it changed.

use jiff::Zoned;
use pm_core::accounting::Readings;
use pm_core::wire::Decoded;

use crate::machine::{Machine, MachineError, View};
use crate::store::Stamp;

/// Eyes on a machine. Nothing is written or locked, and no process is started.
pub struct Watch<'a> {
    machine: &'a Machine,
    file: Option<(Option<Stamp>, Decoded)>,
}

/// What there was to see.
#[derive(Debug)]
pub struct Look {
    /// The entries with their live figures.
    pub view: View,
    /// The counters behind the figures; none when they could not be read, and the view says why.
    pub readings: Option<Readings>,
}

impl Machine {
    /// Begins to watch.
    pub const fn watch(&self) -> Watch<'_> {
        Watch { machine: self, file: None }
    }
}

impl Watch<'_> {
    /// What there is to see now.
    pub async fn look(&mut self, now: &Zoned) -> Result<Look, MachineError> {
        let decoded = self.configuration()?.clone();
        let readings = self.machine.firewall.read().await;
        let (readings, unread) = match readings {
            Ok(readings) => (Some(readings), None),
            Err(error) => (None, Some(error)),
        };
        let view = View { unread, ..View::of(decoded, readings.as_ref(), now) };
        Ok(Look { view, readings })
    }

    fn configuration(&mut self) -> Result<&Decoded, MachineError> {
        // Looked at before the file is read: what changes in between is noticed the next time.
        let stamp = self.machine.store.stamp();
        let known = self.file.take().filter(|(known, _)| *known == stamp);
        let known = match known {
            Some(known) => known,
            None => (stamp, self.machine.load_or_new()?),
        };
        Ok(&self.file.insert(known).1)
    }
}

#[cfg(test)]
mod tests {
    use pm_core::desired::Host;
    use pm_core::edit::{Edit, Settings};
    use pm_core::fake::{Direction, FakeKernel};
    use pm_core::units::Bytes;

    use super::*;
    use crate::paths::Paths;

    #[tokio::test]
    async fn a_watch_sees_every_byte_and_every_change_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = FakeKernel::default();
        let (firewall, shaper) = (Box::new(kernel.clone()), Box::new(kernel.clone()));
        let machine = Machine::new(Paths::under(folder.path()), firewall, shaper, Box::new(Host::default));
        let now: Zoned = "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap();
        let mut watch = machine.watch();
        assert_eq!(watch.look(&now).await.unwrap().view.overview.ports, []);

        let port = "443".parse().unwrap();
        let settings = Settings { quota: Some(Some(Bytes(1000))), ..Settings::default() };
        machine.edit(&Edit::Add(port, settings), &now).await.unwrap();
        kernel.packet(port, Direction::In, 7);
        let look = watch.look(&now).await.unwrap();
        assert_eq!(look.view.overview.ports[0].in_bytes, Bytes(7));
        assert_eq!(look.readings.unwrap().counters.len(), 1);

        kernel.set_broken(true);
        let look = watch.look(&now).await.unwrap();
        assert!(look.readings.is_none() && look.view.unread.is_some());
        kernel.set_broken(false);

        std::fs::write(Paths::under(folder.path()).config(), "{").unwrap();
        assert!(watch.look(&now).await.is_err() && watch.look(&now).await.is_err());
        std::fs::write(Paths::under(folder.path()).config(), "{}").unwrap();
        assert_eq!(watch.look(&now).await.unwrap().view.overview.ports, []);
    }
}
