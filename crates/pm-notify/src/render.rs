//! From what happened to what a person reads. Pure: who speaks, in which language and time zone, is an argument.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pm_core::config::Language;
use pm_core::event::{Event, Message, ReportLine, Subject};
use pm_core::quota::Mode;
use pm_core::units::{Bytes, Rate};

use crate::rich::{Limit, Rich, packed};
use crate::templates::Templates;

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Voice {
    /// The machine's name, or a public address of it.
    pub host: String,
    /// Its time zone.
    pub zone: TimeZone,
    /// In which language.
    pub language: Language,
}

impl Voice {
    /// A message as texts that fit: one, unless it is too long.
    pub fn texts(&self, message: &Message, limit: Limit) -> Vec<Rich> {
        let Event::Report { lines } = &message.event else {
            return packed(&Rich::default(), &[self.single(&message.event)], limit);
        };
        let head = [("host", self.host.as_str()), ("time", &self.time(message.at))];
        let head = Rich::filled(self.templates().report, &head);
        let mut entries: Vec<Rich> = lines.iter().map(|line| self.report_entry(line)).collect();
        if entries.is_empty() {
            entries.push(Rich::filled(self.templates().report_empty, &[]));
        }
        packed(&head, &entries, limit)
    }

    /// As many of these messages as fit into one text, a line each; how many they are.
    pub fn digest(&self, messages: &[Message], limit: Limit) -> (Rich, usize) {
        let (mut best, mut count) = (Rich::default(), 0);
        let mut lines = Rich::default();
        for (number, message) in messages.iter().enumerate() {
            lines.follow("\n", &self.digest_line(&message.event));
            let text = self.digest_head(&messages[..=number]).joined("\n\n", &lines);
            if !text.fits(limit) {
                break;
            }
            (best, count) = (text, number + 1);
        }
        (best, count)
    }

    const fn templates(&self) -> &'static Templates {
        Templates::of(self.language)
    }

    /// Minutes are as fine as anybody wants to know it.
    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    fn single(&self, event: &Event) -> Rich {
        let words = self.templates();
        match event {
            Event::QuotaWarning { subject, level, .. } => {
                let own = [("level", level.to_string())];
                Rich::filled(words.warning, &borrowed(&[&self.about(subject), &self.figures(event), &own]))
            }
            Event::Blocked { subject, reset_day } => {
                let monthly = |day: &u8| words.monthly.replace("{}", &day.to_string());
                let own = [("policy", reset_day.as_ref().map_or_else(|| words.by_hand.into(), monthly))];
                Rich::filled(words.blocked, &borrowed(&[&self.about(subject), &own]))
            }
            Event::Punished { subject, .. } => {
                Rich::filled(words.punished, &borrowed(&[&self.about(subject), &self.figures(event)]))
            }
            Event::Recovered { subject } => Rich::filled(words.recovered, &borrowed(&[&self.about(subject)])),
            Event::QuotaReset { subject, .. } => {
                Rich::filled(words.reset, &borrowed(&[&self.about(subject), &self.figures(event)]))
            }
            Event::Report { .. } | Event::Test => Rich::filled(words.test, &[("host", &self.host)]),
        }
    }

    /// Whose event it is: the label of section 7.2, and the ports.
    fn about(&self, subject: &Subject) -> [(&'static str, String); 3] {
        let label = if subject.comment.is_empty() {
            self.host.clone()
        } else {
            format!("{} ({})", self.host, subject.comment)
        };
        let group = match &subject.group {
            Some(group) if subject.ports.len() > 1 => self.templates().group.replace("{}", group),
            _ => String::new(),
        };
        [("label", label), ("ports", self.ports(subject)), ("group", group)]
    }

    fn ports(&self, subject: &Subject) -> String {
        /// More would push everything else off the screen.
        const MOST: usize = 20;
        let names: Vec<String> = subject.ports.iter().take(MOST).map(ToString::to_string).collect();
        let mut ports = names.join(", ");
        if subject.ports.len() > MOST {
            ports += &self.templates().more_ports.replace("{}", &subject.ports.len().to_string());
        }
        ports
    }

    /// The figures of an event, by their names in the templates.
    fn figures(&self, event: &Event) -> Vec<(&'static str, String)> {
        let words = self.templates();
        match event {
            Event::QuotaWarning { level, used, limit, percent, mode, .. } => vec![
                ("icon", if *level < 100 { "⚠️" } else { "🔴" }.into()),
                ("used", tight(&used.to_string())),
                ("limit", tight(&limit.exact())),
                ("percent", percent.to_string()),
                (
                    "mode",
                    match mode {
                        Mode::Both => words.both.into(),
                        Mode::OutOnly => words.out_only.into(),
                    },
                ),
            ],
            Event::Punished { rate, trigger, penalty, minutes, .. } => vec![
                ("rate", rate.measured()),
                ("trigger", trigger.to_string()),
                ("penalty", penalty.to_string()),
                ("minutes", minutes.to_string()),
            ],
            Event::QuotaReset { limit, .. } => {
                vec![("limit", limit.map_or_else(|| words.unlimited.into(), Bytes::exact))]
            }
            Event::Blocked { .. } | Event::Recovered { .. } | Event::Report { .. } | Event::Test => {
                Vec::new()
            }
        }
    }

    fn report_entry(&self, line: &ReportLine) -> Rich {
        let words = self.templates();
        let icon = match line.percent {
            _ if line.blocked => "🚫",
            _ if line.punished => "⚡",
            Some(percent) if percent.reaches(80) => "⚠️",
            _ => "✅",
        };
        let used = tight(&line.used.to_string());
        let usage = match (line.limit, line.percent) {
            (Some(limit), Some(percent)) => format!("{used} / {} ({percent})", tight(&limit.exact())),
            _ => format!("{used} / {}", words.unlimited),
        };
        let mark = if line.punished { "⚡" } else { "🔒" };
        let speed = line.speed.map_or_else(String::new, |rate| format!(" {mark}{}", megabits(rate)));
        let values = [
            ("icon", icon),
            ("ports", &line.port.to_string()),
            ("comment", &spaced(&line.comment)),
            ("usage", &usage),
            ("speed", &speed),
        ];
        Rich::filled(words.report_entry, &values)
    }

    fn digest_head(&self, messages: &[Message]) -> Rich {
        let times = messages.first().zip(messages.last());
        let time = times.map_or_else(String::new, |(first, last)| {
            let (first, last) = (self.time(first.at), self.time(last.at));
            if first == last { first } else { format!("{first} - {last}") }
        });
        let count = messages.len().to_string();
        Rich::filled(self.templates().digest, &[("count", &count), ("host", &self.host), ("time", &time)])
    }

    fn digest_line(&self, event: &Event) -> Rich {
        let words = self.templates();
        let (template, subject) = match event {
            Event::QuotaWarning { subject, .. } => (words.digest_warning, subject),
            Event::Blocked { subject, .. } => (words.digest_blocked, subject),
            Event::Punished { subject, .. } => (words.digest_punished, subject),
            Event::Recovered { subject } => (words.digest_recovered, subject),
            Event::QuotaReset { subject, .. } => (words.digest_reset, subject),
            Event::Report { .. } | Event::Test => return Rich::filled(words.digest_other, &[]),
        };
        let own = [("ports", self.ports(subject)), ("comment", spaced(&subject.comment))];
        Rich::filled(template, &borrowed(&[&own, &self.figures(event)]))
    }
}

fn borrowed<'a>(values: &[&'a [(&'static str, String)]]) -> Vec<(&'static str, &'a str)> {
    values.iter().flat_map(|values| values.iter()).map(|(name, value)| (*name, value.as_str())).collect()
}

/// ` Snell`, or nothing.
fn spaced(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(" {comment}") }
}

/// `8.1GB`, as the templates write it.
fn tight(size: &str) -> String {
    size.replace(' ', "")
}

/// `100M`, as the report writes it.
fn megabits(rate: Rate) -> String {
    rate.to_string().replace(" Mbps", "M")
}

#[cfg(test)]
mod tests;
