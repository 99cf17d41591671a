//! Item 3: ports that are metered no longer.

use std::io::Write;

use pm_core::edit::Edit;

use crate::menu::Menu;
use crate::menu::input::Input;
use crate::menu::prompt::Leave;
use crate::text::fill;

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn delete(&mut self) -> Result<(), Leave> {
        let texts = self.texts();
        let ports = self.select(texts.menu.ask_delete)?;
        let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
        if !self.confirm(&fill(texts.ask_remove, &[&names.join(", ")]))? {
            return self.say(texts.cancelled);
        }
        self.edit_and_say(&Edit::Remove(ports), texts.removed)
    }
}
