//! `pm doctor`: a page of findings, each with its remedy, and the repair of what can be repaired.

use std::fmt::Write as _;

use pm_core::units::escaped;
use pm_monitor::run;
use pm_setup::doctor::{Facts, Finding, Verdict, examine};
use serde_json::json;

use super::{Session, print, print_data};
use crate::panel::cell;
use crate::text::{DoctorTexts, fill};

impl Session<'_> {
    pub(super) fn doctor(&self, fix: bool) -> anyhow::Result<bool> {
        let texts = &self.texts.doctor;
        let mut findings = self.findings();
        if fix && findings.iter().any(|finding| finding.verdict > Verdict::Good) {
            if !self.common.json {
                self.note(texts.repairing);
            }
            match self.repair() {
                // What cannot be repaired is on the page, too.
                Err(error) => run::say(&run::whole(error.as_ref())),
                Ok(()) if !self.common.json => self.note(texts.repaired),
                Ok(()) => {}
            }
            findings = self.findings();
        }
        if self.common.json {
            print_data(&data(&findings, texts))?;
        } else {
            print(&page(&findings, texts))?;
        }
        Ok(findings.iter().all(|finding| finding.verdict < Verdict::Bad))
    }

    fn findings(&self) -> Vec<Finding> {
        let site = self.site();
        examine(&self.runtime.block_on(Facts::gather(&site, &self.machine, &self.now)))
    }
}

fn page(findings: &[Finding], texts: &DoctorTexts) -> String {
    let mut page = format!("{}\n", texts.title);
    for finding in findings {
        let (colour, mark) = match finding.verdict {
            Verdict::Good => ("\u{1b}[32m", "✓"),
            Verdict::Warning => ("\u{1b}[33m", "!"),
            Verdict::Bad => ("\u{1b}[31m", "✗"),
        };
        let [sentence, remedy] = told(finding, texts);
        let _ =
            writeln!(page, " {colour}{mark}\u{1b}[0m {}{sentence}", cell((texts.check)(finding.check), 12));
        if !remedy.is_empty() {
            let _ = writeln!(page, "   {}{} {remedy}", cell("", 12), texts.fix);
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (count(Verdict::Bad), count(Verdict::Warning)) {
        (0, 0) => page + texts.all_good + "\n",
        (bad, warnings) => page + &fill(texts.found, &[&bad.to_string(), &warnings.to_string()]) + "\n",
    }
}

fn data(findings: &[Finding], texts: &DoctorTexts) -> String {
    let checks: Vec<_> = findings
        .iter()
        .map(|finding| {
            let verdict = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Warning => "warning",
                Verdict::Bad => "bad",
            };
            let [sentence, remedy] = told(finding, texts);
            json!({
                "check": snake(&format!("{:?}", finding.check)),
                "verdict": verdict,
                "case": snake(&format!("{:?}", finding.case)),
                "text": sentence,
                "fix": Some(remedy).filter(|remedy| !remedy.is_empty()),
            })
        })
        .collect();
    json!({ "checks": checks }).to_string()
}

/// A name as data has it: `LastRun` is `last_run`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// The sentence and the remedy, with the values in them.
fn told(finding: &Finding, texts: &DoctorTexts) -> [String; 2] {
    let values: Vec<_> = finding.values.iter().map(|value| escaped(value)).collect();
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    let [sentence, remedy] = (texts.case)(finding.case);
    let used = sentence.matches("{}").count().min(values.len());
    [fill(sentence, &values), fill(remedy, &values[used..])]
}

#[cfg(test)]
mod tests {
    use pm_setup::doctor::{Case, Check};

    use super::*;
    use crate::text::Language;

    fn finding(check: Check, verdict: Verdict, case: Case, values: &[&str]) -> Finding {
        Finding { check, verdict, case, values: values.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn the_page_says_what_was_found_and_what_to_do() {
        let findings = [
            finding(Check::Rights, Verdict::Good, Case::MayChange, &[]),
            finding(Check::Nft, Verdict::Warning, Case::ToolOld, &["0.9.3", "0.9.8"]),
            finding(Check::Schedule, Verdict::Bad, Case::CronStopped, &["service cron start"]),
            finding(
                Check::Messages,
                Verdict::Warning,
                Case::MessagesFail,
                &["3", "telegram", "no\u{1b}[2J way"],
            ),
            finding(Check::Outgoing, Verdict::Warning, Case::Outgoing, &["40000", "40000"]),
        ];
        for language in [Language::Zh, Language::En] {
            let texts = &language.texts().doctor;
            insta::assert_snapshot!(format!("doctor_{language:?}"), page(&findings, texts));
            assert!(page(&findings[..1], texts).ends_with(&format!("{}\n", texts.all_good)));
        }
        let data: serde_json::Value =
            serde_json::from_str(&data(&findings, &Language::En.texts().doctor)).unwrap();
        assert_eq!(data["checks"][0]["fix"], serde_json::Value::Null);
        assert_eq!(data["checks"][2]["fix"], "service cron start");
        assert_eq!(data["checks"][2]["verdict"], "bad");
        assert_eq!(data["checks"][2]["case"], "cron_stopped");
    }
}
