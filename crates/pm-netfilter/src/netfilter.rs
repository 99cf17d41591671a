//! The firewall that pm reads and applies: the one place of this crate that touches the machine.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use async_trait::async_trait;
use pm_core::accounting::{BootId, Readings};
use pm_core::backend::{Applied, BackendError, Firewall, Ruleset};
use pm_kernel::boot;
use pm_kernel::floor;
use pm_kernel::netns::NetworkNamespace;
use pm_kernel::tool::{Tool, ToolError};

use crate::error::NetfilterError;
use crate::json::Listing;
use crate::kernel::Kernel;
use crate::layout::{LAYOUT, Layout, TABLE};
use crate::lines;
use crate::reading;
use crate::record::{Notebook, Record, checksum};
use crate::render;
use crate::script::{Command, Script};
use crate::standing::{Standing, Table, fingerprint};

/// How nft says `EMSGSIZE`.
const TOO_LONG: &str = "Message too long";

/// How often an apply is tried when others change nftables between looking and writing.
const ATTEMPTS: u32 = 16;

/// The table `inet port_monitor` of the network namespace that this process is in.
#[derive(Debug)]
pub struct Netfilter {
    nft: Tool,
    notes: Notebook,
}

impl Netfilter {
    /// The firewall, with the file in which it notes what it applied. Nothing is looked for or opened yet.
    pub fn new(record: impl Into<PathBuf>) -> Self {
        Self::with_nft(record, Tool::new("nft", "nftables").no_older_than(floor::NFT))
    }

    /// The same with a particular `nft`.
    pub fn with_nft(record: impl Into<PathBuf>, nft: Tool) -> Self {
        Self { nft, notes: Notebook::new(record.into()) }
    }

    /// The readings as the program `nft` tells them, which the kernel itself is asked for when it can be.
    pub async fn read_with_nft(&self) -> Result<Readings, NetfilterError> {
        let boot = boot::current()?;
        let Some(table) = self.list(&["list", "tables"]).await?.table else { return Ok(Readings::default()) };
        let before = self.list(&["list", "quotas", "table", "inet", TABLE]).await?.quotas;
        let counters = self.list(&["list", "counters", "table", "inet", TABLE]).await?.counters;
        let after = self.list(&["list", "quotas", "table", "inet", TABLE]).await?.quotas;
        let [before, after] = [before, after].map(|quotas| quotas.into_iter().collect());
        Ok(reading::readings(boot, table, before, counters.into_iter().collect(), after))
    }

    /// Applies with no other eyes than those of the program `nft`, for the same case. Nothing is found to be in order
    /// already: all rules and sets are made anew, and counters and quotas keep their values.
    pub async fn apply_with_nft(&self, ruleset: &Ruleset) -> Result<Applied, NetfilterError> {
        self.notes.forget();
        let standing = match self.list(&["list", "tables"]).await?.table {
            Some(_) => self.list(&["list", "table", "inet", TABLE]).await?.standing(),
            None => Standing::default(),
        };
        let layout = Layout::of(ruleset);
        self.run(&Script::over(&layout, &standing)).await.map_err(NetfilterError::writing)?;
        Ok(Applied::Changed)
    }

    async fn list(&self, command: &[&str]) -> Result<Listing, NetfilterError> {
        let arguments: Vec<&str> = ["-j"].into_iter().chain(command.iter().copied()).collect();
        let printed = self.nft.run(&arguments, "").await.map_err(NetfilterError::List)?;
        Listing::read(&printed)
    }

    async fn readings(&self) -> Result<Readings, NetfilterError> {
        let boot = boot::current()?;
        match Kernel::open().and_then(|mut kernel| kernel.readings(boot)) {
            Err(error) if error.is_about_netlink() => {
                self.read_with_nft().await.map_err(|nft| error.with_nft(&nft))
            }
            readings => readings,
        }
    }

    async fn make(&self, ruleset: &Ruleset) -> Result<Applied, NetfilterError> {
        if ruleset.metered.is_empty() {
            return self.clear().await;
        }
        let wanted = number(ruleset);
        let place = place(boot::current()?);
        let mut kernel = match Kernel::open().and_then(|mut kernel| kernel.generation().map(|_| kernel)) {
            Err(error) if error.is_about_netlink() => {
                return self.apply_with_nft(ruleset).await.map_err(|nft| error.with_nft(&nft));
            }
            kernel => kernel?,
        };
        let noted = self.standing_record(&mut kernel, &place, wanted)?;
        if noted.as_ref().is_some_and(|record| record.ruleset == wanted) {
            return Ok(Applied::Unchanged);
        }
        let lines = lines::of(ruleset);
        let known = noted.map_or(Ok(None), |record| self.difference(&mut kernel, &record, &lines))?;
        self.notes.forget();
        let generation = match Self::write(&mut kernel, ruleset, known) {
            Err(error) if error.is_about_netlink() => {
                return self.apply_with_nft(ruleset).await.map_err(|nft| error.with_nft(&nft));
            }
            generation => generation?,
        };
        self.note(&mut kernel, place, wanted, &lines, generation);
        Ok(Applied::Changed)
    }

    /// Whether the table is as this ruleset asks for, as far as can be told without making it so.
    fn is_as(&self, ruleset: &Ruleset) -> Result<bool, NetfilterError> {
        let mut kernel = Kernel::open()?;
        if ruleset.metered.is_empty() {
            return Ok(kernel.table()?.is_none());
        }
        let wanted = number(ruleset);
        let noted = self.standing_record(&mut kernel, &place(boot::current()?), wanted)?;
        Ok(noted.is_some_and(|record| record.ruleset == wanted))
    }

    /// The record of what stands. Where others have changed nftables since it was written, only a record of this ruleset is
    /// worth comparing with the kernel.
    fn standing_record(
        &self,
        kernel: &mut Kernel,
        place: &str,
        wanted: u64,
    ) -> Result<Option<Record>, NetfilterError> {
        // The table is asked for too: a new namespace may have an old one's number, and count generations from one.
        let Some(table) = kernel.table()? else { return Ok(None) };
        let is_of_table = |record: &Record| record.place == place && record.table == table.handle;
        let generation = kernel.generation()?;
        let current = self.notes.find(|record| is_of_table(record) && record.generation == generation);
        if current.is_some() {
            return Ok(current);
        }
        let Some(record) = self.notes.find(|record| is_of_table(record) && record.ruleset == wanted) else {
            return Ok(None);
        };
        let Some(lines) = self.notes.lines(&record) else { return Ok(None) };
        let Some(ruleset) = lines::read(lines.lines()) else { return Ok(None) };
        let (generation, standing, contents) = kernel.everything()?;
        if fingerprint(&standing, &contents) != record.fingerprint || !standing.holds(&Layout::of(&ruleset)) {
            return Ok(None);
        }
        let record = Record { generation, ..record };
        self.notes.keep(record.clone(), &lines);
        Ok(Some(record))
    }

    /// What differs between these lines and those that stand by this record.
    fn difference(
        &self,
        kernel: &mut Kernel,
        record: &Record,
        lines: &str,
    ) -> Result<Option<Difference>, NetfilterError> {
        let Some(noted) = self.notes.lines(record) else { return Ok(None) };
        let Some(rulesets) = lines::difference(&noted, lines) else { return Ok(None) };
        let [stood, layout] = rulesets.map(|ruleset| Layout::of(&ruleset));
        // A table that sleeps was not written by us.
        let mut standing = Standing::after(stood, Table { handle: record.table, flags: 0 });
        standing.exhausted = kernel.exhausted(&standing.raised_by(&layout))?;
        if standing.written != layout.chains {
            standing.handles = kernel.handles()?;
        }
        Ok(Some(Difference { generation: record.generation, standing, layout }))
    }

    /// Makes the table as this ruleset asks for, where this may be known to differ, and returns the generation that this
    /// made.
    ///
    /// The kernel makes the changes only if nobody has made others since we looked, so what was deleted stood and what
    /// was kept still does.
    fn write(
        kernel: &mut Kernel,
        ruleset: &Ruleset,
        known: Option<Difference>,
    ) -> Result<u32, NetfilterError> {
        if let Some(Difference { generation, standing, layout }) = known {
            match kernel.write(generation, &Script::of(&layout, &standing)) {
                // What stands is looked at after all.
                Err(error) if error.is_overtaken() || matches!(error, NetfilterError::Refused { .. }) => {}
                result => return result,
            }
        }
        let layout = Layout::of(ruleset);
        let mut repair = true;
        for _ in 0..ATTEMPTS {
            let (generation, standing) = kernel.standing()?;
            repair &= standing.is_repairable();
            let script = if repair { Script::of(&layout, &standing) } else { Script::anew(&layout) };
            match kernel.write(generation, &script) {
                Err(error) if error.is_overtaken() => {}
                // Something of another kind stands in the way.
                Err(NetfilterError::Refused { .. }) if repair => repair = false,
                result => return result,
            }
        }
        Err(NetfilterError::Restless)
    }

    /// Notes what stands now, if it is still of the generation that was written. Without a note the next apply does
    /// everything once more, so nothing that fails here makes the apply a failure.
    fn note(&self, kernel: &mut Kernel, place: String, ruleset: u64, lines: &str, generation: u32) {
        let Ok((now, standing, contents)) = kernel.structure() else { return };
        if let Some(table) = standing.table.filter(|table| table.flags == 0 && now == generation) {
            let (fingerprint, checksum) = (fingerprint(&standing, &contents), checksum(lines));
            let table = table.handle;
            let record = Record { place, table, generation, ruleset, lines: checksum, fingerprint };
            self.notes.keep(record, lines);
        }
    }

    /// Removes the table, if it stands.
    async fn clear(&self) -> Result<Applied, NetfilterError> {
        self.notes.forget();
        match Kernel::open().and_then(|mut kernel| Self::erase(&mut kernel)) {
            Err(error) if error.is_about_netlink() => {
                let stands =
                    self.list(&["list", "tables"]).await.map_err(|nft| error.with_nft(&nft))?.table.is_some();
                if !stands {
                    return Ok(Applied::Unchanged);
                }
                self.run(&Script::removal()).await.map_err(NetfilterError::writing)?;
                Ok(Applied::Changed)
            }
            applied => applied,
        }
    }

    fn erase(kernel: &mut Kernel) -> Result<Applied, NetfilterError> {
        for _ in 0..ATTEMPTS {
            let generation = kernel.generation()?;
            if kernel.table()?.is_none() {
                return Ok(Applied::Unchanged);
            }
            match kernel.write(generation, &Script::removal()) {
                Err(error) if error.is_overtaken() => {}
                written => return written.map(|_| Applied::Changed),
            }
        }
        Err(NetfilterError::Restless)
    }

    /// Runs the script with nft: in one transaction, or in several in a container whose owner may not send that much
    /// at once.
    async fn run(&self, script: &Script<'_>) -> Result<(), ToolError> {
        match self.transact(&script.whole()).await {
            Err(ToolError::Failed { said, .. }) if said.contains(TOO_LONG) => {}
            result => return result,
        }
        for part in script.parts() {
            self.transact(&part).await?;
        }
        Ok(())
    }

    async fn transact(&self, commands: &[&Command<'_>]) -> Result<(), ToolError> {
        self.nft.run(&["-f", "-"], &render::text(commands)).await.map(drop)
    }
}

/// What stands in this generation and what should, both without what they have in common.
struct Difference {
    generation: u32,
    standing: Standing,
    layout: Layout,
}

#[async_trait]
impl Firewall for Netfilter {
    async fn read(&self) -> Result<Readings, BackendError> {
        Ok(self.readings().await?)
    }

    async fn apply(&self, ruleset: &Ruleset) -> Result<Applied, BackendError> {
        Ok(self.make(ruleset).await?)
    }

    async fn stands(&self, ruleset: &Ruleset) -> Result<bool, BackendError> {
        Ok(self.is_as(ruleset)?)
    }

    async fn remove(&self) -> Result<(), BackendError> {
        let _ = self.clear().await?;
        Ok(())
    }
}

/// Where a note holds: one run of the machine, one network namespace, one way of laying rulesets out. Another version of the
/// program may have another one, and what it wrote is read before anything is written over it.
fn place(boot: BootId) -> String {
    let way = format!("{}-{LAYOUT}", env!("CARGO_PKG_VERSION"));
    match NetworkNamespace::current() {
        Some(namespace) => format!("{boot} {namespace} {way}"),
        None => format!("{boot} {way}"),
    }
}

/// A number for the ruleset: to find that nothing changed, the table need not be laid out.
fn number(ruleset: &Ruleset) -> u64 {
    let mut hasher = DefaultHasher::new();
    ruleset.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pm_core::backend::QuotaRule;
    use pm_core::port::{ClassId, PortRange};
    use pm_core::quota::Mode;
    use pm_core::units::Bytes;

    use super::*;

    #[test]
    fn every_difference_is_another_number() {
        let mut ruleset = Ruleset::default();
        let mut numbers = BTreeSet::new();
        let mut is_new = |ruleset: &Ruleset| numbers.insert(number(ruleset));
        assert!(is_new(&ruleset));
        assert!(!is_new(&ruleset));
        let entry: PortRange = "443".parse().unwrap();
        ruleset.metered.insert(entry);
        assert!(is_new(&ruleset));
        ruleset.forward = true;
        assert!(is_new(&ruleset));
        ruleset.blocked.insert(entry);
        assert!(is_new(&ruleset));
        ruleset.classes.insert(entry, ClassId::of(entry).unwrap());
        assert!(is_new(&ruleset));
        let rule = QuotaRule { over: Bytes(1), mode: Mode::Both, members: [entry].into() };
        ruleset.quotas.insert(entry, rule.clone());
        assert!(is_new(&ruleset));
        ruleset.quotas.insert(entry, QuotaRule { over: Bytes(2), ..rule.clone() });
        assert!(is_new(&ruleset));
        ruleset.quotas.insert(entry, QuotaRule { mode: Mode::OutOnly, ..rule });
        assert!(is_new(&ruleset));
    }
}
