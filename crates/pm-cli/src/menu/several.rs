//! Item 2 for several ports at once: what makes sense for all of them.

use std::fmt::Write as _;
use std::io::Write;

use pm_core::edit::{Edit, Settings};
use pm_core::port::PortRange;

use crate::menu::configure::{LIMIT, RESET, limit};
use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::menu::{Change, Menu, REFRESH};

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn configure_several(&mut self, ports: &[PortRange]) -> Result<(), Leave> {
        let texts = self.texts();
        loop {
            let page = several_page(ports, texts);
            let choice = self.watch(REFRESH, texts.menu.choose, |_| Ok(page.clone()))?;
            match choice.as_str() {
                "0" | "b" | "B" => return Ok(()),
                LIMIT => self.limit_several(ports)?,
                RESET => {
                    if self.confirm(texts.menu.ask_clear)? {
                        self.edit_and_say(&Edit::Reset(ports.to_vec()), texts.was_reset)?;
                    } else {
                        self.say(texts.cancelled)?;
                    }
                }
                _ => {}
            }
        }
    }

    fn limit_several(&mut self, ports: &[PortRange]) -> Result<(), Leave> {
        let texts = self.texts();
        let Some(limit) = self.ask(texts.menu.ask_limit, |answer| limit(answer, texts))? else {
            return Ok(());
        };
        for &port in ports {
            let settings = Settings { limit: Some(limit.0), ..Settings::default() };
            if let Change::Refused(why) = self.edit(&Edit::Set(port, settings))? {
                return self.say(&why);
            }
        }
        self.say(texts.saved)
    }
}

fn several_page(ports: &[PortRange], texts: &crate::text::Texts) -> String {
    let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let mut page = format!("{} {}\n", texts.menu.chosen, names.join(", "));
    for (number, item) in [(LIMIT, texts.menu.port_items[2]), (RESET, texts.menu.port_items[5])] {
        let _ = writeln!(page, " {number}. {item}");
    }
    let _ = writeln!(page, " 0. {}", texts.menu.back);
    page
}
