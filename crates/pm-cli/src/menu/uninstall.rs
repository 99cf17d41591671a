//! Item 6: the end, which takes a whole word.

use std::io::Write;

use crate::menu::Menu;
use crate::menu::input::Input;
use crate::menu::prompt::Leave;

impl<I: Input, W: Write> Menu<'_, I, W> {
    pub(super) fn uninstall(&mut self) -> Result<(), Leave> {
        let texts = self.texts();
        self.explain(texts.setup.warning)?;
        // A `y` is no answer, and neither is anything else: only the whole word ends it all.
        let agreed = self.ask(texts.setup.ask_uninstall, |answer| Ok(answer.eq_ignore_ascii_case("yes")))?;
        if !agreed {
            return self.say(texts.cancelled);
        }
        for line in (self.around.uninstall)() {
            self.explain(&line)?;
        }
        Err(Leave::Quit)
    }
}
