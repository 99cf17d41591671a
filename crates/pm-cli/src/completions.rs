//! What shells and `man` can know of the command line, made of the definitions by which it is read.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::{generate, shells};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use pm_kernel::file;

use crate::arguments::{Arguments, EXIT_STATUS};

/// A shell that can complete what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// The script by which a shell completes `pm`.
pub(crate) fn script(shell: Shell) -> String {
    let mut definitions = Arguments::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(shells::Bash, &mut definitions, "pm", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut definitions, "pm", &mut script),
        Shell::Fish => generate(shells::Fish, &mut definitions, "pm", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes the manual into a folder: a page for `pm`, and one for each of its commands.
pub(crate) fn write_manual(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, page) in manual()? {
        file::anew(&folder.join(name), 0o644)?.write_all(&page)?;
    }
    Ok(())
}

/// The pages by the names of their files.
fn manual() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut definitions = Arguments::command().disable_help_subcommand(true);
    definitions.build();
    let mut pages = Vec::new();
    let mut waiting = vec![definitions];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        pages.push(page(command)?);
    }
    pages.sort();
    Ok(pages)
}

fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    let closing = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_commands = command.has_subcommands();
    let man = Man::new(command).source(concat!("pm ", env!("CARGO_PKG_VERSION"))).manual("pm");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    closing_sections(&closing).to_writer(&mut text)?;
    Ok((man.get_filename(), text))
}

/// What stands below the options of `--help`: examples as they are typed, notes, and the exit status of each command.
fn closing_sections(closing: &str) -> Roff {
    let mut roff = Roff::new();
    for part in closing.split("\n\n").filter(|part| !part.is_empty()) {
        let (heading, lines) = match part.strip_prefix("Examples:\n") {
            Some(examples) => ("EXAMPLES", examples),
            None => ("NOTES", part),
        };
        let lines: Vec<&str> = lines.lines().filter(|line| *line != EXIT_STATUS).collect();
        roff.control("SH", [heading]).control("nf", []);
        for line in lines {
            roff.text([roman(line.trim_start_matches("  "))]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for status in [
        "0: done.",
        "1: failed; or saved, but not in force, and the message says why.",
        "2: what was typed was not understood; nothing was touched.",
    ] {
        roff.text([roman(status)]).control("br", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_every_command() {
        let names: Vec<String> =
            Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        assert!(names.len() > 12, "{names:?}");
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for name in &names {
                assert!(script.contains(name.as_str()), "{shell:?} lacks {name}");
            }
            assert!(script.contains("quota"), "{shell:?}");
        }
    }

    #[test]
    fn the_manual_has_a_page_for_each_command_with_its_examples_and_exit_status() {
        let folder = tempfile::tempdir().unwrap();
        write_manual(folder.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let main = read("pm.1");
        for part in ["pm\\-add(1)", ".SH EXAMPLES", "pm add 10086", ".SH \"EXIT STATUS\"", "\\-\\-quiet"] {
            assert!(main.contains(part), "{part}: {main}");
        }
        assert!(read("pm-add.1").contains("SIZE"));
        assert!(read("pm-telegram-set.1").contains("token"));
        assert!(read("pm-manual.1").contains("man1"));
    }
}
