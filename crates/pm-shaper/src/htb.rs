//! The door to the machine's traffic control.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use pm_core::backend::{Applied, BackendError, Shaper, Shaping};
use pm_core::port::ClassId;
use pm_core::units::Rate;
use pm_kernel::netlink::NetlinkError;

use crate::difference::{Plan, Step, difference};
use crate::error::ShaperError;
use crate::handle::Handle;
use crate::kernel::Kernel;
use crate::record::{Record, Taken};
use crate::root::{Root, memorable};
use crate::standing::{Link, Standing};

/// Classes with their lines, what is behind these, and each kind of queue that turns out to be missing: four at most.
/// What is not at rest after these is changed by somebody else.
const ROUNDS: usize = 8;

/// Shapes the traffic that leaves through one interface.
///
/// Everything it knows is in the kernel, but for one note, in a file: what stood on the interface before, to be put back
/// when no port is limited any more.
#[derive(Debug)]
pub struct Htb {
    record: PathBuf,
}

impl Htb {
    /// A shaper that keeps its note in the file `record`.
    pub fn new(record: impl Into<PathBuf>) -> Self {
        Self { record: record.into() }
    }

    fn shape(&self, shaping: &Shaping) -> Result<Applied, ShaperError> {
        let mut record = Record::load(&self.record)?;
        if shaping.classes.is_empty() {
            return self.release(&mut record, shaping.interface.as_deref());
        }
        // Without a route there is nowhere to go; what stands on the interface of the last route does no harm meanwhile.
        let name = shaping.interface.as_deref().ok_or(ShaperError::NoInterface)?;
        let mut kernel = Kernel::open()?;
        let link = kernel.link_named(name)?.ok_or_else(|| ShaperError::NoSuchInterface(name.to_owned()))?;
        let standing = kernel.standing(&link)?;
        let root = judge(&standing, &link, &record, shaping.take_over)?;

        let mut changed = false;
        if record.taken.as_ref().is_some_and(|taken| taken.index != link.index) {
            self.leave(&mut kernel, &mut record)?;
            changed = true;
        }
        if root == Root::Ours {
            let plan = difference(&standing, &shaping.classes, link.mtu, record.abilities());
            let settled = self.settle(&mut kernel, &mut record, &link, &shaping.classes, plan)?;
            return Ok(if changed { Applied::Changed } else { settled });
        }
        let opening = self.note(&mut record, &link, &standing, root)?;
        // Below a root that is about to be set, nothing stands.
        let mut plan = difference(&Standing::default(), &shaping.classes, link.mtu, record.abilities());
        plan.steps.splice(..0, opening);
        let settled = self.settle(&mut kernel, &mut record, &link, &shaping.classes, plan);
        if settled.is_err() {
            self.withdraw(&mut kernel, &mut record, &link)?;
        }
        settled
    }

    /// Whether everything is as it should be.
    fn is_as(&self, shaping: &Shaping) -> Result<bool, ShaperError> {
        let record = Record::load(&self.record)?;
        if shaping.classes.is_empty() {
            return Ok(record.taken.is_none());
        }
        let name = shaping.interface.as_deref().ok_or(ShaperError::NoInterface)?;
        let mut kernel = Kernel::open()?;
        let link = kernel.link_named(name)?.ok_or_else(|| ShaperError::NoSuchInterface(name.to_owned()))?;
        let standing = kernel.standing(&link)?;
        let ours = judge(&standing, &link, &record, shaping.take_over)? == Root::Ours;
        Ok(ours && difference(&standing, &shaping.classes, link.mtu, record.abilities()).steps.is_empty())
    }

    /// Notes what stands before ours takes its place, and says by which steps it does.
    fn note(
        &self,
        record: &mut Record,
        link: &Link,
        standing: &Standing,
        root: Root<'_>,
    ) -> Result<Vec<Step>, ShaperError> {
        let before = match root {
            // Whoever deletes our root leaves the kernel's default, which nobody has chosen.
            Root::Default | Root::Ours => record.taken.take().map_or_else(Vec::new, |taken| taken.before),
            Root::Script => Vec::new(),
            Root::Harmless(_) | Root::Shaped(_) => memorable(standing).into_iter().map(Into::into).collect(),
        };
        record.taken = Some(Taken { interface: link.name.clone(), index: link.index, before });
        record.save(&self.record)?;
        // A root of the same number would be changed rather than replaced.
        let has_our_number = standing.below(Handle::ROOT).is_some_and(|root| root.handle == Handle::OURS);
        Ok(if has_our_number { vec![Step::ClearRoot, Step::SetRoot] } else { vec![Step::SetRoot] })
    }

    /// After a failure: where our root does not stand, nothing is taken, and what was cleared for it belongs back.
    fn withdraw(&self, kernel: &mut Kernel, record: &mut Record, link: &Link) -> Result<(), ShaperError> {
        let standing = kernel.standing(link)?;
        match Root::of(&standing, true) {
            Root::Ours => return Ok(()),
            Root::Default => put_back(kernel, record, link)?,
            Root::Harmless(_) | Root::Shaped(_) | Root::Script => {}
        }
        record.taken = None;
        record.save(&self.record)
    }

    /// Takes the steps of this plan, and those that only then become known, until what stands is as desired. What the
    /// kernel says that it did is not looked at again: that would cost as much as all else together.
    fn settle(
        &self,
        kernel: &mut Kernel,
        record: &mut Record,
        link: &Link,
        classes: &BTreeMap<ClassId, Rate>,
        mut plan: Plan,
    ) -> Result<Applied, ShaperError> {
        if plan.steps.is_empty() {
            return Ok(Applied::Unchanged);
        }
        for _ in 0..ROUNDS {
            let refused = kernel.take(link, &plan.steps)?;
            if refused.is_none() && !plan.goes_on {
                return Ok(Applied::Changed);
            }
            let standing = kernel.standing(link)?;
            if let Some((step, error)) = refused {
                match explain(&step, &error, &standing) {
                    Refused::Meanwhile => {}
                    Refused::Lacking(kind) => {
                        record.lacks(kind);
                        record.save(&self.record)?;
                    }
                    Refused::Final => return Err(ShaperError::refusing(&link.name, step, error)),
                }
            }
            plan = difference(&standing, classes, link.mtu, record.abilities());
            if plan.steps.is_empty() {
                return Ok(Applied::Changed);
            }
        }
        Err(ShaperError::Unstable(link.name.clone()))
    }

    /// Takes away what is ours, and on the named interface what the script left.
    fn release(&self, record: &mut Record, interface: Option<&str>) -> Result<Applied, ShaperError> {
        let mut applied = Applied::Unchanged;
        if record.taken.is_none() && interface.is_none() {
            return Ok(applied);
        }
        let mut kernel = Kernel::open()?;
        if record.taken.is_some() {
            self.leave(&mut kernel, record)?;
            applied = Applied::Changed;
        }
        if let Some(link) = interface.map(|name| kernel.link_named(name)).transpose()?.flatten()
            && clear_script(&mut kernel, &link)?
        {
            applied = Applied::Changed;
        }
        Ok(applied)
    }

    /// Takes our root from the interface that the note names, and puts back what stood there.
    fn leave(&self, kernel: &mut Kernel, record: &mut Record) -> Result<(), ShaperError> {
        let Some(index) = record.taken.as_ref().map(|taken| taken.index) else { return Ok(()) };
        let mut result = Ok(());
        if let Some(link) = kernel.link_numbered(index)?
            && Root::of(&kernel.standing(&link)?, true) == Root::Ours
        {
            kernel.delete_root(&link)?;
            result = put_back(kernel, record, &link);
        }
        // Also when it could not be put back: trying each minute would not help, and the sentence says what does.
        record.taken = None;
        record.save(&self.record)?;
        result
    }

    fn clear(&self) -> Result<(), ShaperError> {
        let mut record = Record::load(&self.record)?;
        let mut kernel = Kernel::open()?;
        let left = self.leave(&mut kernel, &mut record);
        for index in kernel.interfaces_with_htb()? {
            if let Some(link) = kernel.link_numbered(index)? {
                clear_script(&mut kernel, &link)?;
            }
        }
        left?;
        Record::forget(&self.record)
    }
}

#[async_trait]
impl Shaper for Htb {
    async fn apply(&self, shaping: &Shaping) -> Result<Applied, BackendError> {
        Ok(self.shape(shaping)?)
    }

    async fn stands(&self, shaping: &Shaping) -> Result<bool, BackendError> {
        Ok(self.is_as(shaping)?)
    }

    async fn remove(&self) -> Result<(), BackendError> {
        Ok(self.clear()?)
    }
}

/// Whose root it is, if it is ours or may be taken.
fn judge<'a>(
    standing: &'a Standing,
    link: &Link,
    record: &Record,
    take_over: bool,
) -> Result<Root<'a>, ShaperError> {
    let recorded = record.taken.as_ref().is_some_and(|taken| taken.index == link.index);
    let root = Root::of(standing, recorded);
    if let Root::Shaped(qdisc) = root
        && !take_over
    {
        return Err(ShaperError::Occupied {
            interface: link.name.clone(),
            kind: qdisc.kind.clone(),
            handle: qdisc.handle.to_string(),
        });
    }
    Ok(root)
}

/// Sets what stood on the interface before, if anybody had chosen it.
fn put_back(kernel: &mut Kernel, record: &Record, link: &Link) -> Result<(), ShaperError> {
    let before = record.taken.iter().flat_map(|taken| &taken.before);
    before.map(|remembered| remembered.on(link.index)).try_for_each(|qdisc| kernel.restore(link, &qdisc))
}

/// Takes away the root of the script that came before this program; says whether it stood.
fn clear_script(kernel: &mut Kernel, link: &Link) -> Result<bool, ShaperError> {
    let stands = Root::of(&kernel.standing(link)?, false) == Root::Script;
    if stands {
        kernel.delete_root(link)?;
    }
    Ok(stands)
}

/// Why a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// This kernel does not have this kind of queue; another one will do.
    Lacking(&'static str),
    /// What it was to happen to has gone meanwhile.
    Meanwhile,
    /// Trying again will not help.
    Final,
}

/// The kernel has the same word for a kind of queue that it lacks and for a place that does not exist, so what stands
/// after the refusal decides.
fn explain(step: &Step, error: &NetlinkError, standing: &Standing) -> Refused {
    match step.kind() {
        _ if !error.is_absent() => Refused::Final,
        _ if *step == Step::SetRoot => Refused::Final,
        Some(kind) if standing.has_class(step.place()) => Refused::Lacking(kind),
        _ => Refused::Meanwhile,
    }
}

#[cfg(test)]
mod tests;
