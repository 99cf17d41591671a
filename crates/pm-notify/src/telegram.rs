//! Telegram's Bot API: one method, `sendMessage`.

use std::time::Duration;

use async_trait::async_trait;
use pm_core::backend::{Notifier, Refusal};
use pm_core::channel::TELEGRAM;
use pm_core::config::{self, Secret};
use pm_core::event::Message;
use reqwest::Url;
use serde_json::{Value, json};

use crate::channel::{Channel, Content, Parcel};
use crate::error::{Confidential, DeliveryError};
use crate::http::{self, Answer, Door, Request};
use crate::render::Voice;
use crate::rich::{Limit, Rich, Unit};

/// The Bot API takes up to 4,096 characters after the entities were parsed, and parses up to 100 entities. Characters
/// are counted as the clients count them, in UTF-16.
pub const LIMIT: Limit = Limit { unit: Unit::Utf16, most: 4_095, styled: 100 };
/// The numbers of basic groups are negative and larger than this one, those of supergroups smaller: they begin with -100,
/// and have more digits (<https://core.telegram.org/api/bots/ids>).
const FIRST_SUPERGROUP: i64 = -1_000_000_000_000;
/// How long one answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A bot that writes to a chat.
#[derive(Debug)]
pub struct Telegram {
    api_url: String,
    token: Secret,
    chat: Value,
    voice: Voice,
    door: Door,
}

impl Telegram {
    /// The bot and the chat of the configuration. Nothing is set up before something is sent.
    pub fn new(config: &config::Telegram, voice: Voice) -> Self {
        let token = config.bot_token.clone();
        let confidential = Confidential::new(&[token.expose(), config.proxy.expose()])
            .and_logins(&[&config.api_url, config.proxy.expose()]);
        Self {
            api_url: config.api_url.clone(),
            token,
            chat: config.chat_id.clone(),
            voice,
            door: Door::new(&config.proxy, confidential),
        }
    }

    /// Sends one text.
    pub async fn say(&self, text: &Rich, patience: Duration) -> Result<(), DeliveryError> {
        let body = json!({
            "chat_id": self.chat,
            "text": text.html(),
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        });
        let request = Request { url: self.method()?, body: body.to_string().into_bytes(), headers: &[] };
        let answer = self.door.send(request, patience).await?;
        self.judge(&answer)
    }

    /// The address may have a path of its own, where a reverse proxy stands.
    fn method(&self) -> Result<Url, DeliveryError> {
        const WHAT: &str = "telegram's api_url";
        let mut url = http::address(&self.api_url, WHAT)?;
        let bot = format!("bot{}", self.token.expose());
        let segments = url.path_segments_mut();
        segments.map_err(|()| DeliveryError::Address(WHAT))?.pop_if_empty().push(&bot).push("sendMessage");
        Ok(url)
    }

    /// Only such a chat ever gets another number. Whoever answers in Telegram's place could have messages sent to anybody.
    fn is_basic_group(&self) -> bool {
        let chat = self.chat.as_i64().or_else(|| self.chat.as_str()?.parse().ok());
        chat.is_some_and(|chat| (FIRST_SUPERGROUP..0).contains(&chat))
    }

    /// What an answer means.
    pub(crate) fn judge(&self, answer: &Answer) -> Result<(), DeliveryError> {
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let field = |name: &str| said.as_ref().and_then(|said| said.get(name));
        let is_fine = (200..300).contains(&answer.status);
        // The end of a very long answer is never read.
        let begins_well = || answer.body.trim_ascii_start().starts_with(br#"{"ok":true"#);
        match field("ok").and_then(Value::as_bool) {
            Some(true) if is_fine => return Ok(()),
            None if is_fine && begins_well() => return Ok(()),
            None if is_fine => return Err(DeliveryError::Foreign("the Bot API")),
            _ if (300..400).contains(&answer.status) => return Err(DeliveryError::Redirected(answer.status)),
            _ => {}
        }
        let code = field("error_code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let code = code.unwrap_or(answer.status);
        let text = field("description")
            .and_then(Value::as_str)
            .map_or_else(|| standard(code), |text| self.door.shown(text));
        let parameter = |name: &str| field("parameters").and_then(|parameters| parameters.get(name));
        let moved = parameter("migrate_to_chat_id").and_then(Value::as_i64);
        if let Some(chat) = moved.filter(|&chat| self.is_basic_group() && chat < FIRST_SUPERGROUP) {
            return Err(DeliveryError::Moved { chat, text });
        }
        Err(match code {
            429 => {
                let asked = parameter("retry_after").and_then(Value::as_u64).map(Duration::from_secs);
                DeliveryError::Throttled { after: asked.unwrap_or(answer.retry_after), text }
            }
            400 | 401 | 403 | 404 => DeliveryError::Refused { code, text },
            _ => DeliveryError::Unwell { code, text },
        })
    }
}

/// For answers without a word of their own.
fn standard(code: u16) -> String {
    let status = reqwest::StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
    status.unwrap_or("no reason given").to_owned()
}

#[async_trait]
impl Channel for Telegram {
    fn name(&self) -> &str {
        TELEGRAM
    }

    fn next(&self, waiting: &[Message], parts: u32) -> Option<Parcel> {
        Parcel::text(waiting, parts, &self.voice, LIMIT)
    }

    async fn post(&self, parcel: &Parcel, patience: Duration) -> Result<(), DeliveryError> {
        match &parcel.content {
            // Nothing to see: it would be refused, and there is nothing to tell.
            Content::Text(text) if text.is_blank() => Ok(()),
            Content::Text(text) => self.say(text, patience).await,
            Content::Data(message) => {
                for text in self.voice.texts(message, LIMIT) {
                    self.say(&text, patience).await?;
                }
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Notifier for Telegram {
    async fn send(&self, message: &Message) -> Result<(), Refusal> {
        for text in self.voice.texts(message, LIMIT) {
            self.say(&text, PATIENCE).await?;
        }
        Ok(())
    }
}
