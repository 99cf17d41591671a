//! The panel of all ports.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::iter;

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use pm_core::quota::Mode;
use pm_core::units::{Rate, escaped};
use pm_core::view::{Overview, PortView};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::Texts;

const RED: Style = AnsiColor::Red.on_default();

/// Column widths in terminal cells; the remark takes what is left.
const ID: usize = 5;
const PORT: usize = 13;
const MODE: usize = 10;
const USAGE: usize = 26;
const SPEED: usize = 15;
const LEFT_OF_REMARK: usize = 1 + ID + PORT + MODE + USAGE + SPEED;

/// The narrowest panel that is drawn, and the one for streams that have no width.
pub(crate) const NARROWEST: usize = 80;
/// The width of the script's panel.
pub(crate) const USUAL: usize = 89;

/// After this long without a run, something is wrong with the schedule.
const OVERDUE_SECONDS: i64 = 180;

/// Draws the panel. Colours are escape sequences that the stream may strip.
pub(crate) fn draw(overview: &Overview, now: Timestamp, width: usize, texts: &Texts) -> String {
    let width = width.max(NARROWEST);
    let (double, single) = ("=".repeat(width), "-".repeat(width));
    let mut page = format!(
        "{double}\n   {} (v{}) - {}\n{double}\n",
        texts.title,
        env!("CARGO_PKG_VERSION"),
        texts.refreshed
    );
    let head =
        [(texts.id, ID), (texts.port, PORT), (texts.mode, MODE), (texts.usage, USAGE), (texts.speed, SPEED)];
    let head: String = head.iter().map(|&(name, width)| cell(name, width)).collect();
    let _ = writeln!(page, " {head}{}\n{single}", texts.remark);
    for (number, view) in overview.ports.iter().enumerate() {
        push_row(&mut page, number + 1, view, width, texts);
    }
    if overview.ports.is_empty() {
        let _ = writeln!(page, " {}", texts.no_ports);
    }
    let _ = writeln!(page, "{double}\n {}", monitor(overview.monitor.last_run_ts, now, texts));
    page
}

fn push_row(page: &mut String, number: usize, view: &PortView, width: usize, texts: &Texts) {
    let used = fmt::from_fn(|f| {
        if view.blocked { write!(f, "{}", red(texts.blocked)) } else { write!(f, "{}", view.used_bytes) }
    });
    let quota = fmt::from_fn(|f| match view.quota_bytes {
        Some(quota) => f.write_str(&quota.exact()),
        None => f.write_str(texts.unlimited_quota),
    });
    let reset = fmt::from_fn(|f| match view.reset_day {
        0 => Ok(()),
        day => write!(f, " [R{day}]"),
    });
    let speed = fmt::from_fn(|f| match view.effective_limit {
        Some(rate) if view.punished => {
            write!(f, "{}", red(format_args!("{}{}", compact(rate), texts.punished)))
        }
        Some(rate) => write!(f, "{rate}"),
        None => f.write_str(texts.unlimited_speed),
    });
    let remark = match &view.group {
        Some(group) => &format!("{} [{} {group}]", view.comment, texts.group),
        None => &view.comment,
    };
    page.push(' ');
    push_cell(page, number, ID);
    push_cell(page, view.port, PORT);
    push_cell(page, mode(view.mode, texts), MODE);
    push_cell(page, format_args!("{used} / {quota}{reset}"), USAGE);
    push_cell(page, speed, SPEED);
    page.push_str(&fitted(remark.trim(), width - LEFT_OF_REMARK));
    page.truncate(page.trim_end().len());
    page.push('\n');
}

/// What counts, in the panel's words.
pub(crate) const fn mode(mode: Mode, texts: &Texts) -> &'static str {
    match mode {
        Mode::Both => texts.both,
        Mode::OutOnly => texts.out_only,
    }
}

/// `5Mbps`, as the script wrote it in front of `(惩罚中)`.
pub(crate) fn compact(rate: Rate) -> String {
    rate.to_string().replace(' ', "")
}

/// Whether the monitor did not run when it should have.
pub(crate) fn is_overdue(last_run: Option<i64>, now: Timestamp) -> bool {
    last_run.is_none_or(|last_run| now.as_second().saturating_sub(last_run) > OVERDUE_SECONDS)
}

/// When the monitor last ran, in red when it is overdue.
pub(crate) fn monitor(last_run: Option<i64>, now: Timestamp, texts: &Texts) -> String {
    let Some(last_run) = last_run else { return red(texts.monitor_never).to_string() };
    let ago = now.as_second().saturating_sub(last_run).max(0);
    let text = format!("{} {ago} {}", texts.monitor_ran, texts.seconds_ago);
    if ago > OVERDUE_SECONDS { red(text).to_string() } else { text }
}

fn red(text: impl fmt::Display) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{RED}{text}{RED:#}"))
}

/// The text with blanks up to `width` terminal cells, and always one blank behind it.
pub(crate) fn cell(text: &str, width: usize) -> String {
    let mut cell = String::new();
    push_cell(&mut cell, text, width);
    cell
}

fn push_cell(line: &mut String, text: impl fmt::Display, width: usize) {
    let start = line.len();
    let _ = write!(line, "{text}");
    let blanks = width.saturating_sub(cells(&line[start..])).max(1);
    line.extend(iter::repeat_n(' ', blanks));
}

/// How many terminal cells a text takes. Its colours take none.
fn cells(text: &str) -> usize {
    if text.contains('\u{1b}') { strip_str(text).map(UnicodeWidthStr::width).sum() } else { text.width() }
}

/// As much of a text as fits into `width` terminal cells, its control characters escaped.
pub(crate) fn fitted(text: &str, width: usize) -> Cow<'_, str> {
    let safe = escaped(text);
    if safe.width() <= width {
        return safe;
    }
    let mut fitting = String::new();
    let mut taken = 0;
    for character in safe.chars() {
        taken += character.width().unwrap_or(0);
        // One cell is left for the ellipsis.
        if taken >= width {
            break;
        }
        fitting.push(character);
    }
    Cow::Owned(fitting + "…")
}

#[cfg(test)]
mod tests {
    use pm_core::units::{Bytes, Percent};
    use pm_core::view::MonitorView;

    use super::*;
    use crate::text::Language;

    fn port(port: &str, comment: &str) -> PortView {
        PortView {
            port: port.parse().unwrap(),
            comment: comment.into(),
            mode: Mode::Both,
            quota_bytes: Some(Bytes(10 << 30)),
            used_bytes: Bytes(4_509_715_661),
            in_bytes: Bytes(0),
            out_bytes: Bytes(4_509_715_661),
            percent: Some(Percent::from_tenths(420)),
            blocked: false,
            limit: None,
            effective_limit: None,
            punished: false,
            punish_end_ts: 0,
            strikes: 0,
            reset_day: 0,
            next_reset_ts: None,
            group: None,
        }
    }

    fn overview() -> Overview {
        let snell =
            PortView { reset_day: 1, effective_limit: Some(Rate::mbps(100)), ..port("10086", "Snell") };
        let shadowsocks = PortView {
            mode: Mode::OutOnly,
            blocked: true,
            quota_bytes: Some(Bytes(5 << 30)),
            ..port("20000", "SS")
        };
        let vmess =
            PortView { effective_limit: Some(Rate::mbps(5)), punished: true, ..port("30000", "VMess") };
        let family = PortView {
            group: Some("家庭".into()),
            quota_bytes: None,
            ..port("40000-40100", "一个很长很长的备注 with 😀 emoji and \u{1b}[31mescapes")
        };
        Overview {
            ports: vec![snell, shadowsocks, vmess, family],
            monitor: MonitorView { last_run_ts: Some(1_700_000_000) },
        }
    }

    fn plain(width: usize, language: Language) -> String {
        let now = Timestamp::from_second(1_700_000_042).unwrap();
        strip_str(&draw(&overview(), now, width, language.texts())).to_string()
    }

    #[test]
    fn the_panel_looks_as_users_know_it() {
        insta::assert_snapshot!(plain(USUAL, Language::Zh));
        insta::assert_snapshot!(plain(NARROWEST, Language::En));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [80, 89, 100, 120, 200] {
            for line in plain(width, Language::Zh).lines() {
                assert!(line.width() <= width, "{width}: {} cells in {line}", line.width());
            }
        }
    }
}
