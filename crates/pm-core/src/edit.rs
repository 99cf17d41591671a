//! What an operator changes. Every edit is checked before anything is touched: a bad one changes nothing.

mod note;
pub mod telegram;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jiff::Zoned;

pub use self::note::Note;
use crate::account::{Account, AccountId};
use crate::accounting::Readings;
use crate::channel::TELEGRAM;
use crate::chronicle::What;
use crate::config::{Config, DynQosConfig, EntryError, GroupId, PortConfig};
use crate::dynqos::{DynQos, DynQosPolicy, RateWindow};
use crate::edit::telegram::{TelegramError, TelegramSettings};
use crate::port::{ClassId, PortRange};
use crate::quota::Mode;
use crate::reset::{ResetDay, ResetMark};
use crate::state::{AccountState, State};
use crate::units::{Bytes, Rate};

/// One change by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Begin to meter a port.
    Add(PortRange, Settings),
    /// Change an entry.
    Set(PortRange, Settings),
    /// Stop metering these.
    Remove(Vec<PortRange>),
    /// Start a new cycle for these.
    Reset(Vec<PortRange>),
    /// Switch the rate penalty on or off.
    DynQos(PortRange, Option<DynQosPolicy>),
    /// Choose the interface to shape.
    Interface(InterfaceChoice),
    /// Change what Telegram is told, and how.
    Telegram(TelegramSettings),
}

/// Settings that were given; none means: as it is, or the default for a new entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The quota; the inner none only meters.
    pub quota: Option<Option<Bytes>>,
    /// What counts.
    pub mode: Option<Mode>,
    /// The speed limit; the inner none lifts it.
    pub limit: Option<Option<Rate>>,
    /// The monthly reset; the inner none switches it off.
    pub reset_day: Option<Option<ResetDay>>,
    /// The remark.
    pub comment: Option<String>,
    /// The group; the inner none leaves it.
    pub group: Option<Option<GroupId>>,
}

/// Which interface is shaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceChoice {
    /// Its name; the inner none follows the default route.
    pub name: Option<Option<String>>,
    /// Whether a root qdisc that somebody configured may be replaced.
    pub take_over: Option<bool>,
}

/// Why an edit was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The entry is there already.
    #[error("port {0} is metered already: change it with pm set {0}")]
    Exists(PortRange),
    /// Another entry has some of its ports.
    #[error(
        "port {port} cannot be added, because {other} is metered already and shares a port with it: choose other ports, or remove {other} first (pm rm {other})"
    )]
    Overlaps {
        /// What should have been added.
        port: PortRange,
        /// What stands in the way.
        other: PortRange,
    },
    /// There is no such entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A new entry outside of any group needs a quota.
    #[error(
        "port {0} needs a quota: give --quota SIZE, such as --quota 10 for 10 GB, or --quota unlimited to meter only"
    )]
    NoQuota(PortRange),
    /// A quota of nothing, or of more than there can be.
    #[error(
        "port {0} cannot have that quota: give more than 0 and at most 1048576TB, or `unlimited` to meter only"
    )]
    Quota(PortRange),
    /// A member of a group cannot have a quota, mode or reset day of its own.
    #[error(
        "port {port} cannot join group `{group}` with {field} {given}, because the group has {present}: leave --{option} away, or change the group's with pm set {member} --{option}"
    )]
    GroupDiffers {
        /// Who wants to join.
        port: PortRange,
        /// The group.
        group: String,
        /// The setting in words.
        field: &'static str,
        /// The option of the command line.
        option: &'static str,
        /// The value given.
        given: String,
        /// The group's value.
        present: String,
        /// The group's lowest member.
        member: PortRange,
    },
    /// Its class is reserved.
    #[error(
        "port {0} cannot have a speed limit, because the class of port 65534 is reserved: leave the limit at 0, or use another port"
    )]
    ReservedClass(PortRange),
    /// A figure of the rate penalty is out of range.
    #[error("the rate penalty of port {port} cannot have {field} {given}: {allowed}")]
    Penalty {
        /// The entry.
        port: PortRange,
        /// Which figure.
        field: &'static str,
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A remark is too long.
    #[error("the comment of port {0} cannot have more than {MOST_COMMENT} characters: shorten it")]
    Comment(PortRange),
    /// A setting of Telegram's.
    #[error(transparent)]
    Telegram(#[from] TelegramError),
}

/// The longest remark, in characters.
pub const MOST_COMMENT: usize = 200;

/// Carries an edit out on a state that was settled with `readings`. Returns what the operator should know beyond that
/// it is done. After an error, config and state are as they were.
///
/// ```
/// use jiff::{civil::date, tz::TimeZone};
/// use pm_core::accounting::Readings;
/// use pm_core::config::Config;
/// use pm_core::edit::{Edit, Settings, edit};
/// use pm_core::port::PortRange;
/// use pm_core::state::State;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut config, mut state) = (Config::default(), State::default());
/// let now = date(2026, 1, 10).at(12, 0, 0, 0).to_zoned(TimeZone::UTC)?;
/// let range: PortRange = "20000-20100".parse()?;
/// let settings = Settings { quota: Some(Some("500MB".parse()?)), ..Settings::default() };
/// edit(&mut config, &mut state, &Readings::default(), &now, &Edit::Add(range, settings.clone()))?;
///
/// let inside: PortRange = "20050".parse()?;
/// let refused = edit(&mut config, &mut state, &Readings::default(), &now, &Edit::Add(inside, settings));
/// assert!(refused.unwrap_err().to_string().contains("20000-20100 is metered already"));
/// assert_eq!(config.ports.len(), 1);
/// # Ok(())
/// # }
/// ```
pub fn edit(
    config: &mut Config,
    state: &mut State,
    readings: &Readings,
    now: &Zoned,
    edit: &Edit,
) -> Result<Vec<Note>, EditError> {
    let (mut new_config, mut new_state) = (config.clone(), state.clone());
    let notes = carry_out(&mut new_config, &mut new_state, now, edit)?;
    new_state.fit(&new_config, readings, now.timestamp());
    for account in Account::all(&new_config) {
        let standing = account.standing(&new_state);
        if let Some(account_state) = new_state.accounts.get_mut(&account.id) {
            account_state.rearm(standing.as_ref(), &new_config.telegram.thresholds);
        }
    }
    (*config, *state) = (new_config, new_state);
    Ok(notes)
}

fn carry_out(
    config: &mut Config,
    state: &mut State,
    now: &Zoned,
    edit: &Edit,
) -> Result<Vec<Note>, EditError> {
    let mut notes = Vec::new();
    match edit {
        Edit::Add(port, settings) => add(config, *port, settings)?,
        Edit::Set(port, settings) => set(config, state, *port, settings, now, &mut notes)?,
        Edit::Remove(ports) => {
            for &port in ports {
                config.entry(port)?;
            }
            config.ports.retain(|port, _| !ports.contains(port));
        }
        Edit::Reset(ports) => reset(config, state, ports, now, &mut notes)?,
        Edit::DynQos(port, policy) => dynqos(config, state, *port, *policy, now)?,
        Edit::Interface(choice) => {
            if let Some(name) = &choice.name {
                config.interface.clone_from(name);
            }
            config.take_over_qdisc = choice.take_over.unwrap_or(config.take_over_qdisc);
        }
        Edit::Telegram(settings) => {
            telegram::set(config, settings)?;
            if let Some(progress) = state.outbox.progress.get_mut(TELEGRAM) {
                progress.start_over();
            }
        }
    }
    Ok(notes)
}

fn add(config: &mut Config, port: PortRange, settings: &Settings) -> Result<(), EditError> {
    if config.ports.contains_key(&port) {
        return Err(EditError::Exists(port));
    }
    if let Some(other) = config.overlapping(port) {
        return Err(EditError::Overlaps { port, other });
    }
    let mut new = PortConfig::default();
    let group = settings.group.clone().flatten();
    let joined = match &group {
        Some(group) => join(config, &mut new, port, group, settings)?,
        None => false,
    };
    if settings.quota.is_none() && !joined {
        return Err(EditError::NoQuota(port));
    }
    apply_own(&mut new, port, settings)?;
    apply_shared(&mut new, port, settings)?;
    config.ports.insert(port, new);
    Ok(())
}

fn set(
    config: &mut Config,
    state: &mut State,
    port: PortRange,
    settings: &Settings,
    now: &Zoned,
    notes: &mut Vec<Note>,
) -> Result<(), EditError> {
    let mut new = config.entry(port)?.clone();
    let old_account = AccountId::of(port, &new);
    // In a file, members may differ; it is the lowest one's settings that hold, and that are left or changed here.
    if let Some(account) = Account::all(config).iter().find(|account| account.id == old_account) {
        (new.quota, new.mode, new.reset_day) = (account.quota(), account.mode(), account.reset_day());
    }
    let old_reset_day = shared_reset_day(config, &old_account);
    match &settings.group {
        Some(Some(group)) if new.group.as_ref() != Some(group) => {
            join(config, &mut new, port, group, settings)?;
        }
        Some(None) => new.group = None,
        _ => {}
    }
    apply_own(&mut new, port, settings)?;
    apply_shared(&mut new, port, settings)?;
    let account = AccountId::of(port, &new);
    let others = new.group.as_ref().map_or(Vec::new(), |group| members(config, group));
    // One member speaks for all of them.
    for &member in others.iter().filter(|&&member| member != port) {
        if let Some(other) = config.ports.get_mut(&member) {
            (other.quota, other.mode, other.reset_day) = (new.quota, new.mode, new.reset_day);
        }
    }
    let shared = settings.quota.is_some() || settings.mode.is_some() || settings.reset_day.is_some();
    if let (Some(group), true, true) = (&new.group, shared, others.len() > 1) {
        notes.push(Note::HoldsForGroup { group: group.clone(), members: others });
    }
    config.ports.insert(port, new);
    if account != old_account {
        // What was told to one is not told again because it moved.
        let known = state.accounts.get(&old_account).copied().unwrap_or_default();
        let fresh = AccountState { cutoff: None, ..known };
        state.accounts.entry(account.clone()).or_insert(fresh);
    }
    let reset_day = shared_reset_day(config, &account);
    if reset_day != old_reset_day || account != old_account {
        let account_state = state.accounts.entry(account).or_default();
        if account_state.reset.day != reset_day {
            account_state.reset = ResetMark::at(reset_day, now.timestamp());
        }
    }
    Ok(())
}

fn shared_reset_day(config: &Config, id: &AccountId) -> Option<ResetDay> {
    Account::all(config).iter().find(|account| account.id == *id).and_then(Account::reset_day)
}

fn members(config: &Config, group: &GroupId) -> Vec<PortRange> {
    let of_group = |settings: &PortConfig| settings.group.as_ref() == Some(group);
    config.ports.iter().filter(|(_, settings)| of_group(settings)).map(|(&port, _)| port).collect()
}

/// Takes on what the group's members share, and refuses settings that contradict it. False when the group is new.
fn join(
    config: &Config,
    new: &mut PortConfig,
    port: PortRange,
    group: &GroupId,
    settings: &Settings,
) -> Result<bool, EditError> {
    new.group = Some(group.clone());
    let Some(member) = members(config, group).into_iter().find(|&member| member != port) else {
        return Ok(false);
    };
    let Some(present) = config.ports.get(&member) else { return Ok(false) };
    let quota = |quota: Option<Bytes>| quota.map_or("unlimited".to_string(), Bytes::exact);
    let day = |day: Option<ResetDay>| day.map_or("0".to_string(), |day| day.to_string());
    let differs = |field, option, given: String, present: String| EditError::GroupDiffers {
        port,
        group: group.to_string(),
        field,
        option,
        given,
        present,
        member,
    };
    match settings.quota {
        Some(given) if given != present.quota => {
            return Err(differs("quota", "quota", quota(given), quota(present.quota)));
        }
        _ => {}
    }
    match settings.mode {
        Some(given) if given != present.mode => {
            return Err(differs("mode", "mode", given.to_string(), present.mode.to_string()));
        }
        _ => {}
    }
    match settings.reset_day {
        Some(given) if given != present.reset_day => {
            return Err(differs("reset day", "reset-day", day(given), day(present.reset_day)));
        }
        _ => {}
    }
    (new.quota, new.mode, new.reset_day) = (present.quota, present.mode, present.reset_day);
    Ok(true)
}

fn apply_own(new: &mut PortConfig, port: PortRange, settings: &Settings) -> Result<(), EditError> {
    if let Some(limit) = settings.limit {
        if limit.is_some() && ClassId::of(port).is_none() {
            return Err(EditError::ReservedClass(port));
        }
        new.limit = limit;
    }
    if let Some(comment) = &settings.comment {
        if comment.chars().count() > MOST_COMMENT {
            return Err(EditError::Comment(port));
        }
        new.comment.clone_from(comment);
    }
    Ok(())
}

fn apply_shared(new: &mut PortConfig, port: PortRange, settings: &Settings) -> Result<(), EditError> {
    if let Some(Some(quota)) = settings.quota
        && !(Bytes(1)..=Bytes::MAX_QUOTA).contains(&quota)
    {
        return Err(EditError::Quota(port));
    }
    new.quota = settings.quota.unwrap_or(new.quota);
    new.mode = settings.mode.unwrap_or(new.mode);
    new.reset_day = settings.reset_day.unwrap_or(new.reset_day);
    Ok(())
}

fn reset(
    config: &Config,
    state: &mut State,
    ports: &[PortRange],
    now: &Zoned,
    notes: &mut Vec<Note>,
) -> Result<(), EditError> {
    let at = now.timestamp();
    for &port in ports {
        config.entry(port)?;
        if let Some(port_state) = state.ports.get_mut(&port) {
            port_state.reset(at);
        }
        state.happened(port, at, What::Reset);
    }
    for account in Account::all(config) {
        let (done, left): (Vec<_>, Vec<_>) = account.ports().partition(|port| ports.contains(port));
        if left.is_empty() {
            let reset = account.state(state).reset.done_by_hand(account.reset_day(), at);
            state.accounts.insert(account.id, AccountState { reset, ..AccountState::default() });
        } else if let (AccountId::Group(group), false) = (&account.id, done.is_empty()) {
            notes.push(Note::UsageStays { group: group.clone(), left });
        }
    }
    Ok(())
}

fn dynqos(
    config: &mut Config,
    state: &mut State,
    port: PortRange,
    policy: Option<DynQosPolicy>,
    now: &Zoned,
) -> Result<(), EditError> {
    let known = config.entry(port)?.dynqos.policy;
    if let Some(policy) = &policy {
        check_penalty(port, policy)?;
    }
    if let Some(settings) = config.ports.get_mut(&port) {
        settings.dynqos = DynQosConfig { enabled: policy.is_some(), policy: policy.or(known) };
    }
    // New figures are a new judgement, and switching off is a way out of the punishment.
    let Some(port_state) = state.ports.get_mut(&port) else { return Ok(()) };
    let was_punished = port_state.dynqos.is_punished();
    port_state.dynqos = DynQos::default();
    port_state.window = RateWindow::starting(now.timestamp());
    if was_punished {
        state.happened(port, now.timestamp(), What::Recovered);
    }
    Ok(())
}

fn check_penalty(port: PortRange, policy: &DynQosPolicy) -> Result<(), EditError> {
    const MINUTES: core::ops::RangeInclusive<u32> = 1..=1_440;
    const DURATION: core::ops::RangeInclusive<u32> = 1..=525_600;
    if ClassId::of(port).is_none() {
        return Err(EditError::ReservedClass(port));
    }
    let refused = |field, given: String, allowed| Err(EditError::Penalty { port, field, given, allowed });
    let none = Rate::default();
    if policy.trigger == none {
        return refused("a trigger of", "0".into(), "give the speed above which minutes count, such as 100");
    }
    if policy.penalty == none {
        return refused("a penalty of", "0".into(), "give the speed to slow down to, such as 5");
    }
    if !MINUTES.contains(&policy.minutes) {
        return refused("minutes of", policy.minutes.to_string(), "give 1 to 1440 minutes in a row");
    }
    if !DURATION.contains(&policy.duration) {
        return refused("a duration of", policy.duration.to_string(), "give 1 to 525600 minutes");
    }
    Ok(())
}
