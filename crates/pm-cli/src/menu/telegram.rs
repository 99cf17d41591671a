//! Item 4: what Telegram is told, and how.

use std::fmt::Write as _;
use std::io::Write;

use pm_core::channel::TELEGRAM;
use pm_core::config::{Secret, Telegram};
use pm_core::edit::Edit;
use pm_core::edit::telegram::{MOST_HOURS, TelegramSettings, thresholds};
use pm_core::event::Event;
use pm_core::progress::LastError;
use pm_monitor::delivery::Audience;

use crate::explain;
use crate::menu::input::Input;
use crate::menu::prompt::{Leave, with_present};
use crate::menu::{Change, Menu, REFRESH};
use crate::telegram::{explained, levels, lines, rows, without_password};
use crate::text::{Texts, fill};

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn telegram(&mut self) -> Result<(), Leave> {
        let texts = self.texts();
        loop {
            let choice = self.watch(REFRESH, texts.menu.choose, |menu| {
                let view = menu.view_now()?;
                let progress = view.snapshot.state.outbox.progress.get(TELEGRAM);
                let last_error = progress.and_then(|progress| progress.last_error.as_ref());
                Ok(telegram_page(&view.snapshot.config.telegram, last_error, texts))
            })?;
            let telegram = self.view_now()?.snapshot.config.telegram;
            match choice.as_str() {
                "0" | "b" | "B" => return Ok(()),
                "1" => self.change_token(&telegram)?,
                "2" => self.change_chat(&telegram)?,
                "3" => self.test_message(&telegram)?,
                "4" => self.switch(&telegram)?,
                "5" => self.change_thresholds(&telegram)?,
                "6" => self.change_url(&telegram)?,
                "7" => self.change_report(&telegram)?,
                _ => {}
            }
        }
    }

    fn change_token(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        let prompt = optional(texts.ask_token, &telegram.bot_token.masked());
        self.keep(
            |menu| menu.ask_secret(&prompt, |answer| Ok(given(answer))),
            |token| TelegramSettings { bot_token: Some(Secret::new(token)), ..TelegramSettings::default() },
            texts.wrong_token,
        )
    }

    fn change_chat(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        let prompt = optional(texts.ask_chat, &telegram.chat());
        self.keep(
            |menu| menu.ask(&prompt, |answer| Ok(given(answer))),
            |chat| TelegramSettings { chat_id: Some(chat), ..TelegramSettings::default() },
            texts.wrong_chat,
        )
    }

    /// Sent at once, whatever the switch says. What went wrong is told in Telegram's own words.
    fn test_message(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = self.texts();
        let words = &texts.menu.telegram;
        if !telegram.is_complete() {
            return self.say(words.incomplete);
        }
        self.screen.line(words.sending)?;
        let now = (self.around.clock)();
        let telling = self.around.machine.tell_now(Event::Test, Audience::Telegram, &now);
        match self.around.runtime.block_on(telling) {
            Ok(told) => match told.into_iter().find_map(|(_, result)| result.err()) {
                None => self.say(words.sent),
                Some(error) => self.say(&fill(words.not_sent, &[&explained(&error, &texts.telegram)])),
            },
            Err(error) => self.say(&fill(words.not_sent, &[&explain::machine(&error, texts)])),
        }
    }

    fn switch(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        if !telegram.enable && !telegram.is_complete() {
            return self.say(texts.incomplete);
        }
        let settings = TelegramSettings { enable: Some(!telegram.enable), ..TelegramSettings::default() };
        let done = if telegram.enable { texts.switched_off } else { texts.switched_on };
        self.edit_and_say(&Edit::Telegram(settings), done)
    }

    fn change_thresholds(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        let prompt = with_present(texts.ask_thresholds, &levels(telegram));
        let read = |answer: &str| match answer {
            "" => Ok(None),
            answer => thresholds(answer).map(Some).map_err(|_| texts.wrong_thresholds.to_owned()),
        };
        self.keep(
            |menu| menu.ask(&prompt, read),
            |thresholds| TelegramSettings { thresholds: Some(thresholds), ..TelegramSettings::default() },
            texts.wrong_thresholds,
        )
    }

    /// Here, as in the script, a blank answer restores the default.
    fn change_url(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        let prompt = with_present(texts.ask_url, &without_password(&telegram.api_url));
        self.keep(
            |menu| menu.ask(&prompt, |answer| Ok(Some(answer.to_owned()))),
            |url| TelegramSettings { api_url: Some(url), ..TelegramSettings::default() },
            texts.wrong_url,
        )
    }

    fn change_report(&mut self, telegram: &Telegram) -> Result<(), Leave> {
        let texts = &self.texts().menu.telegram;
        let prompt = with_present(texts.ask_hours, &telegram.report_interval_hours.to_string());
        let read = |answer: &str| {
            let plain = answer.bytes().all(|byte| byte.is_ascii_digit());
            match answer.parse().ok().filter(|hours| plain && *hours <= MOST_HOURS) {
                None if answer.is_empty() => Ok(None),
                hours => hours.map(Some).ok_or_else(|| texts.wrong_hours.to_owned()),
            }
        };
        self.keep(
            |menu| menu.ask(&prompt, read),
            |hours| TelegramSettings { report_interval_hours: Some(hours), ..TelegramSettings::default() },
            texts.wrong_hours,
        )
    }

    /// Asks for a setting until it is kept. What is refused is explained in this question's own words.
    fn keep<T>(
        &mut self,
        ask: impl Fn(&mut Self) -> Result<Option<T>, Leave>,
        settings: impl Fn(T) -> TelegramSettings,
        wrong: &str,
    ) -> Result<(), Leave> {
        while let Some(value) = ask(self)? {
            match self.edit(&Edit::Telegram(settings(value)))? {
                Change::Done => return self.say(self.texts().saved),
                Change::Refused(_) => self.explain(wrong)?,
            }
        }
        Ok(())
    }
}

fn given(answer: &str) -> Option<String> {
    (!answer.is_empty()).then(|| answer.to_owned())
}

/// The prompt with the present value, if there is one.
fn optional(prompt: &str, present: &str) -> String {
    if present.is_empty() { prompt.to_owned() } else { with_present(prompt, present) }
}

fn telegram_page(telegram: &Telegram, last_error: Option<&LastError>, texts: &Texts) -> String {
    /// The width of the script's page.
    const WIDTH: usize = 40;
    let words = &texts.menu.telegram;
    let mut rows = rows(telegram, texts);
    rows.extend(last_error.map(|error| (texts.telegram.last_error, error.text.clone())));
    let rule = "=".repeat(WIDTH);
    let mut page = format!("{rule}\n   {}\n{rule}\n{}", words.title, lines(&rows, words.rows_width));
    let _ = writeln!(page, "{rule}");
    for (number, item) in words.items.iter().enumerate() {
        let _ = writeln!(page, " {}. {item}", number + 1);
    }
    let _ = writeln!(page, " 0. {}\n{rule}", texts.menu.back);
    page
}
