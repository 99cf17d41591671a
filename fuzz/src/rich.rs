//! Messages: whatever somebody called a port, a group or a machine is what a person reads, in pieces that a service takes.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pm_core::config::Language;
use pm_core::event::{Event, Message, ReportLine, Subject};
use pm_core::port::PortRange;
use pm_core::quota::Mode;
use pm_core::units::{Bytes, Percent, Rate};
use pm_notify::Voice;
use pm_notify::channel::{Content, Parcel};
use pm_notify::rich::{Limit, Rich, Unit};
use pm_notify::telegram::LIMIT;

use crate::dice::Dice;

/// As Telegram and the others count, only that a tenth of a text is too long already: each part of a long one is made
/// anew, and what is found in a long time should be found in a short one.
const LIMITS: [Limit; 2] =
    [Limit { most: 400, ..LIMIT }, Limit { unit: Unit::Bytes, most: 300, styled: usize::MAX }];
/// Longer names are only more of the same.
const LONGEST: usize = 600;

/// Renders every message with these names: the remark, the group and the machine, separated by a NUL.
pub fn rich(input: &[u8]) {
    let text: String = String::from_utf8_lossy(input).chars().take(LONGEST).collect();
    let mut names = text.splitn(3, '\0').map(str::to_owned);
    let mut name = || names.next().unwrap_or_default();
    let (comment, group, host) = (name(), name(), name());
    let mut dice = Dice::of(input);
    let subject = subject(&comment, &group, &mut dice);
    // An input is read in one language by one service, as its bytes will have it: there are many inputs.
    let language = [Language::Zh, Language::En][usize::from(dice.below(2) == 0)];
    let limit = LIMITS[usize::from(dice.below(2) == 0)];
    let voice = Voice { host: host.clone(), zone: TimeZone::UTC, language };
    let messages = messages(&subject, &mut dice);
    for message in &messages {
        let texts = voice.texts(message, limit);
        for text in &texts {
            is_sound(text, limit);
        }
        let read = seen(&texts.iter().map(Rich::plain).collect::<String>());
        let names_somebody = !matches!(message.event, Event::Test | Event::Report { .. });
        if names_somebody {
            assert!(read.contains(&seen(&comment)), "the remark is not what is read");
            assert!(read.contains(&seen(&host)), "the machine is not what is read");
        }
    }
    is_sent(&messages, &voice, limit);
}

/// What is seen of a text: no blanks, and no control characters, which become blanks.
fn seen(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && !character.is_control()).collect()
}

/// A service takes it, and reads in the HTML what the text says.
fn is_sound(text: &Rich, limit: Limit) {
    let plain = text.plain();
    let size = match limit.unit {
        Unit::Utf16 => plain.encode_utf16().count(),
        Unit::Bytes => plain.len(),
    };
    assert!(size <= limit.most && text.fits(limit) && !text.is_blank());
    assert!(!plain.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')));
    assert_eq!(text_of(&text.html()), plain);
}

/// What a browser would show. Nothing but bold and code is a tag, and each that is opened is closed.
fn text_of(html: &str) -> String {
    let (mut text, mut rest, mut open) = (String::new(), html, None);
    while let Some(place) = rest.find(['<', '>', '&']) {
        text.push_str(&rest[..place]);
        rest = &rest[place..];
        let end = rest.find(['>', ';']).unwrap_or_else(|| panic!("an end is missing: {html}"));
        match (&rest[..=end], open.take()) {
            ("&amp;", tag) => (text, open) = (text + "&", tag),
            ("&lt;", tag) => (text, open) = (text + "<", tag),
            ("&gt;", tag) => (text, open) = (text + ">", tag),
            (tag @ ("<b>" | "<code>"), None) => open = Some(tag.replace('<', "</")),
            (tag, Some(expected)) if tag == expected => {}
            (other, _) => panic!("{other} in {html}"),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_none(), "a tag is not closed: {html}");
    text + rest
}

/// Every message is sent, in an end of time.
fn is_sent(messages: &[Message], voice: &Voice, limit: Limit) {
    let (mut next, mut parts) = (0, 0);
    for _ in 0..1_000 {
        let waiting = messages.iter().position(|message| message.id >= next);
        let waiting = &messages[waiting.unwrap_or(messages.len())..];
        let Some(parcel) = Parcel::text(waiting, parts, voice, limit) else { return };
        if let Content::Text(text) = &parcel.content {
            assert!(text.fits(limit));
        }
        assert!((parcel.next, parcel.parts) > (next, parts) && parcel.beyond > waiting[0].id);
        (next, parts) = (parcel.next, parcel.parts);
    }
    panic!("the queue never ends");
}

fn subject(comment: &str, group: &str, dice: &mut Dice) -> Subject {
    let count = dice.below(40) + 1;
    Subject {
        ports: (0..count).filter_map(|number| (1_000 + number).to_string().parse().ok()).collect(),
        comment: comment.to_owned(),
        group: (!group.is_empty()).then(|| group.to_owned()),
    }
}

fn messages(subject: &Subject, dice: &mut Dice) -> Vec<Message> {
    let (used, limit) = (Bytes(dice.figure()), Bytes(dice.figure()));
    let (percent, rate) = (Percent::of(used, limit), Rate::bits_per_second(dice.figure()));
    let line = |port: &PortRange| ReportLine {
        port: *port,
        comment: subject.comment.clone(),
        used,
        limit: Some(limit),
        percent: Some(percent),
        blocked: percent.reaches(100),
        speed: Some(rate),
        punished: percent.reaches(50),
    };
    let subject = || subject.clone();
    // Enough for several texts of long remarks.
    let lines = subject().ports.iter().take(6).map(line).collect();
    let events = [
        Event::QuotaWarning { subject: subject(), level: 80, used, limit, percent, mode: Mode::Both },
        Event::Blocked { subject: subject(), reset_day: Some(31) },
        Event::Punished { subject: subject(), rate, trigger: rate, penalty: rate, minutes: u32::MAX },
        Event::Recovered { subject: subject() },
        Event::QuotaReset { subject: subject(), limit: None },
        Event::QuotaReset { subject: subject(), limit: Some(limit) },
        Event::Report { lines },
        Event::Test,
    ];
    let message = |(id, event)| Message { id, at: Timestamp::UNIX_EPOCH, event };
    (3_u64..).zip(events).map(message).collect()
}
