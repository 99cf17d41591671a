//! What is done to a run: nothing, a kill or a fault of the machine, at one of its steps or at one of a program that it runs.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pm_tests::process::PATH;
use tempfile::TempDir;

use super::step::{Step, TRACED, steps};

/// Programs of the machine that pm runs.
const TOOLS: [&str; 2] = ["nft", "tc"];

/// A program of the machine, which of its runs, and a step of that.
pub(super) type OfTool = (&'static str, u32, Step);

/// What happens to a run.
#[derive(Clone, Debug)]
pub(super) enum Injury {
    /// It is not even begun.
    NotRun,
    /// It is only watched.
    Watched,
    /// SIGKILL right after this step.
    Kill(Step),
    /// This step fails with this error.
    Fault(Step, &'static str),
    /// The n-th run of this program of the machine is killed right after this step of it.
    KillTool(&'static str, u32, Step),
    /// The same, and ours with it: the power, or the end of a container.
    KillBoth(&'static str, u32, Step),
}

impl Injury {
    /// Whether our program is killed.
    pub(super) const fn kills_us(&self) -> bool {
        matches!(self, Self::Kill(_) | Self::KillBoth(..))
    }

    fn words(&self) -> Option<String> {
        match self {
            Self::NotRun | Self::Watched => None,
            Self::Kill(step) | Self::KillTool(_, _, step) | Self::KillBoth(_, _, step) => {
                Some(format!("--inject={}:signal=KILL:when={}", step.call, step.nth))
            }
            Self::Fault(step, errno) => {
                Some(format!("--inject={}:error={errno}:when={}", step.call, step.nth))
            }
        }
    }
}

impl fmt::Display for Injury {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun => f.write_str("not run"),
            Self::Watched => f.write_str("not disturbed"),
            Self::Kill(step) => write!(f, "killed after {step}"),
            Self::Fault(step, errno) => write!(f, "{errno} from {step}"),
            Self::KillTool(tool, run, step) => write!(f, "{tool}, run {run}, killed after {step}"),
            Self::KillBoth(tool, run, step) => write!(f, "killed with {tool}, run {run}, after {step}"),
        }
    }
}

/// A folder with what strace writes, and with programs called like those of the machine that run them under strace.
pub(super) struct Watcher {
    folder: TempDir,
}

impl Watcher {
    /// Prepares an injury.
    pub(super) fn of(injury: &Injury) -> Result<Self> {
        let watcher = Self { folder: TempDir::new()? };
        let at = |name: String| watcher.folder.path().join(name);
        for tool in TOOLS {
            let path = at(tool.to_owned());
            fs::write(&path, wrapper())?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        }
        if let (Injury::KillTool(tool, run, _) | Injury::KillBoth(tool, run, _), Some(words)) =
            (injury, injury.words())
        {
            fs::write(at(format!("{tool}.{run}.inject")), words)?;
            if injury.kills_us() {
                fs::write(at(format!("{tool}.{run}.both")), "")?;
            }
        }
        Ok(watcher)
    }

    /// The words that go before the program.
    pub(super) fn words(&self, injury: &Injury, always: &str) -> Vec<String> {
        let trace = self.trace().display().to_string();
        let mut words: Vec<String> =
            ["-qq", "-y", "-e", "signal=none", "-e"].map(str::to_owned).into_iter().collect();
        words.extend([format!("trace={TRACED}"), "-o".to_owned(), trace]);
        if !always.is_empty() {
            words.push(format!("--inject={always}"));
        }
        if matches!(injury, Injury::Kill(_) | Injury::Fault(..)) {
            words.extend(injury.words());
        }
        words.push("--".to_owned());
        words
    }

    /// Where programs are looked for.
    pub(super) fn path(&self) -> String {
        format!("{}:{PATH}", self.folder.path().display())
    }

    /// Whether the step was reached.
    pub(super) fn has_struck(&self, injury: &Injury, code: Option<i32>) -> bool {
        let text = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        match injury {
            Injury::NotRun | Injury::Watched => true,
            Injury::Kill(_) => code.is_none(),
            Injury::Fault(..) => text(self.trace()).contains("(INJECTED)"),
            Injury::KillTool(tool, run, _) | Injury::KillBoth(tool, run, _) => {
                self.folder.path().join(format!("{tool}.{run}.killed")).exists()
            }
        }
    }

    /// The steps of the run, and those of every program of the machine that it ran.
    pub(super) fn steps(&self) -> Result<(Vec<Step>, Vec<OfTool>)> {
        let ours = steps(&fs::read_to_string(self.trace()).context("what strace saw")?);
        let mut theirs = Vec::new();
        for tool in TOOLS {
            for run in 1.. {
                let trace = self.folder.path().join(format!("{tool}.{run}.trace"));
                let Ok(trace) = fs::read_to_string(trace) else { break };
                theirs.extend(steps(&trace).into_iter().map(|step| (tool, run, step)));
            }
        }
        Ok((ours, theirs))
    }

    /// Whether nft wrote the rules, or tried to.
    pub(super) fn saw_nft(&self) -> bool {
        self.folder.path().join("nft.runs").exists()
    }

    fn trace(&self) -> PathBuf {
        Path::new(self.folder.path()).join("pm.trace")
    }
}

/// A program that runs the one of the same name that the machine has. A run that strace saw killed ends with 137.
fn wrapper() -> String {
    format!(
        r#"#!/bin/sh
here=${{0%/*}} name=${{0##*/}}
run=$(($(cat "$here/$name.runs" 2>/dev/null || echo 0) + 1))
echo $run > "$here/$name.runs"
export PATH={PATH}
inject=$(cat "$here/$name.$run.inject" 2>/dev/null)
strace -qq -y -e signal=none -e trace={TRACED} -o "$here/$name.$run.trace" $inject -- $name "$@"
code=$?
if [ $code = 137 ]; then
  : > "$here/$name.$run.killed"
  [ ! -e "$here/$name.$run.both" ] || kill -KILL $PPID
fi
exit $code
"#
    )
}
