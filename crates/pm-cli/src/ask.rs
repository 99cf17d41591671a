//! Questions that are answered with yes or no.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::bail;

/// Asks on the terminal. Where nobody can answer, `--yes` has to say so beforehand.
pub(crate) fn confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    Ok(yes || matches!(answer(question)?.trim(), "y" | "Y" | "yes" | "YES"))
}

/// The same for what cannot be undone: the whole word has to be typed, in any case.
pub(crate) fn insist(question: &str, yes: bool) -> anyhow::Result<bool> {
    Ok(yes || answer(question)?.trim().eq_ignore_ascii_case("yes"))
}

fn answer(question: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!(
            "this has to be confirmed, and there is no terminal to ask on, so nothing was changed: add --yes"
        );
    }
    let mut screen = io::stderr();
    screen.write_all(question.as_bytes())?;
    screen.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}
