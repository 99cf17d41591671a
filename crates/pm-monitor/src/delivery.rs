//! Telling: what waits in the queue goes to the channels. It happens after everything is in force, and holds no lock that
//! anybody else waits for: the file is locked only for the moment in which it is noted what became of a message.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp, Zoned};
use pm_core::backend::{Notifier, Retry};
use pm_core::channel::TELEGRAM;
use pm_core::config::{Config, Language};
use pm_core::edit::EditError;
use pm_core::edit::telegram::TelegramError;
use pm_core::event::{Event, Message};
use pm_core::progress::{LONGEST_WAIT, LastError, Progress};
use pm_core::state::Outbox;
use pm_core::wire::{Decoded, Snapshot};
pub use pm_notify::DeliveryError;
use pm_notify::channel::{Channel, Parcel};
use pm_notify::rich::{Limit, Rich, Unit};
use pm_notify::{Telegram, Voice, Webhook};
use serde_json::Value;

use crate::identity;
use crate::lock::Lock;
use crate::machine::{Machine, MachineError};

/// Telling takes no longer than this, so that it is over before the next minute begins. The channels share it.
const BUDGET: Duration = Duration::from_secs(20);

/// Who is to be told something at once, whatever waits in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Telegram, even when it is switched off.
    Telegram,
    /// Telegram and every channel that is switched on.
    Everybody,
}

/// What became of something that was told at once, by the channel's name.
pub type Told = Vec<(String, Result<(), DeliveryError>)>;

/// A message as people read it, in this language.
pub fn text(message: &Message, language: Language, now: &Zoned) -> String {
    const ENDLESS: Limit = Limit { unit: Unit::Bytes, most: usize::MAX, styled: usize::MAX };
    let voice = Voice { host: identity::name(), zone: now.time_zone().clone(), language };
    voice.texts(message, ENDLESS).iter().map(Rich::plain).collect()
}

impl Machine {
    /// Tells what waits in the queue, oldest first. `log` prints each message once somebody has taken it. Returns what went
    /// wrong, a sentence each.
    pub async fn tell(
        &self,
        now: &Zoned,
        log: &(dyn Notifier + Send + Sync),
    ) -> Result<Vec<String>, MachineError> {
        let Some(_alone) = Lock::try_now(&self.paths.tell_lock())? else { return Ok(Vec::new()) };
        let Some(known) = self.store.recall()? else { return Ok(Vec::new()) };
        let Snapshot { config, state, .. } = &known.decoded.snapshot;
        let channels = channels(config, now);
        if state.outbox.messages.is_empty() || channels.is_empty() {
            return Ok(Vec::new());
        }
        let (config, file) = (config.clone(), known.decoded.snapshot);
        let mut round = Round { machine: self, now, began: Instant::now(), log, file, notes: Vec::new() };
        let share = BUDGET / u32::try_from(channels.len()).unwrap_or(u32::MAX);
        for (number, channel) in channels.into_iter().enumerate() {
            round.deliver(channel, &config, number == 0, share).await?;
        }
        Ok(round.notes)
    }

    /// Tells something at once and waits for the answers.
    pub async fn tell_now(
        &self,
        event: Event,
        audience: Audience,
        now: &Zoned,
    ) -> Result<Told, MachineError> {
        let config = self.store.load()?.map(|decoded| decoded.snapshot.config).unwrap_or_default();
        let channels = match audience {
            Audience::Telegram if config.telegram.is_complete() => vec![telegram(&config, now)],
            Audience::Telegram => Vec::new(),
            Audience::Everybody => channels(&config, now),
        };
        if channels.is_empty() {
            return Err(EditError::from(TelegramError::Incomplete).into());
        }
        let message = Message { id: 0, at: now.timestamp(), event };
        let mut told = Told::new();
        for channel in channels {
            let name = channel.name().to_owned();
            let mut result = whole(&*channel, &message).await;
            if let (Err(DeliveryError::Moved { chat, .. }), TELEGRAM) = (&result, name.as_str()) {
                let snapshot = self.note(|snapshot| follow(&mut snapshot.config, *chat))?.unwrap_or_default();
                result = whole(&*telegram(&snapshot.config, now), &message).await;
            }
            if result.is_ok() {
                self.forget_faults(&name)?;
            }
            told.push((name, result));
        }
        Ok(told)
    }

    /// Whoever takes something now is well again, and what waits for it need not wait any longer.
    fn forget_faults(&self, channel: &str) -> Result<(), MachineError> {
        let is_unwell = |progress: &Progress| progress.last_error.is_some() || progress.not_before.is_some();
        let known = self.store.load()?;
        if known.is_some_and(|known| known.snapshot.state.outbox.progress.get(channel).is_some_and(is_unwell))
        {
            self.note(|snapshot| {
                if let Some(progress) = snapshot.state.outbox.progress.get_mut(channel) {
                    progress.start_over();
                }
            })?;
        }
        Ok(())
    }

    /// Changes the file as it is at this moment. Returns what it is now; none when it has gone.
    fn note(&self, change: impl FnOnce(&mut Snapshot)) -> Result<Option<Snapshot>, MachineError> {
        let _lock = Lock::wait(&self.paths.lock())?;
        let Some(Decoded { mut snapshot, .. }) = self.store.load()? else { return Ok(None) };
        change(&mut snapshot);
        self.store.save(&snapshot)?;
        Ok(Some(snapshot))
    }
}

/// One round of telling.
struct Round<'a> {
    machine: &'a Machine,
    now: &'a Zoned,
    began: Instant,
    log: &'a (dyn Notifier + Send + Sync),
    /// The file as it was when it was last read or written: an empty one when it has gone.
    file: Snapshot,
    notes: Vec<String>,
}

impl Round<'_> {
    /// Sends what waits for a channel until nothing does, the channel has had enough, or its share of the time is over.
    /// After each sending it is noted what became of it, so that no end of this process repeats more than one.
    async fn deliver(
        &mut self,
        mut channel: Box<dyn Channel>,
        config: &Config,
        prints: bool,
        share: Duration,
    ) -> Result<(), MachineError> {
        // A second attempt fits in after one that took as long as it may.
        let (name, began, patience) = (channel.name().to_owned(), Instant::now(), share / 2);
        let (mut settings, mut has_moved) = (config.clone(), false);
        loop {
            if !is_same(&name, &settings, &self.file.config) {
                // The operator changed something meanwhile; the next minute goes by it.
                return Ok(());
            }
            let outbox = &self.file.state.outbox;
            let progress = outbox.progress.get(&name).cloned().unwrap_or_default();
            let Some(parcel) = channel.next(outbox.waiting(&name), progress.parts) else { return Ok(()) };
            if !progress.may_try(self.moment()) || began.elapsed() + patience > share {
                return Ok(());
            }
            match channel.post(&parcel, patience).await {
                Ok(()) => {
                    let taken = outbox.waiting(&name).iter().filter(|message| message.id < parcel.next);
                    let taken: Vec<Message> = taken.filter(|_| prints).cloned().collect();
                    let at = self.moment();
                    self.progress(&name, |progress, _| progress.taken(parcel.next, parcel.parts, at))?;
                    for message in &taken {
                        self.print(message).await;
                    }
                }
                Err(DeliveryError::Moved { chat, .. }) if name == TELEGRAM && !has_moved => {
                    has_moved = true;
                    self.note(|snapshot| follow(&mut snapshot.config, chat))?;
                    settings = self.file.config.clone();
                    channel = telegram(&settings, self.now);
                    self.notes.push(format!("the group has become a supergroup; its number is now {chat}"));
                }
                Err(error) => {
                    if self.put_by(&name, &parcel, &error)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Notes a refusal. True when the channel is to be left in peace.
    fn put_by(&mut self, name: &str, parcel: &Parcel, error: &DeliveryError) -> Result<bool, MachineError> {
        let last_error = LastError { at: self.moment(), text: error.to_string() };
        let mut notes = Vec::new();
        let retry = error.retry();
        self.progress(name, |progress, messages| {
            let of_parcel = |message: &&Message| (progress.next..parcel.beyond).contains(&message.id);
            let ids: Vec<String> =
                messages.iter().filter(of_parcel).map(|message| message.id.to_string()).collect();
            let ids = ids.join(", ");
            if retry == Retry::Never {
                notes.push(format!("{name} refused message {ids}, which is dropped: {error}"));
                progress.refused(parcel.beyond, last_error);
                return;
            }
            notes
                .push(format!("message {ids} was not delivered to {name}, it is tried again later: {error}"));
            let is_old = |message: &&Message| last_error.at.duration_since(message.at) >= LONGEST_WAIT;
            let waiting = messages.iter().filter(|message| message.id >= progress.next);
            let old: Vec<u64> = waiting.take_while(is_old).map(|message| message.id).collect();
            if let Some(last) = old.last() {
                notes.push(format!("{} of them waited for more than a day and are dropped", old.len()));
                (progress.next, progress.parts) = (last.saturating_add(1), 0);
            }
            progress.put_off(retry, last_error);
        })?;
        self.notes.append(&mut notes);
        Ok(retry != Retry::Never)
    }

    /// Notes how far a channel has come, and takes what every channel has dealt with out of the queue.
    fn progress(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Progress, &[Message]),
    ) -> Result<(), MachineError> {
        self.note(|Snapshot { config, state, .. }| {
            let Outbox { messages, progress, .. } = &mut state.outbox;
            change(progress.entry(name.to_owned()).or_default(), messages);
            let mut names = names(config);
            // Whoever was just switched off has taken it all the same.
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
            state.outbox.settle(&names);
        })
    }

    fn note(&mut self, change: impl FnOnce(&mut Snapshot)) -> Result<(), MachineError> {
        self.file = self.machine.note(change)?.unwrap_or_default();
        Ok(())
    }

    /// Where a channel was told, the log is beside the point.
    async fn print(&mut self, message: &Message) {
        self.notes.extend(print(self.log, message).await.err());
    }

    /// The moment, on the clock that the minute began with.
    fn moment(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        self.now.timestamp().checked_add(elapsed).unwrap_or(self.now.timestamp())
    }
}

/// Takes out of the queue what waits there for nobody, to be printed. Each entry keeps what happened to it all the same.
pub(crate) fn unheard(config: &Config, outbox: &mut Outbox) -> Vec<Message> {
    if names(config).is_empty() { std::mem::take(&mut outbox.messages) } else { Vec::new() }
}

/// Prints a message, or says why it could not be printed.
pub(crate) async fn print(log: &(dyn Notifier + Send + Sync), message: &Message) -> Result<(), String> {
    let refused = log.send(message).await;
    refused.map_err(|refusal| format!("message {} was not printed: {refusal}", message.id))
}

/// The group has another number now. It keeps the form in which the operator wrote it.
fn follow(config: &mut Config, chat: i64) {
    let chat_id = &mut config.telegram.chat_id;
    *chat_id = if chat_id.is_string() { Value::String(chat.to_string()) } else { Value::from(chat) };
}

/// The channels that are told of everything, Telegram first.
fn channels(config: &Config, now: &Zoned) -> Vec<Box<dyn Channel>> {
    let mut channels: Vec<Box<dyn Channel>> = Vec::new();
    if config.telegram.enable && config.telegram.is_complete() {
        channels.push(telegram(config, now));
    }
    for channel in config.channels.iter().filter(|channel| channel.enable) {
        channels.push(Box::new(Webhook::new(channel, voice(config, now), now.timestamp())));
    }
    channels
}

fn names(config: &Config) -> Vec<String> {
    let telegram = (config.telegram.enable && config.telegram.is_complete()).then(|| TELEGRAM.to_owned());
    let others = config.channels.iter().filter(|channel| channel.enable).map(|channel| channel.name.clone());
    telegram.into_iter().chain(others).collect()
}

fn telegram(config: &Config, now: &Zoned) -> Box<dyn Channel> {
    Box::new(Telegram::new(&config.telegram, voice(config, now)))
}

fn voice(config: &Config, now: &Zoned) -> Voice {
    Voice { host: identity::name(), zone: now.time_zone().clone(), language: config.telegram.language }
}

/// Whether a channel is still what it was when its round began.
fn is_same(name: &str, before: &Config, now: &Config) -> bool {
    let of = |config: &Config| config.channels.iter().find(|channel| channel.name == name).cloned();
    if name == TELEGRAM { before.telegram == now.telegram } else { of(before) == of(now) }
}

/// A message with all of its parts.
async fn whole(channel: &dyn Channel, message: &Message) -> Result<(), DeliveryError> {
    let mut parts = 0;
    while let Some(parcel) = channel.next(std::slice::from_ref(message), parts) {
        channel.post(&parcel, BUDGET / 2).await?;
        if parcel.next > message.id {
            break;
        }
        parts = parcel.parts;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pm_core::backend::{MockNotifier, Refusal};

    use super::*;

    #[tokio::test]
    async fn what_the_log_does_not_take_is_said() {
        let mut log = MockNotifier::new();
        let full = || Refusal { retry: Retry::Later, source: "the disk is full".into() };
        log.expect_send().times(1).returning(move |_| Err(full()));
        let message = Message { id: 7, at: Timestamp::UNIX_EPOCH, event: Event::Test };
        let said = print(&log, &message).await.unwrap_err();
        assert!(said.contains("message 7 was not printed") && said.contains("the disk is full"), "{said}");
    }
}
