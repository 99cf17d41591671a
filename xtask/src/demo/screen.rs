//! What a person sees: the panel of `pm list` on a redraw, and below it what happened so far.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _, stdout};

/// Lines of the story that stay on the screen.
const MEMORY: usize = 9;

/// The screen, or a log where there is none.
pub(super) struct Screen {
    live: bool,
    story: VecDeque<String>,
    news: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { live: stdout().is_terminal(), story: VecDeque::new(), news: true }
    }

    /// Something happened.
    pub(super) fn tell(&mut self, clock: &str, text: &str) {
        if self.story.len() == MEMORY {
            self.story.pop_front();
        }
        self.story.push_back(format!("{clock}  {text}"));
        self.news = true;
        if !self.live {
            println!("{clock}  {text}");
        }
    }

    /// Draws the panel: on a terminal each time, into a log only after something happened.
    pub(super) fn draw(&mut self, clock: &str, panel: &str) {
        if self.live {
            let story: Vec<&str> = self.story.iter().map(String::as_str).collect();
            // Home, and each line erased as it is written over: nothing flickers.
            let text = format!("{clock}, sixty times as fast\n\n{panel}\n{}\n", story.join("\n"));
            let text = text.replace('\n', "\x1b[K\n");
            print!("\x1b[H{text}\x1b[J");
        } else if self.news {
            println!("\n{panel}");
        }
        self.news = false;
        // A terminal that went away is noticed at the next line.
        drop(stdout().flush());
    }

    /// Makes room for the first picture.
    pub(super) fn clear(&self) {
        if self.live {
            print!("\x1b[2J");
        }
    }
}

/// The language for the panel: the person's own, when we speak it.
pub(super) fn language() -> &'static str {
    let wish =
        ["PM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| std::env::var(name).ok());
    if wish.is_some_and(|wish| wish.starts_with("zh")) { "zh" } else { "en" }
}
