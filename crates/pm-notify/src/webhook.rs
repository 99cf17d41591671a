//! An HTTP address that every message is posted to: the event as data for a program of the operator's, a text for the
//! push services that people use.

use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pm_core::backend::{Notifier, Refusal};
use pm_core::channel::{self, Service};
use pm_core::event::Message;
use reqwest::Url;
use ring::hmac;
use serde_json::{Value, json};

use crate::channel::{Channel, Content, Parcel};
use crate::error::{Confidential, DeliveryError};
use crate::http::{self, Answer, Door, Request};
use crate::render::Voice;
use crate::rich::{Limit, Rich, Unit};
use crate::telegram::PATIENCE;

/// The header that carries `sha256=` and the HMAC of the body in hexadecimal digits.
pub const SIGNATURE: &str = "X-Pm-Signature";

/// An address that messages are posted to.
#[derive(Debug)]
pub struct Webhook {
    channel: channel::Channel,
    voice: Voice,
    door: Door,
    /// Milliseconds since 1970, for the one service that signs the time.
    now_ms: i64,
}

impl Webhook {
    /// The channel of the configuration. Nothing is set up before something is sent.
    pub fn new(channel: &channel::Channel, voice: Voice, now: jiff::Timestamp) -> Self {
        let confidential =
            Confidential::new(&[channel.url.expose(), channel.secret.expose(), channel.proxy.expose()])
                .and_logins(&[channel.url.expose(), channel.proxy.expose()]);
        let door = Door::new(&channel.proxy, confidential);
        Self { channel: channel.clone(), voice, door, now_ms: now.as_millisecond() }
    }

    /// What the service takes at once. Bark and the bots cut or refuse what is longer.
    const fn limit(&self) -> Limit {
        let most = match self.channel.service {
            Service::Webhook | Service::Bark => 3_000,
            // https://developer.work.weixin.qq.com/document/path/91770: 2,048 bytes.
            Service::WeCom => 2_048,
            Service::DingTalk => 15_000,
            Service::ServerChan => 30_000,
        };
        Limit { unit: Unit::Bytes, most, styled: usize::MAX }
    }

    /// Whether the address is sent events as data, rather than texts.
    const fn takes_data(&self) -> bool {
        matches!(self.channel.service, Service::Webhook) && self.channel.body.is_none()
    }

    fn body(&self, content: &Content) -> Value {
        match content {
            Content::Data(message) if self.takes_data() => json!({
                "id": message.id,
                "at": message.at,
                "host": self.voice.host,
                "event": message.event,
            }),
            Content::Data(message) => {
                let texts = self.voice.texts(message, self.limit());
                self.filled(&texts.first().cloned().unwrap_or_default())
            }
            Content::Text(text) => self.filled(text),
        }
    }

    fn filled(&self, text: &Rich) -> Value {
        let text = text.plain();
        let title = text.lines().next().unwrap_or_default().to_owned();
        let preset = match self.channel.service {
            // https://bark.day.app/#/tutorial
            Service::Bark => json!({"title": "{title}", "body": "{rest}", "group": "pm"}),
            // https://open.dingtalk.com/document/robots/custom-robot-access
            Service::WeCom | Service::DingTalk => json!({"msgtype": "text", "text": {"content": "{text}"}}),
            // https://sct.ftqq.com: `desp` is Markdown, where a line ends with two blanks.
            Service::ServerChan => json!({"title": "{title}", "desp": "{lines}"}),
            Service::Webhook => json!({"text": "{text}"}),
        };
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        let lines = rest.replace('\n', "  \n");
        let values = [("title", title.as_str()), ("text", &text), ("rest", rest), ("lines", &lines)];
        filled(self.channel.body.as_ref().unwrap_or(&preset), &values)
    }

    fn url(&self) -> Result<Url, DeliveryError> {
        let mut url = http::address(self.channel.url.expose(), "the url of a channel")?;
        let secret = self.channel.secret.expose();
        if self.channel.service == Service::DingTalk && !secret.is_empty() {
            let time = self.now_ms.to_string();
            let sign = BASE64_STANDARD.encode(mac(secret, format!("{time}\n{secret}").as_bytes()));
            url.query_pairs_mut().append_pair("timestamp", &time).append_pair("sign", &sign);
        }
        Ok(url)
    }

    async fn deliver(&self, content: &Content, patience: Duration) -> Result<(), DeliveryError> {
        let body = self.body(content).to_string().into_bytes();
        let secret = self.channel.secret.expose();
        let signs = self.channel.service == Service::Webhook && !secret.is_empty();
        let signature =
            signs.then(|| (SIGNATURE, format!("sha256={}", hexadecimal(mac(secret, &body).as_ref()))));
        let headers = signature.as_slice();
        let answer = self.door.send(Request { url: self.url()?, body, headers }, patience).await?;
        self.judge(&answer)
    }

    /// What an answer means.
    pub(crate) fn judge(&self, answer: &Answer) -> Result<(), DeliveryError> {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let words = || {
            let text = String::from_utf8_lossy(&answer.body);
            let known = ["errmsg", "message", "error", "description"]
                .iter()
                .find_map(|name| said.get(name)?.as_str());
            self.door.shown(known.unwrap_or(&text))
        };
        match answer.status {
            200..300 => {}
            300..400 => return Err(DeliveryError::Redirected(answer.status)),
            429 => return Err(DeliveryError::Throttled { after: answer.retry_after, text: words() }),
            code @ (400 | 401 | 403 | 404 | 410 | 413 | 422) => {
                return Err(DeliveryError::Refused { code, text: words() });
            }
            code => return Err(DeliveryError::Unwell { code, text: words() }),
        }
        // These services say "200 OK" whatever happened, and how it went in the body.
        let code = |name: &str| said.get(name).and_then(Value::as_i64);
        let verdict = match self.channel.service {
            Service::Webhook => Some(0),
            Service::Bark => code("code").map(|code| if code == 200 { 0 } else { code }),
            Service::WeCom | Service::DingTalk => code("errcode"),
            Service::ServerChan => code("code").or_else(|| code("errno")),
        };
        match verdict {
            Some(0) => Ok(()),
            // Too many messages: WeCom's and DingTalk's numbers for it.
            Some(45_009 | 130_101 | -1 | 410_100 | 660_026) => {
                Err(DeliveryError::Throttled { after: answer.retry_after, text: words() })
            }
            Some(code) => {
                let code = u16::try_from(code).unwrap_or(answer.status);
                Err(DeliveryError::Refused { code, text: words() })
            }
            None => Err(DeliveryError::Foreign(self.channel.service.name())),
        }
    }
}

/// A template with `{name}` filled in, in all of its strings.
fn filled(template: &Value, values: &[(&str, &str)]) -> Value {
    match template {
        Value::String(text) => {
            let mut filled = String::new();
            let mut rest = text.as_str();
            'text: while let Some(place) = rest.find('{') {
                filled.push_str(&rest[..place]);
                rest = &rest[place..];
                for (name, value) in values {
                    let after = rest[1..].strip_prefix(name).and_then(|rest| rest.strip_prefix('}'));
                    if let Some(after) = after {
                        filled.push_str(value);
                        rest = after;
                        continue 'text;
                    }
                }
                filled.push('{');
                rest = &rest[1..];
            }
            Value::String(filled + rest)
        }
        Value::Array(items) => items.iter().map(|item| self::filled(item, values)).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, field)| (name.clone(), self::filled(field, values))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}

fn mac(secret: &str, text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[async_trait]
impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.channel.name
    }

    fn next(&self, waiting: &[Message], parts: u32) -> Option<Parcel> {
        if self.takes_data() {
            Parcel::data(waiting)
        } else {
            Parcel::text(waiting, parts, &self.voice, self.limit())
        }
    }

    async fn post(&self, parcel: &Parcel, patience: Duration) -> Result<(), DeliveryError> {
        self.deliver(&parcel.content, patience).await
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, message: &Message) -> Result<(), Refusal> {
        if self.takes_data() {
            return Ok(self.deliver(&Content::Data(message.clone()), PATIENCE).await?);
        }
        for text in self.voice.texts(message, self.limit()) {
            self.deliver(&Content::Text(text), PATIENCE).await?;
        }
        Ok(())
    }
}
