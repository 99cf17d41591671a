//! Telegram's settings as people see them: the token and every password masked.

use std::fmt::Write as _;

use pm_core::config::Telegram;
use pm_core::units::escaped;
use pm_monitor::delivery::DeliveryError;

use crate::panel::cell;
use crate::text::{DeliveryTexts, Texts, fill};

/// The settings by name, in the order of the menu's page; the proxy only when there is one.
pub(crate) fn rows(telegram: &Telegram, texts: &Texts) -> Vec<(&'static str, String)> {
    let words = &texts.menu.telegram;
    let or_unset = |text: String| if text.is_empty() { words.unset.to_owned() } else { text };
    let report = match telegram.report_interval_hours {
        0 => words.no_report.to_owned(),
        hours => fill(words.every_hours, &[&hours.to_string()]),
    };
    let values = [
        (if telegram.enable { words.on } else { words.off }).to_owned(),
        or_unset(telegram.bot_token.masked()),
        or_unset(telegram.chat()),
        without_password(&telegram.api_url),
        format!("{} (%)", levels(telegram)),
        report,
    ];
    let mut rows: Vec<_> = words.rows.into_iter().zip(values).collect();
    if !telegram.proxy.expose().is_empty() {
        rows.push((texts.telegram.proxy, without_password(telegram.proxy.expose())));
    }
    rows
}

/// A line for each row, with its value behind this many terminal cells.
pub(crate) fn lines(rows: &[(&str, String)], width: usize) -> String {
    let mut page = String::new();
    for (name, value) in rows {
        let _ = writeln!(page, " {}{}", cell(name, width), escaped(value));
    }
    page
}

/// The thresholds as an operator writes them.
pub(crate) fn levels(telegram: &Telegram) -> String {
    telegram.thresholds.levels().map(|level| level.to_string()).collect::<Vec<String>>().join(", ")
}

/// An address without who logs in there, and how.
pub(crate) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.find("://").map_or(("", url), |end| url.split_at(end + "://".len()));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => url.to_owned(),
    }
}

/// Why a message was not delivered, in Telegram's own words, and what to do.
pub(crate) fn explained(error: &DeliveryError, words: &DeliveryTexts) -> String {
    let remedy = match error {
        DeliveryError::Refused { code: 401 | 404, .. } => words.wrong_token,
        DeliveryError::Refused { code: 403, .. } => words.shut_out,
        DeliveryError::Refused { .. } | DeliveryError::Moved { .. } => words.wrong_chat,
        DeliveryError::Throttled { .. } | DeliveryError::Unwell { .. } => words.later,
        DeliveryError::Redirected(_)
        | DeliveryError::Foreign(_)
        | DeliveryError::Address(_)
        | DeliveryError::OutOfBounds(_) => words.wrong_address,
        DeliveryError::TimedOut(_)
        | DeliveryError::Unreachable(_)
        | DeliveryError::Broken(_)
        | DeliveryError::Setup(_) => words.no_way,
    };
    format!("{error} — {remedy}")
}

#[cfg(test)]
mod tests {
    use pm_core::config::Secret;

    use super::*;
    use crate::text::Language;

    #[test]
    fn an_address_is_shown_without_its_password() {
        assert_eq!(without_password("socks5://me:secret@host:1080"), "socks5://***@host:1080");
        assert_eq!(without_password("https://me:p@ss@host/bot"), "https://***@host/bot");
        assert_eq!(without_password("me:secret@host"), "***@host", "as a file may have it");
        assert_eq!(without_password("https://api.telegram.org"), "https://api.telegram.org");
        assert_eq!(without_password(""), "");
    }

    #[test]
    fn no_row_shows_a_secret_in_either_language() {
        let telegram = Telegram {
            bot_token: Secret::new("123456789:ABCdefGHIjklMNOpqrSTUvwxyz"),
            api_url: "http://me:hush@mirror.example".into(),
            proxy: Secret::new("socks5://me:hush@127.0.0.1:1080"),
            ..Telegram::default()
        };
        for language in [Language::Zh, Language::En] {
            let page = lines(&rows(&telegram, language.texts()), 10);
            assert!(!page.contains("hush") && !page.contains("ABCdef"), "{page}");
            assert!(page.contains("http://***@mirror.example") && page.contains("***@127.0.0.1:1080"));
            assert!(page.contains("123456...wxyz"), "{page}");
        }
    }
}
