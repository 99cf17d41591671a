//! What holds of whatever a server may answer, for those who try it out with answers that no server gives.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pm_core::backend::Retry;
use pm_core::channel::Service;
use pm_core::config::{Language, Secret};
use pm_core::progress::{LONGEST_WAIT, LastError, Progress};
use serde_json::{Map, Value};

use crate::error::DeliveryError;
use crate::http::Answer;
use crate::{Telegram, Voice, Webhook};

const TOKEN: &str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz";
const PROXY: &str = "socks5://user:correct-horse-battery@127.0.0.1:1080";
const API: &str = "https://operator:p%40perclip@tg.example.com/";
/// A basic group.
const GROUP: i64 = -987_654_321;
const HOOK: &str = "https://hooks.example.com/robot/send?access_token=0123456789abcdef0123456789abcdef";
const SIGNING: &str = "SECf00dcafe00d15ea5edeadbeef";
/// What of a request to Telegram must never be seen.
const OF_TELEGRAM: &[&str] =
    &["ABCdefGHIjklMNOpqrSTUvwxyz", "correct-horse-battery", "p@perclip", "p%40perclip"];
/// What of a request to another service must never be seen.
const OF_HOOK: &[&str] =
    &["0123456789abcdef0123456789abcdef", "SECf00dcafe00d15ea5edeadbeef", "correct-horse-battery"];

/// Judges an answer: `STATUS RETRY-AFTER`, a line break, and the body.
pub fn telegram(input: &[u8]) {
    let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    let head = String::from_utf8_lossy(&input[..end]);
    let (status, retry_after) = head.split_once(' ').unwrap_or((&head, ""));
    let retry_after = Some(retry_after).filter(|text| !text.is_empty());
    let body = input.get(end + 1..).unwrap_or_default().to_vec();
    let answer = Answer::of(status.parse().unwrap_or(200), retry_after, body);

    let voice = Voice { host: "vps".to_owned(), zone: TimeZone::UTC, language: Language::En };
    let settings = pm_core::config::Telegram {
        bot_token: Secret::new(TOKEN),
        proxy: Secret::new(PROXY),
        api_url: API.to_owned(),
        chat_id: Value::from(GROUP),
        ..pm_core::config::Telegram::default()
    };
    let verdict = Telegram::new(&settings, voice.clone()).judge(&answer);
    if let Err(DeliveryError::Moved { chat, .. }) = verdict {
        assert!(chat < -1_000_000_000_000, "{chat} is no supergroup");
    }
    is_sane(&answer, OF_TELEGRAM, verdict);
    for service in Service::ALL {
        let channel = pm_core::channel::Channel {
            name: service.name().to_owned(),
            enable: true,
            service,
            url: Secret::new(HOOK),
            secret: Secret::new(SIGNING),
            body: None::<Value>,
            proxy: Secret::new(PROXY),
            extra: Map::new(),
        };
        let webhook = Webhook::new(&channel, voice.clone(), Timestamp::UNIX_EPOCH);
        is_sane(&answer, OF_HOOK, webhook.judge(&answer));
    }
}

/// Only an answer that says so is a success; what is told of a failure is a line without secrets, and a pause is one
/// that ends.
fn is_sane(answer: &Answer, secrets: &[&str], verdict: Result<(), DeliveryError>) {
    let Err(error) = verdict else {
        assert!((200..300).contains(&answer.status), "{} is a success", answer.status);
        return;
    };
    let told = error.to_string();
    for text in [&told, &format!("{error:?}")] {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
    assert!(!told.chars().any(char::is_control), "{told:?}");
    assert!(told.chars().count() < 5_000, "{told}");
    let now = Timestamp::UNIX_EPOCH;
    let mut progress = Progress::default();
    match error.retry() {
        // A request that is not understood will not be understood tomorrow.
        Retry::Never => assert!(matches!(error, DeliveryError::Refused { .. })),
        retry @ (Retry::After(_) | Retry::Later) => {
            progress.put_off(retry, LastError { at: now, text: told });
            let tomorrow = now.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
            assert!(progress.may_try(tomorrow), "it is never tried again: {progress:?}");
        }
    }
}
