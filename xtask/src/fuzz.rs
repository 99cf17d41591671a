//! `cargo xtask fuzz`: libFuzzer looks for bytes that one of the readers of bytes does not bear.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{cargo, root, run, works};
use crate::tools::{self, Tool};

/// libFuzzer is C++, and is built with the targets.
const TOOLS: &[Tool] = &[Tool { needed: "c++", package: "g++" }];
/// How long each target runs unless told otherwise.
const MINUTES: u64 = 10;
/// What the release is built like makes it small and slow to link; here it is to be fast, and built ten times.
const PROFILE: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];
/// An input that takes this many seconds or megabytes is a fault.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// What the person asked for.
struct Wish {
    targets: Vec<String>,
    duration: Duration,
}

/// What a run of a target came to.
struct Run {
    target: String,
    executions: u64,
    duration: Duration,
    is_sound: bool,
}

pub(crate) fn task(words: &[String]) -> Result<()> {
    let wish = wish(words)?;
    tools::ensure(TOOLS)?;
    if !works(cargo(["fuzz", "--version"])) {
        run(cargo(["install", "--locked", "cargo-fuzz"]))?;
    }
    run(fuzz(&["build", "--sanitizer", "none"]))?;
    let runs = wish.targets.iter().map(|target| look(target, wish.duration)).collect::<Result<Vec<_>>>()?;
    println!();
    for Run { target, executions, duration, is_sound } in &runs {
        let verdict = if *is_sound { "" } else { "  FAULTS FOUND" };
        println!("{target:<10}{executions:>13} executions{:>7} s{verdict}", duration.as_secs());
    }
    println!("{:<10}{:>13} executions", "in all", runs.iter().map(|run| run.executions).sum::<u64>());
    let faulty: Vec<&str> = runs.iter().filter(|run| !run.is_sound).map(|run| run.target.as_str()).collect();
    ensure!(
        faulty.is_empty(),
        "{}: what was found is in fuzz/artifacts; mend it, and put the input into fuzz/corpus",
        faulty.join(", ")
    );
    Ok(())
}

/// Every target by name: a program each in `fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let name = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.filter_map(|entry| name(entry.ok()?)).collect();
    names.sort();
    Ok(names)
}

fn wish(words: &[String]) -> Result<Wish> {
    let known = targets()?;
    let (mut wish, mut words) = (Wish { targets: Vec::new(), duration: minutes(MINUTES) }, words.iter());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let number = words.next().and_then(|word| word.parse().ok()).filter(|&number| number > 0);
                wish.duration = minutes(number.context("--minutes needs a number of minutes")?);
            }
            name if known.iter().any(|target| target == name) => wish.targets.push(name.to_owned()),
            other => bail!("there is no target `{other}`: {}", known.join(", ")),
        }
    }
    if wish.targets.is_empty() {
        wish.targets = known;
    }
    Ok(wish)
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(number.saturating_mul(60))
}

fn fuzz(words: &[&str]) -> std::process::Command {
    let mut command = cargo(["fuzz"].iter().chain(words));
    // Counting what code is reached is an option of the compiler that only nightly builds offer openly. The code that is
    // built is the same, and none of it is released.
    command.env("RUSTC_BOOTSTRAP", "1").envs(PROFILE);
    command
}

/// Lets libFuzzer look for a while. It begins with the inputs that are kept, and with what it found in earlier runs.
fn look(target: &str, duration: Duration) -> Result<Run> {
    println!("\n== {target}");
    let found = root().join("target/fuzz").join(target);
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let mut command = fuzz(&["run", "--sanitizer", "none", target]);
    command.arg(&found).arg(format!("fuzz/corpus/{target}")).arg("--");
    command.arg(format!("-max_total_time={}", duration.as_secs())).arg("-print_final_stats=1").args(LIMITS);
    let begin = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start cargo fuzz")?;
    let (mut executions, mut inputs) = (0, 0);
    for line in BufReader::new(child.stderr.take().context("it has no output")?).lines() {
        let line = line.context("what libFuzzer prints is not text")?;
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            executions = number.trim().parse().context("libFuzzer counts strangely")?;
        } else if line.contains(" NEW ") || line.contains(" REDUCE ") {
            inputs += 1;
        } else if !line.starts_with("stat::") {
            println!("{line}");
        }
    }
    let is_sound = child.wait().context("cannot wait for libFuzzer")?.success();
    println!("{executions} executions, {inputs} inputs worth keeping");
    Ok(Run { target: target.to_owned(), executions, duration: begin.elapsed(), is_sound })
}
