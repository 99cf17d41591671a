//! `pm telegram` and `pm report`: who is told, and telling it now.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use pm_core::config::{Secret, Telegram};
use pm_core::edit::Edit;
use pm_core::edit::telegram::{TelegramError, TelegramSettings};
use pm_core::event::{Event, Message};
use pm_core::progress::Progress;
use pm_core::tick::report_lines;
use pm_kernel::file;
use pm_monitor::delivery::{self, Audience, Told};
use pm_monitor::{identity, run};
use serde_json::{Value, json};

use super::{Session, print, print_data, usage};
use crate::arguments::{Switch, TelegramCommand, TelegramSet};
use crate::menu::input::{Input, Typed};
use crate::menu::keyboard::Keyboard;
use crate::telegram::{explained, lines, rows, without_password};
use crate::text::{Language, fill};

/// Far more than any token, and no accident with a wrong file.
const LONGEST_TOKEN: u64 = 4096;

impl Session<'_> {
    pub(super) fn telegram(&self, command: &TelegramCommand) -> anyhow::Result<bool> {
        let done = self.texts.saved;
        match command {
            TelegramCommand::Show => self.show_telegram(),
            TelegramCommand::Set(set) => {
                let settings = self.settings_of(set)?;
                self.change_telegram(settings, done)
            }
            TelegramCommand::On => self.switch_telegram(Switch::On),
            TelegramCommand::Off => self.switch_telegram(Switch::Off),
            TelegramCommand::Test => self.test_telegram(),
            TelegramCommand::Thresholds { levels } => self.change_telegram(
                TelegramSettings { thresholds: Some(levels.clone()), ..TelegramSettings::default() },
                done,
            ),
            TelegramCommand::Report { hours } => self.change_telegram(
                TelegramSettings { report_interval_hours: Some(*hours), ..TelegramSettings::default() },
                done,
            ),
        }
    }

    /// The report of this moment, printed; or also sent.
    pub(super) fn print_report(&self, send: bool) -> anyhow::Result<bool> {
        let view = self.view()?;
        let lines = report_lines(&view.snapshot.config, &view.snapshot.state);
        let message = Message { id: 0, at: self.now.timestamp(), event: Event::Report { lines } };
        if self.common.json {
            let mut report = serde_json::to_value(&view.overview)?;
            report["at"] = message.at.to_string().into();
            report["host"] = identity::name().into();
            print_data(&report.to_string())?;
        } else if !(send && self.common.quiet) {
            let text = delivery::text(&message, self.common.lang.spoken(), &self.now);
            print(&(text + "\n"))?;
        }
        if !send {
            return Ok(true);
        }
        let told = self.tell(message.event, Audience::Everybody)?;
        for (name, result) in &told {
            match result {
                Ok(()) => self.note(&fill(self.texts.telegram.sent_to, &[name])),
                Err(error) => run::say(&format!("{name}: {}", explained(error, &self.texts.telegram))),
            }
        }
        Ok(told.iter().all(|(_, result)| result.is_ok()))
    }

    fn show_telegram(&self) -> anyhow::Result<bool> {
        let view = self.view()?;
        let telegram = &view.snapshot.config.telegram;
        let outbox = &view.snapshot.state.outbox;
        let progress = outbox.progress.get(pm_core::channel::TELEGRAM);
        let waiting = outbox.messages.len();
        if self.common.json {
            print_data(&as_json(telegram, progress, waiting).to_string())?;
            return Ok(true);
        }
        print(&self.telegram_page(telegram, progress, waiting))?;
        Ok(true)
    }

    fn telegram_page(&self, telegram: &Telegram, progress: Option<&Progress>, waiting: usize) -> String {
        let words = &self.texts.telegram;
        let mut rows = rows(telegram, self.texts);
        rows.push((words.language, telegram.language.name().to_owned()));
        rows.push((words.waiting, waiting.to_string()));
        if let Some(error) = progress.and_then(|progress| progress.last_error.as_ref()) {
            let at = error.at.to_zoned(self.now.time_zone().clone()).strftime("%Y-%m-%d %H:%M");
            rows.push((words.last_error, format!("{at} {}", error.text)));
        }
        format!(" {}\n{}", self.texts.menu.telegram.title, lines(&rows, words.width))
    }

    fn switch_telegram(&self, switch: Switch) -> anyhow::Result<bool> {
        let enable = switch == Switch::On;
        let words = &self.texts.menu.telegram;
        let done = if enable { words.switched_on } else { words.switched_off };
        self.change_telegram(TelegramSettings { enable: Some(enable), ..TelegramSettings::default() }, done)
    }

    fn change_telegram(&self, settings: TelegramSettings, word: &str) -> anyhow::Result<bool> {
        let done = self.edit(&Edit::Telegram(settings), false)?;
        if self.common.json {
            self.show_telegram()?;
        } else if !self.common.quiet && done {
            print(&format!("{word}\n"))?;
        }
        Ok(done)
    }

    /// What was typed, checked as far as it can be without the configuration. The token comes from a file or a person.
    fn settings_of(&self, set: &TelegramSet) -> anyhow::Result<TelegramSettings> {
        let mut settings = TelegramSettings {
            bot_token: set.token_file.as_deref().map(token_from).transpose()?,
            chat_id: set.chat.clone(),
            api_url: set.api_url.clone(),
            proxy: set.proxy.clone().map(Secret::new),
            language: set.messages.map(Language::spoken),
            ..TelegramSettings::default()
        };
        if settings == TelegramSettings::default() {
            if !std::io::stdin().is_terminal() {
                usage(
                    "say what is set, such as pm telegram set --token-file FILE --chat -1001234567890; --token-file - reads standard input",
                );
            }
            let words = &self.texts.menu.telegram;
            let mut keyboard = Keyboard::new()?;
            settings.bot_token = answered(&mut keyboard, words.ask_token, true)?.map(Secret::new);
            settings.chat_id = answered(&mut keyboard, words.ask_chat, false)?;
            if settings == TelegramSettings::default() {
                bail!("nothing was entered, so nothing was changed");
            }
        }
        match settings.check() {
            // The contents of a file are no usage.
            Err(error @ TelegramError::Token) => Err(error.into()),
            Err(error) => usage(&error.to_string()),
            Ok(()) => Ok(settings),
        }
    }

    fn test_telegram(&self) -> anyhow::Result<bool> {
        let words = &self.texts.menu.telegram;
        let told = self.tell(Event::Test, Audience::Telegram)?;
        let failed = told.into_iter().find_map(|(_, result)| result.err());
        if self.common.json {
            let error = failed.as_ref().map(ToString::to_string);
            print_data(&json!({"ok": failed.is_none(), "error": error}).to_string())?;
        }
        match failed {
            None => {
                if !self.common.json && !self.common.quiet {
                    print(&format!("{}\n", words.sent))?;
                }
                Ok(true)
            }
            Some(error) => bail!(fill(words.not_sent, &[&explained(&error, &self.texts.telegram)])),
        }
    }

    /// On a runtime of its own, which does not wait for a name that is still being resolved.
    fn tell(&self, event: Event, audience: Audience) -> anyhow::Result<Told> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let told = runtime.block_on(self.machine.tell_now(event, audience, &self.now));
        runtime.shutdown_background();
        Ok(told?)
    }
}

/// The first line of a file; `-` is standard input.
fn token_from(path: &Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    let read = |input: &mut dyn Read, text: &mut String| input.take(LONGEST_TOKEN).read_to_string(text);
    let result = if path == Path::new("-") {
        read(&mut std::io::stdin().lock(), &mut text)
    } else {
        file::open(path).and_then(|mut file| read(&mut file, &mut text))
    };
    result.with_context(|| {
        let name = pm_core::units::shown(&path.to_string_lossy());
        format!("cannot read the token from {name}, so nothing was changed")
    })?;
    Ok(Secret::new(text.trim()))
}

/// What a person answers; none when that is nothing.
fn answered(keyboard: &mut Keyboard, question: &str, secret: bool) -> anyhow::Result<Option<String>> {
    let mut screen = std::io::stderr();
    keyboard.hide(secret);
    screen.write_all(question.as_bytes())?;
    screen.flush()?;
    let typed = keyboard.read(None)?;
    keyboard.hide(false);
    if secret {
        // The line's end was not shown either.
        screen.write_all(b"\n")?;
    }
    match typed {
        Typed::Line(line) => {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            Ok(Some(line).filter(|line| !line.is_empty()))
        }
        Typed::Nothing | Typed::End => bail!("nothing was changed"),
    }
}

fn as_json(telegram: &Telegram, progress: Option<&Progress>, waiting: usize) -> Value {
    let proxy = Some(without_password(telegram.proxy.expose())).filter(|proxy| !proxy.is_empty());
    let last_error = progress.and_then(|progress| progress.last_error.as_ref());
    json!({
        "enabled": telegram.enable,
        "token": telegram.bot_token.masked(),
        "chat_id": telegram.chat(),
        "api_url": without_password(&telegram.api_url),
        "proxy": proxy,
        "thresholds": telegram.thresholds.levels().collect::<Vec<u8>>(),
        "report_interval_hours": telegram.report_interval_hours,
        "language": telegram.language.name(),
        "waiting": waiting,
        "last_error": last_error.map(|error| json!({"ts": error.at.as_second(), "text": error.text})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "123:ABC\r\n").unwrap();
        assert_eq!(token_from(&path).unwrap().expose(), "123:ABC");
        let error = format!("{:#}", token_from(&folder.path().join("none")).unwrap_err());
        assert!(error.contains("none") && error.contains("nothing was changed"), "{error}");
    }
}
