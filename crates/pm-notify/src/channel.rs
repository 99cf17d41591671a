//! A place that messages go to: which of those that wait go next, and how they are sent.

use std::time::Duration;

use async_trait::async_trait;
use pm_core::event::{Event, Message};

use crate::error::DeliveryError;
use crate::render::Voice;
use crate::rich::{Limit, Rich};

/// A place that messages go to.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Its name, which no other channel has.
    fn name(&self) -> &str;

    /// What goes next of the messages that wait, when `parts` of the first one were taken already. None when none waits.
    fn next(&self, waiting: &[Message], parts: u32) -> Option<Parcel>;

    /// Sends it. `Ok` means that the other side has taken it.
    async fn post(&self, parcel: &Parcel, patience: Duration) -> Result<(), DeliveryError>;
}

/// What is sent at once, and where the channel stands when it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// What is sent.
    pub content: Content,
    /// Messages below this number are then dealt with.
    pub next: u64,
    /// And so many parts of the next one.
    pub parts: u32,
    /// The first message that has no part in it, for when it is refused for ever.
    pub beyond: u64,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text for people.
    Text(Rich),
    /// One event as data.
    Data(Message),
}

/// With more than these at once, they come as one digest.
const MOST_SINGLE: usize = 5;

impl Parcel {
    /// One event as data.
    pub fn data(waiting: &[Message]) -> Option<Self> {
        let first = waiting.first()?;
        let beyond = first.id.saturating_add(1);
        Some(Self { content: Content::Data(first.clone()), next: beyond, parts: 0, beyond })
    }

    /// A message, a part of a long one, or a digest of many.
    pub fn text(waiting: &[Message], parts: u32, voice: &Voice, limit: Limit) -> Option<Self> {
        let first = waiting.first()?;
        let alone = |message: &Message| matches!(message.event, Event::Report { .. } | Event::Test);
        let run = waiting.iter().position(alone).unwrap_or(waiting.len());
        if parts == 0 && run > MOST_SINGLE {
            let (digest, count) = voice.digest(&waiting[..run], limit);
            if let Some(last) = count.checked_sub(1).and_then(|last| waiting.get(last)) {
                let next = last.id.saturating_add(1);
                return Some(Self { content: Content::Text(digest), next, parts: 0, beyond: next });
            }
        }
        let texts = voice.texts(first, limit);
        let beyond = first.id.saturating_add(1);
        let mut rest = texts.into_iter().skip(parts as usize);
        let text = rest.next().unwrap_or_default();
        let is_last = rest.next().is_none();
        let (next, parts) = if is_last { (beyond, 0) } else { (first.id, parts.saturating_add(1)) };
        Some(Self { content: Content::Text(text), next, parts, beyond })
    }
}
