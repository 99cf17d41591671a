//! The plain log: one English sentence a line.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pm_core::backend::{Notifier, Refusal, Retry};
use pm_core::event::{Event, Message, Subject};
use pm_core::units::escaped;

/// Prints messages to a stream.
#[derive(Debug)]
pub struct Log<W>(Mutex<W>);

impl<W: Write> Log<W> {
    /// A log on this stream.
    pub const fn new(stream: W) -> Self {
        Self(Mutex::new(stream))
    }

    /// The stream.
    pub fn into_inner(self) -> W {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<W: Write + Send> Notifier for Log<W> {
    async fn send(&self, message: &Message) -> Result<(), Refusal> {
        let line = format!("{} {}\n", message.at, sentence(&message.event));
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = stream.write_all(line.as_bytes()).and_then(|()| stream.flush());
        written.map_err(|error| Refusal { retry: Retry::Later, source: Box::new(error) })
    }
}

/// An event in one line, fit for a terminal: whatever a remark holds.
pub fn sentence(event: &Event) -> String {
    let text = match event {
        Event::QuotaWarning { subject, level, used, limit, percent, mode } => format!(
            "warning: {} has used {used} of {} ({percent}, {mode}), past {level} %",
            name(subject),
            limit.exact()
        ),
        Event::Blocked { subject, reset_day: Some(day) } => {
            format!("blocked: {} has used up its quota; it is reset on day {day} of the month", name(subject))
        }
        Event::Blocked { subject, reset_day: None } => {
            format!("blocked: {} has used up its quota; it is reset by hand only", name(subject))
        }
        Event::Punished { subject, rate, trigger, penalty, minutes } => format!(
            "punished: {} averaged {} (trigger {trigger}) and is slowed down to {penalty} for {minutes} min",
            name(subject),
            rate.measured()
        ),
        Event::Recovered { subject } => format!("recovered: {} has its own speed back", name(subject)),
        Event::QuotaReset { subject, limit: Some(limit) } => {
            format!("reset: {} starts a new cycle with {}", name(subject), limit.exact())
        }
        Event::QuotaReset { subject, limit: None } => format!("reset: {} starts a new cycle", name(subject)),
        Event::Report { lines } => {
            let lines: Vec<String> = lines
                .iter()
                .map(|line| match (line.limit, line.percent) {
                    (Some(limit), Some(percent)) => {
                        format!("{} {} of {} ({percent})", line.port, line.used, limit.exact())
                    }
                    _ => format!("{} {}", line.port, line.used),
                })
                .collect();
            format!("report: {}", lines.join(", "))
        }
        Event::Test => "test: messages arrive".to_string(),
    };
    escaped(&text).into_owned()
}

fn name(subject: &Subject) -> String {
    let ports: Vec<String> = subject.ports.iter().map(ToString::to_string).collect();
    let who = match &subject.group {
        Some(group) => format!("group {group} ({})", ports.join(", ")),
        None => format!("port {}", ports.join(", ")),
    };
    if subject.comment.is_empty() { who } else { format!("{who} ({})", subject.comment) }
}

#[cfg(test)]
mod tests {
    use pm_core::event::ReportLine;
    use pm_core::quota::Mode;
    use pm_core::units::{Bytes, Percent, Rate};

    use super::*;

    fn subject() -> Subject {
        Subject { ports: vec!["10086".parse().unwrap()], comment: "Snell\u{1b}[2J\n".into(), group: None }
    }

    #[test]
    fn every_event_is_one_line_whatever_the_remark_holds() {
        let events = [
            Event::QuotaWarning {
                subject: subject(),
                level: 80,
                used: Bytes(8_697_308_775),
                limit: Bytes(10 << 30),
                percent: Percent::from_tenths(810),
                mode: Mode::Both,
            },
            Event::Blocked { subject: subject(), reset_day: Some(1) },
            Event::Blocked { subject: subject(), reset_day: None },
            Event::Punished {
                subject: subject(),
                rate: Rate::bits_per_second(120_500_000),
                trigger: Rate::mbps(100),
                penalty: Rate::mbps(5),
                minutes: 60,
            },
            Event::Recovered { subject: subject() },
            Event::QuotaReset { subject: subject(), limit: Some(Bytes(10 << 30)) },
            Event::Report {
                lines: vec![ReportLine {
                    port: "10086".parse().unwrap(),
                    comment: String::new(),
                    used: Bytes(1 << 30),
                    limit: None,
                    percent: None,
                    blocked: false,
                    speed: None,
                    punished: false,
                }],
            },
            Event::Test,
        ];
        let text: Vec<String> = events.iter().map(sentence).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        warning: port 10086 (Snell\u{1b}[2J\n) has used 8.1 GB of 10 GB (81.0%, both), past 80 %
        blocked: port 10086 (Snell\u{1b}[2J\n) has used up its quota; it is reset on day 1 of the month
        blocked: port 10086 (Snell\u{1b}[2J\n) has used up its quota; it is reset by hand only
        punished: port 10086 (Snell\u{1b}[2J\n) averaged 120.50 Mbps (trigger 100 Mbps) and is slowed down to 5 Mbps for 60 min
        recovered: port 10086 (Snell\u{1b}[2J\n) has its own speed back
        reset: port 10086 (Snell\u{1b}[2J\n) starts a new cycle with 10 GB
        report: 10086 1 GB
        test: messages arrive
        ");
    }

    #[tokio::test]
    async fn a_message_is_printed_with_its_moment() {
        let log = Log::new(Vec::new());
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        log.send(&Message { id: 0, at, event: Event::Test }).await.unwrap();
        assert_eq!(
            String::from_utf8(log.into_inner()).unwrap(),
            "2023-11-14T22:13:20Z test: messages arrive\n"
        );
    }
}
