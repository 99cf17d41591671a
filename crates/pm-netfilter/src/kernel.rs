//! What the kernel says about pm's table, each answer of one moment, and what it is told: no process is started.

use std::collections::{BTreeMap, BTreeSet};

use pm_core::accounting::{BootId, Readings};
use pm_kernel::netlink::{Message, Protocol, Replies, Socket};
use pm_kernel::transaction::TransactionError;

use crate::batch;
use crate::dump::{self, Kind};
use crate::error::NetfilterError;
use crate::reading::{self, Counter, Counters, Quota, Quotas};
use crate::render;
use crate::script::{Command, Script};
use crate::standing::{Contents, QuotaShape, Standing, Table};

/// How often an answer is asked for that others keep changing.
const ATTEMPTS: u32 = 16;

/// The kernel leaves out generation 0 when their numbers wrap.
const FIRST_GENERATION: u32 = 1;

/// A socket to `nf_tables`.
#[derive(Debug)]
pub(crate) struct Kernel {
    socket: Socket,
}

impl Kernel {
    pub(crate) fn open() -> Result<Self, NetfilterError> {
        Ok(Self { socket: Socket::open(Protocol::Netfilter)? })
    }

    /// The number of the generation that stands.
    pub(crate) fn generation(&mut self) -> Result<u32, NetfilterError> {
        dump::generation(&self.socket.request(&dump::ask_generation())?)
    }

    /// Our table; none where it does not stand.
    pub(crate) fn table(&mut self) -> Result<Option<Table>, NetfilterError> {
        self.one(&dump::ask_table())?.map(|replies| dump::table(&replies)).transpose()
    }

    /// All counters, and all quotas before and after them.
    pub(crate) fn readings(&mut self, boot: BootId) -> Result<Readings, NetfilterError> {
        let (_, readings) = self.of_one_moment(|kernel| {
            let Some(table) = kernel.table()? else { return Ok(Readings::default()) };
            let before = kernel.quotas(Quotas::take)?;
            let counters = kernel.counters(Counters::take)?;
            let after = kernel.quotas(Quotas::take)?;
            Ok(reading::readings(boot, table.handle, before, counters, after))
        })?;
        Ok(readings)
    }

    /// What stands in the table, and in which generation.
    pub(crate) fn standing(&mut self) -> Result<(u32, Standing), NetfilterError> {
        self.of_one_moment(Self::whole)
    }

    /// The same, and the contents of what has no names.
    pub(crate) fn everything(&mut self) -> Result<(u32, Standing, Contents), NetfilterError> {
        self.with_contents(Self::whole)
    }

    /// The table, the shapes of its chains and sets, and the contents of what has no names.
    pub(crate) fn structure(&mut self) -> Result<(u32, Standing, Contents), NetfilterError> {
        self.with_contents(Self::frame)
    }

    /// Those of these quotas that let nothing more pass.
    pub(crate) fn exhausted(&mut self, names: &[&str]) -> Result<BTreeSet<String>, NetfilterError> {
        let mut exhausted = BTreeSet::new();
        for name in names {
            // One that somebody deletes at this moment has no answer: then nothing is written by this either.
            let Some(replies) = self.one(&dump::ask_quota(name))? else { continue };
            for reply in replies.iter() {
                let quota = dump::quota(reply)?.filter(Quota::is_exhausted);
                exhausted.extend(quota.map(|quota| quota.name.into_owned()));
            }
        }
        Ok(exhausted)
    }

    /// The handles of the rules, by chain.
    pub(crate) fn handles(&mut self) -> Result<BTreeMap<String, Vec<u64>>, NetfilterError> {
        Ok(dump::handles(&self.socket.dump(&dump::ask_rules())?))
    }

    /// Makes what the script says of the ruleset of this generation, and returns the generation that this made: one further
    /// for each transaction, of which there are several in a container whose owner may not send that much at once.
    pub(crate) fn write(&mut self, generation: u32, script: &Script<'_>) -> Result<u32, NetfilterError> {
        match self.transact(generation, &script.whole()) {
            Err(NetfilterError::Change(TransactionError::TooLong)) => {}
            generation => return generation,
        }
        script.parts().try_fold(generation, |generation, part| self.transact(generation, &part))
    }

    fn transact(&mut self, generation: u32, commands: &[&Command<'_>]) -> Result<u32, NetfilterError> {
        let (requests, places) = batch::requests(commands);
        match self.socket.transact(generation, &requests) {
            Ok(()) => Ok(generation.wrapping_add(1).max(FIRST_GENERATION)),
            Err(error) => {
                let place = error.place().and_then(|request| places.get(request));
                let command = place.and_then(|&place| commands.get(place));
                Err(NetfilterError::changing(error, command.map(|command| render::line(command))))
            }
        }
    }

    /// What the kernel says of one thing; none where it does not stand.
    fn one(&mut self, question: &Message) -> Result<Option<Replies>, NetfilterError> {
        match self.socket.request(question) {
            Ok(replies) => Ok(Some(replies)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn with_contents(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<Standing, NetfilterError>,
    ) -> Result<(u32, Standing, Contents), NetfilterError> {
        let (generation, (standing, contents)) = self.of_one_moment(|kernel| {
            let standing = ask(kernel)?;
            let contents = kernel.contents(&standing)?;
            Ok((standing, contents))
        })?;
        Ok((generation, standing, contents))
    }

    /// The table and the shapes of its chains and sets.
    fn frame(&mut self) -> Result<Standing, NetfilterError> {
        let Some(table) = self.table()? else { return Ok(Standing::default()) };
        Ok(Standing {
            table: Some(table),
            chains: dump::chains(&self.socket.dump(&dump::ask_chains())?)?,
            sets: dump::sets(&self.socket.dump(&dump::ask_sets())?)?,
            ..Standing::default()
        })
    }

    fn whole(&mut self) -> Result<Standing, NetfilterError> {
        let mut standing = self.frame()?;
        if standing.table.is_none() {
            return Ok(standing);
        }
        for (name, _) in standing.sets.iter().filter(|(_, shape)| shape.is_of_ports()) {
            let replies = self.socket.dump(&dump::ask_elements(name))?;
            standing.ports.extend(dump::ports(&replies).map(|ports| (name.clone(), ports)));
        }
        standing.counters = self.counters(|names: &mut BTreeSet<String>, counter| {
            names.insert(counter.name.into_owned());
        })?;
        (standing.quotas, standing.exhausted) =
            self.quotas(|(quotas, exhausted): &mut (BTreeMap<_, _>, BTreeSet<_>), quota| {
                if quota.is_exhausted() {
                    exhausted.insert(quota.name.to_string());
                }
                let shape = QuotaShape { over: quota.over, beyond: quota.beyond };
                quotas.insert(quota.name.into_owned(), shape);
            })?;
        Ok(standing)
    }

    fn contents(&mut self, standing: &Standing) -> Result<Contents, NetfilterError> {
        if standing.table.is_none() {
            return Ok(Contents::default());
        }
        let rules = dump::rules(&self.socket.dump(&dump::ask_rules())?);
        let nameless = standing.sets.iter().filter(|(_, shape)| !shape.is_of_ports());
        let elements = nameless.map(|(name, _)| {
            let replies = self.socket.dump(&dump::ask_elements(name))?;
            Ok((name.clone(), dump::elements(&replies)))
        });
        let elements = elements.collect::<Result<_, NetfilterError>>()?;
        Ok(Contents { rules, elements })
    }

    /// All counters, each taken into what is kept of them.
    fn counters<T: Default>(
        &mut self,
        mut take: impl FnMut(&mut T, Counter<'_>),
    ) -> Result<T, NetfilterError> {
        self.socket.dump_into(&dump::ask_objects(Kind::Counter), |kept, reply| {
            dump::counter(reply).map(|counter| counter.into_iter().for_each(|counter| take(kept, counter)))
        })
    }

    /// All quotas, each taken into what is kept of them.
    fn quotas<T: Default>(&mut self, mut take: impl FnMut(&mut T, Quota<'_>)) -> Result<T, NetfilterError> {
        self.socket.dump_into(&dump::ask_objects(Kind::Quota), |kept, reply| {
            dump::quota(reply).map(|quota| quota.into_iter().for_each(|quota| take(kept, quota)))
        })
    }

    /// Asks again until nothing was changed meanwhile: an answer to several questions is one only within a generation.
    fn of_one_moment<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<T, NetfilterError>,
    ) -> Result<(u32, T), NetfilterError> {
        let mut generation = self.generation()?;
        for _ in 0..ATTEMPTS {
            let answer = ask(self);
            let now = self.generation()?;
            if now == generation {
                return Ok((generation, answer?));
            }
            generation = now;
        }
        Err(NetfilterError::Restless)
    }
}
