//! The rate penalty of a port: on with its four figures, or off.

use std::fmt::Write as _;
use std::io::Write;

use pm_core::config::PortConfig;
use pm_core::dynqos::DynQosPolicy;
use pm_core::edit::Edit;
use pm_core::port::PortRange;
use pm_core::units::Rate;

use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::menu::{Change, Menu};
use crate::text::{Texts, fill};

/// What an edit allows.
const MOST_MINUTES: u32 = 1_440;
const LONGEST: u32 = 525_600;

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn change_penalty(&mut self, port: PortRange, config: &PortConfig) -> Result<(), Leave> {
        let texts = self.texts();
        let mut items = format!("{}\n", texts.dynqos);
        for (number, item) in ["1", "2", "0"].iter().zip(texts.menu.penalty_items) {
            let _ = writeln!(items, " {number}. {item}");
        }
        self.screen.write(&items)?;
        let choice = self.ask(texts.menu.choose, |answer| match answer {
            "1" => Ok(Some(true)),
            "2" => Ok(Some(false)),
            "0" | "" => Ok(None),
            _ => Err(items.trim_end().to_owned()),
        })?;
        match choice {
            None => self.say(texts.cancelled),
            Some(false) => self.edit_and_say(&Edit::DynQos(port, None), texts.saved),
            Some(true) => {
                let policy = self.ask_policy(config.dynqos.policy)?;
                match self.edit(&Edit::DynQos(port, Some(policy)))? {
                    Change::Done => self.say(texts.saved),
                    Change::Refused(why) => self.say(&why),
                }
            }
        }
    }

    fn ask_policy(&mut self, present: Option<DynQosPolicy>) -> Result<DynQosPolicy, Leave> {
        Ok(DynQosPolicy {
            trigger: self.ask_speed(0, present.map(|policy| policy.trigger))?,
            minutes: self.ask_minutes(1, present.map(|policy| policy.minutes), MOST_MINUTES)?,
            penalty: self.ask_speed(2, present.map(|policy| policy.penalty))?,
            duration: self.ask_minutes(3, present.map(|policy| policy.duration), LONGEST)?,
        })
    }

    fn ask_speed(&mut self, step: usize, present: Option<Rate>) -> Result<Rate, Leave> {
        let texts = self.texts();
        let present = present.filter(|&rate| rate > Rate::default());
        let prompt = prompt(step, present.map(|rate| rate.to_string()), texts);
        self.ask(&prompt, |answer| {
            let given = if answer.is_empty() { present } else { Rate::parse_limit(answer).ok().flatten() };
            given.ok_or_else(|| texts.menu.wrong_speed.to_owned())
        })
    }

    fn ask_minutes(&mut self, step: usize, present: Option<u32>, most: u32) -> Result<u32, Leave> {
        let texts = self.texts();
        let present = present.filter(|minutes| (1..=most).contains(minutes));
        let prompt = prompt(step, present.map(|minutes| minutes.to_string()), texts);
        self.ask(&prompt, |answer| {
            let plain = answer.bytes().all(|byte| byte.is_ascii_digit());
            let typed = answer.parse().ok().filter(|minutes| plain && (1..=most).contains(minutes));
            let given = if answer.is_empty() { present } else { typed };
            given.ok_or_else(|| fill(texts.menu.wrong_minutes, &[&most.to_string()]))
        })
    }
}

/// The prompt of a step with the present value, or with the script's example where there is none.
fn prompt(step: usize, present: Option<String>, texts: &Texts) -> String {
    let example = match present {
        Some(present) => fill(texts.menu.present, &[&present]),
        None => texts.menu.penalty_examples[step].to_owned(),
    };
    fill(texts.menu.penalty_prompts[step], &[&example])
}
