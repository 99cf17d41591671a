//! `cargo xtask test`: every check of this repository, each with its duration, and one verdict.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::enclosure;
use crate::shell::{self, cargo, root, works};
use crate::{kernel, purity, tidy, tools};

/// One check.
struct Step {
    name: &'static str,
    what: &'static str,
    check: fn(&Wish) -> Result<Outcome>,
}

/// What a check came to when it did not fail.
enum Outcome {
    Passed,
    /// Why it could not be made. Said aloud, and no failure.
    Skipped(&'static str),
    /// Which tests failed once and then passed alone. Said aloud too: each is a fault of the test, or a rare one of ours.
    PassedAtLast(Vec<String>),
}

/// What the person asked for.
struct Wish {
    steps: Vec<String>,
    kernel_tests: Vec<String>,
}

const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        what: "the rules of the house that no lint knows",
        check: |_| passed(tidy::check()),
    },
    Step { name: "fmt", what: "format", check: |_| passed(shell::run(cargo(["fmt", "--all", "--check"]))) },
    Step { name: "clippy", what: "lints", check: |_| passed(clippy()) },
    Step { name: "purity", what: "pm-core cannot touch the machine", check: |_| passed(purity::check()) },
    Step { name: "docs", what: "documentation", check: |_| passed(docs()) },
    Step { name: "deny", what: "licences, bans and sources of the dependencies", check: |_| deny() },
    Step {
        name: "unit",
        what: "unit tests, stories, properties, documentation tests",
        check: |_| passed(unit()),
    },
    Step { name: "examples", what: "the examples run", check: |_| passed(examples()) },
    Step { name: "kernel", what: "behaviour on the real kernel", check: |wish| kernel(wish) },
];

/// Runs the steps that were asked for, all of them by default. A step that fails does not keep the next ones from running.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let wish = wish(words)?;
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| wish.steps.is_empty() || wish.steps.iter().any(|name| name == step.name))
        .collect();
    if steps.iter().any(|step| step.name == "kernel") {
        tools::ensure(tools::LABORATORY)?;
        enclosure::ensure_possible()?;
    }
    tools::ensure_components()?;

    let begin = Instant::now();
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let verdict = match (step.check)(&wish) {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(reason)) => format!("not run: {reason}"),
            Ok(Outcome::PassedAtLast(tests)) => {
                format!("passed, at the second attempt: {}", tests.join(", "))
            }
            Err(error) => {
                println!("{error:#}");
                failed.push(step.name);
                "FAILED".to_owned()
            }
        };
        let line = format!("{:<10}{:>7}  {verdict}", step.name, seconds(start.elapsed()));
        println!("-- {line}");
        summary.push(line);
    }
    println!("\n{}\n{:<10}{:>7}", summary.join("\n"), "in all", seconds(begin.elapsed()));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn wish(words: &[String]) -> Result<Wish> {
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (names, rest) = words.split_at(split);
    let mut steps = Vec::new();
    for name in names {
        match name.as_str() {
            "quick" => {
                steps.extend(STEPS.iter().map(|step| step.name.to_owned()).filter(|name| name != "kernel"));
            }
            name if STEPS.iter().any(|step| step.name == name) => steps.push(name.to_owned()),
            _ => bail!(
                "there is no step `{name}`: quick, {}",
                STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
            ),
        }
    }
    Ok(Wish { steps, kernel_tests: rest.iter().skip(1).cloned().collect() })
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn clippy() -> Result<()> {
    let words = "clippy --quiet --workspace --all-targets --all-features -- --deny warnings";
    shell::run(cargo(words.split(' ')))
}

fn docs() -> Result<()> {
    let mut command = cargo(["doc", "--quiet", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    shell::run(command)
}

fn deny() -> Result<Outcome> {
    if !works(cargo(["deny", "--version"])) {
        return Ok(Outcome::Skipped("cargo-deny is not installed (cargo install --locked cargo-deny)"));
    }
    passed(shell::run(cargo(["deny", "check", "licenses", "bans", "sources"])))
}

fn unit() -> Result<()> {
    shell::run(cargo(["test", "--quiet", "--workspace", "--all-features", "--no-fail-fast"]))
}

/// Runs every example of the library that other projects build on.
fn examples() -> Result<()> {
    let folder = root().join("crates/pm-core/examples");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    ensure!(!names.is_empty(), "pm-core has no examples");
    for name in names {
        println!("example {name}");
        shell::run(cargo(["run", "--quiet", "--package", "pm-core", "--example", &name]))?;
    }
    Ok(())
}

fn kernel(wish: &Wish) -> Result<Outcome> {
    let second_attempts = kernel::run(&wish.kernel_tests)?;
    Ok(if second_attempts.is_empty() { Outcome::Passed } else { Outcome::PassedAtLast(second_attempts) })
}

fn seconds(duration: Duration) -> String {
    format!("{}.{} s", duration.as_secs(), duration.subsec_millis() / 100)
}
