//! `cargo xtask soak [STORY [MINUTES]] [-- NAME..]`: what takes too long for every day. Each story has a network of its own.

mod crash;
mod every;
mod long;
mod samples;
mod street;
mod together;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{cargo, programs, run};
use crate::{enclosure, tools};

/// The word by which the task starts itself again, inside its enclosure.
const INSIDE: &str = "--inside";

/// Something that is told for a while.
struct Story {
    name: &'static str,
    what: &'static str,
    /// How many minutes it usually takes.
    usual: u64,
    /// Tells it, about that long; where it has chapters, those whose names contain one of the words. An error is what came
    /// out wrong.
    tell: fn(Duration, &[&str]) -> Result<()>,
}

const STORIES: &[Story] = &[
    Story {
        name: "together",
        what: "everybody at once, and somebody flushes the rules",
        usual: 5,
        tell: |time, _| together::tell(time),
    },
    Story { name: "long", what: "a monitor that runs for long", usual: 10, tell: |time, _| long::tell(time) },
    Story { name: "crash", what: "killed and failing at every step", usual: 40, tell: crash::tell },
    Story {
        name: "every",
        what: "every port there is, each by itself",
        usual: 5,
        tell: |time, _| every::tell(time),
    },
];

pub(crate) fn task(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let split = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let (words, names) = (&words[..split], words.get(split + 1..).unwrap_or_default());
    match words {
        [] => outside(&STORIES.iter().map(|story| (story, story.usual)).collect::<Vec<_>>(), names),
        [name] => outside(&[(known(name)?, known(name)?.usual)], names),
        [INSIDE, name, minutes] => (known(name)?.tell)(Duration::from_mins(number(minutes)?), names),
        [name, minutes] => outside(&[(known(name)?, number(minutes)?.max(1))], names),
        _ => bail!("soak takes a story and a number of minutes"),
    }
}

fn known(name: &str) -> Result<&'static Story> {
    let names = || STORIES.iter().map(|story| story.name).collect::<Vec<_>>().join(", ");
    let story = STORIES.iter().find(|story| story.name == name);
    story.with_context(|| format!("there is no story `{name}`: {}", names()))
}

fn number(word: &str) -> Result<u64> {
    word.parse().with_context(|| format!("`{word}` is no number of minutes"))
}

/// Tells every one of them, each in an enclosure. One that fails does not keep the next ones from being told.
fn outside(stories: &[(&Story, u64)], names: &[&str]) -> Result<()> {
    tools::ensure(tools::LABORATORY)?;
    enclosure::ensure_possible()?;
    println!("building pm");
    run(cargo(["build", "--quiet", "--package", "pm-cli", "--package", "pm-monitor", "--bins"]))?;
    let myself = std::env::current_exe().context("who am I")?;
    let mut failed = Vec::new();
    for (story, minutes) in stories {
        println!("\n== {}: {}, {minutes} min", story.name, story.what);
        let begin = Instant::now();
        let minutes = minutes.to_string();
        let words = ["soak", INSIDE, story.name, &minutes, "--"];
        let mut command = enclosure::enclosed(&myself, words.iter().chain(names));
        command.env("PM_BIN_DIR", programs("debug")?);
        let status = command.status().context("cannot start the soak")?;
        let verdict = if status.success() { "passed" } else { "FAILED" };
        println!("-- {}: {verdict}, {} s", story.name, begin.elapsed().as_secs());
        if !status.success() {
            failed.push(story.name);
        }
    }
    ensure!(failed.is_empty(), "something is off, see above: {}", failed.join(", "));
    Ok(())
}
