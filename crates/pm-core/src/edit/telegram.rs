//! What an operator changes about Telegram: each value checked before it is kept.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use crate::config::{Config, Language, Secret, Telegram};
use crate::quota::Thresholds;
use crate::units::shown;

/// Telegram's settings that were given; none means: as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelegramSettings {
    /// The main switch. Switching on needs a token and a chat.
    pub enable: Option<bool>,
    /// The bot's token.
    pub bot_token: Option<Secret>,
    /// The chat: a number, or `@channel`.
    pub chat_id: Option<String>,
    /// Where the Bot API is; an empty text restores Telegram's own address.
    pub api_url: Option<String>,
    /// The percentages that are warned of.
    pub thresholds: Option<Thresholds>,
    /// Hours between reports; 0 for none.
    pub report_interval_hours: Option<u32>,
    /// The proxy in front of the Bot API; an empty text is none.
    pub proxy: Option<Secret>,
    /// The language of the messages.
    pub language: Option<Language>,
}

/// A setting of Telegram's that is refused. None of them repeats a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// Not a token.
    #[error(
        "this is not the token of a bot: copy the whole line that @BotFather sent, such as 123456789:ABC-DEF1234ghIkl"
    )]
    Token,
    /// Not a chat.
    #[error("`{0}` is not a chat: write its number, such as -1001234567890, or a public channel as @name")]
    Chat(String),
    /// Not an address.
    #[error(
        "`{0}` is not the address of a Bot API: write it with http:// or https:// in front, such as https://api.telegram.org"
    )]
    Url(String),
    /// An address with a bot's token in it.
    #[error(
        "the address of the Bot API goes without the token, which would be shown with it: write it as https://api.telegram.org, and give the token with --token-file"
    )]
    TokenInUrl,
    /// Not a proxy. The address may carry a password, so it is not repeated.
    #[error(
        "this is not the address of a proxy: write it as http://127.0.0.1:8080, socks5://127.0.0.1:1080 or socks5://user:password@host:1080; an empty text removes it"
    )]
    Proxy,
    /// Not thresholds.
    #[error("`{0}` are not thresholds: write whole numbers from 1 to 100 with commas, such as 50,80,100")]
    Thresholds(String),
    /// Not an interval.
    #[error("`{0}` is not a number of hours between reports: write 1 to {MOST_HOURS}, or 0 for no report")]
    Hours(String),
    /// There is nobody to write to.
    #[error("Telegram needs a token and a chat first: pm telegram set --token-file FILE --chat ID")]
    Incomplete,
}

/// A report a week is the rarest there is.
pub const MOST_HOURS: u32 = 168;
/// Far above the 46 characters of today's tokens and any sensible address.
const MOST_CHARACTERS: usize = 256;

impl Telegram {
    /// Whether there is somebody to write to, and a bot to write as.
    pub fn is_complete(&self) -> bool {
        let chat = match &self.chat_id {
            Value::String(chat) => !chat.is_empty(),
            Value::Number(_) => true,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
        };
        chat && !self.bot_token.expose().is_empty()
    }

    /// The chat as a text; empty when there is none.
    pub fn chat(&self) -> String {
        match &self.chat_id {
            Value::String(chat) => chat.clone(),
            Value::Number(chat) => chat.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        }
    }
}

/// Thresholds as an operator writes them: `50,80,100`, in any order, blanks allowed.
pub fn thresholds(text: &str) -> Result<Thresholds, TelegramError> {
    let level = |item: &str| {
        let item = item.trim();
        let plain = !item.is_empty() && item.bytes().all(|byte| byte.is_ascii_digit());
        item.parse::<u8>().ok().filter(|_| plain)
    };
    let levels: Option<Vec<u8>> = text.split(',').map(level).collect();
    levels.and_then(Thresholds::new).ok_or_else(|| TelegramError::Thresholds(shown(text)))
}

/// Hours between reports as an operator writes them.
pub fn hours(text: &str) -> Result<u32, TelegramError> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hours = text.parse().ok().filter(|hours| plain && *hours <= MOST_HOURS);
    hours.ok_or_else(|| TelegramError::Hours(shown(text)))
}

impl TelegramSettings {
    /// Whether each value is one that can be kept, as far as it can be known without the configuration.
    pub fn check(&self) -> Result<(), TelegramError> {
        set(&mut Config::default(), &Self { enable: None, ..self.clone() })
    }
}

pub(super) fn set(config: &mut Config, settings: &TelegramSettings) -> Result<(), TelegramError> {
    let telegram = &mut config.telegram;
    if let Some(token) = &settings.bot_token {
        if !is_token(token.expose()) {
            return Err(TelegramError::Token);
        }
        telegram.bot_token = token.clone();
    }
    if let Some(chat) = &settings.chat_id {
        if !is_chat(chat) {
            return Err(TelegramError::Chat(shown(chat)));
        }
        telegram.chat_id = Value::String(chat.clone());
    }
    if let Some(url) = &settings.api_url {
        telegram.api_url = address(url)?;
    }
    if let Some(thresholds) = &settings.thresholds {
        telegram.thresholds = thresholds.clone();
    }
    if let Some(hours) = settings.report_interval_hours {
        if hours > MOST_HOURS {
            return Err(TelegramError::Hours(hours.to_string()));
        }
        telegram.report_interval_hours = hours;
    }
    if let Some(proxy) = &settings.proxy {
        if !proxy.expose().is_empty() && !is_proxy(proxy.expose()) {
            return Err(TelegramError::Proxy);
        }
        telegram.proxy = proxy.clone();
    }
    telegram.language = settings.language.unwrap_or(telegram.language);
    match settings.enable {
        Some(true) if !telegram.is_complete() => return Err(TelegramError::Incomplete),
        enable => telegram.enable = enable.unwrap_or(telegram.enable),
    }
    Ok(())
}

/// The number of the bot, a colon, and letters, digits, `-` and `_`: it becomes part of an address.
fn is_token(text: &str) -> bool {
    let Some((bot, secret)) = text.split_once(':') else { return false };
    let digits = !bot.is_empty() && bot.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    digits && !secret.is_empty() && secret.bytes().all(plain) && text.len() <= MOST_CHARACTERS
}

fn is_chat(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if let Some(name) = text.strip_prefix('@') {
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        return begins && name.bytes().all(plain) && name.len() <= MOST_CHARACTERS;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    number && text.parse::<i64>().is_ok()
}

fn is_proxy(text: &str) -> bool {
    let scheme =
        |scheme: &&str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    let Some(scheme) = ["http://", "https://", "socks5://", "socks5h://"].iter().find(|name| scheme(name))
    else {
        return false;
    };
    let rest = &text[scheme.len()..];
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host).trim_end_matches('/');
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '"' | '<' | '>');
    !host.is_empty()
        && !host.starts_with(':')
        && !host.contains('/')
        && rest.chars().all(plain)
        && text.len() <= MOST_CHARACTERS
}

fn address(text: &str) -> Result<String, TelegramError> {
    if text.is_empty() {
        return Ok(Telegram::default().api_url);
    }
    let has_token = |part: &str| part.strip_prefix("bot").is_some_and(is_token);
    if text.split('/').any(has_token) {
        return Err(TelegramError::TokenInUrl);
    }
    let url = text.strip_suffix('/').unwrap_or(text);
    let scheme = ["https://", "http://"].into_iter().find_map(|scheme| {
        url.get(..scheme.len()).filter(|head| head.eq_ignore_ascii_case(scheme)).map(str::len)
    });
    let rest = scheme.map_or("", |length| &url[length..]);
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '"' | '<' | '>');
    let fits = !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.chars().all(plain);
    if fits && url.len() <= MOST_CHARACTERS {
        Ok(url.to_string())
    } else {
        Err(TelegramError::Url(shown(text)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const TOKEN: &str = "123456789:ABCdefGHIjklMNOpqrSTUvwxyz-_0";

    fn changed(settings: &TelegramSettings) -> Result<Telegram, TelegramError> {
        let mut config = Config::default();
        set(&mut config, settings).map(|()| config.telegram)
    }

    fn token(text: &str) -> TelegramSettings {
        TelegramSettings { bot_token: Some(Secret::new(text)), ..TelegramSettings::default() }
    }

    fn chat(text: &str) -> TelegramSettings {
        TelegramSettings { chat_id: Some(text.into()), ..TelegramSettings::default() }
    }

    fn url(text: &str) -> TelegramSettings {
        TelegramSettings { api_url: Some(text.into()), ..TelegramSettings::default() }
    }

    #[test]
    fn what_was_given_is_kept_and_the_rest_stays() {
        let telegram = changed(&token(TOKEN)).unwrap();
        assert_eq!(telegram, Telegram { bot_token: Secret::new(TOKEN), ..Telegram::default() });
        for text in ["-1001234567890", "42", "@my_channel"] {
            assert_eq!(changed(&chat(text)).unwrap().chat(), text);
        }
    }

    #[test]
    fn a_token_is_refused_without_being_repeated() {
        for wrong in ["", "secret-text", "123:", ":xyz", "12a:xyz", "123:A B", "123:A/B", "123:\u{1b}[31m"] {
            let error = changed(&token(wrong)).unwrap_err();
            assert_eq!(error, TelegramError::Token, "{wrong:?}");
            assert!(wrong.is_empty() || !format!("{error}{error:?}").contains(wrong));
        }
        assert_eq!(changed(&token(&format!("1:{}", "A".repeat(10_000)))).unwrap_err(), TelegramError::Token);
    }

    #[test]
    fn a_chat_is_a_number_or_a_channel() {
        for wrong in ["", "-", "+5", "007", "0", "12x", "@", "@1abc", "@a b", "99999999999999999999", "１"] {
            assert!(matches!(changed(&chat(wrong)), Err(TelegramError::Chat(_))), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_has_a_scheme_loses_one_slash_and_blank_restores_the_default() {
        let kept = |text: &str| changed(&url(text)).unwrap().api_url;
        assert_eq!(kept("https://tg.example.com/"), "https://tg.example.com");
        assert_eq!(kept("http://127.0.0.1:8081/proxy//"), "http://127.0.0.1:8081/proxy/");
        assert_eq!(kept("HTTPS://[::1]:443"), "HTTPS://[::1]:443");
        assert_eq!(kept(""), "https://api.telegram.org");
        for wrong in [
            "example.com",
            "ftp://a",
            "http://",
            "https:///x",
            "http://a b",
            "http://a?x=1",
            "http://ä",
            "长",
        ] {
            assert!(matches!(changed(&url(wrong)), Err(TelegramError::Url(_))), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_with_a_token_in_it_is_refused_without_being_repeated() {
        let error = changed(&url(&format!("https://api.telegram.org/bot{TOKEN}/getMe"))).unwrap_err();
        assert_eq!(error, TelegramError::TokenInUrl);
        assert!(!format!("{error}{error:?}").contains(TOKEN));
    }

    #[test]
    fn a_proxy_has_a_scheme_and_a_host_and_is_never_repeated() {
        let proxy =
            |text: &str| changed(&TelegramSettings { proxy: Some(Secret::new(text)), ..Default::default() });
        for right in
            ["socks5://127.0.0.1:1080", "http://u:secret@proxy.example:8080/", "SOCKS5H://[::1]:1080", ""]
        {
            assert_eq!(proxy(right).unwrap().proxy.expose(), right);
        }
        for wrong in
            ["127.0.0.1:1080", "ftp://a", "socks5://", "http://:80", "http://a b", "socks5://u:secret@"]
        {
            let error = proxy(wrong).unwrap_err();
            assert_eq!(error, TelegramError::Proxy, "{wrong:?}");
        }
    }

    #[test]
    fn thresholds_are_sorted_unique_and_from_1_to_100() {
        let levels = |text: &str| thresholds(text).unwrap().levels().collect::<Vec<u8>>();
        assert_eq!(levels("100, 50,80,50"), [50, 80, 100]);
        assert_eq!(levels("1"), [1]);
        for wrong in ["", ",", "50,", "0", "101", "50.5", "50 80", "-1", "+5", "1000", "a"] {
            assert!(thresholds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_report_comes_once_a_week_at_least() {
        let hours =
            |hours| changed(&TelegramSettings { report_interval_hours: Some(hours), ..Default::default() });
        assert_eq!(hours(168).unwrap().report_interval_hours, 168);
        assert_eq!(hours(0).unwrap().report_interval_hours, 0);
        assert_eq!(hours(169).unwrap_err(), TelegramError::Hours("169".into()));
        for wrong in ["", "-1", "1.5", "169", "+6", "six"] {
            assert!(super::hours(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(super::hours("6"), Ok(6));
    }

    #[test]
    fn switching_on_needs_a_token_and_a_chat() {
        let on = TelegramSettings { enable: Some(true), ..TelegramSettings::default() };
        assert_eq!(changed(&on).unwrap_err(), TelegramError::Incomplete);
        let all = TelegramSettings { bot_token: Some(Secret::new(TOKEN)), chat_id: Some("1".into()), ..on };
        assert!(changed(&all).unwrap().enable);
    }
}
