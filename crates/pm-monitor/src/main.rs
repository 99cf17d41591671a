//! `pm-monitor`: one minute, as cron calls it; or, with `--every`, minutes until SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;
use pm_monitor::run::Telling;
use pm_monitor::{Machine, Paths, clock, precaution, run};

/// Runs one minute of the traffic manager: reads the counters, settles the accounts, blocks, limits, resets, tells.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  pm-monitor               one minute, as cron calls it\n  pm-monitor --every 5s    stay, with a minute every 5 seconds, until SIGTERM"
)]
struct Arguments {
    /// Stay and run a minute this often, 1s to 1h, until SIGTERM
    #[arg(long, value_name = "TIME", value_parser = period)]
    every: Option<Duration>,
    /// Keep all files under this folder instead of /
    #[arg(long, value_name = "DIR", env = "PM_ROOT")]
    root: Option<PathBuf>,
    /// Shape this network interface, whatever the configuration says
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Print errors and messages only
    #[arg(long)]
    quiet: bool,
    /// Deliver no message: they wait for the next minute, as at boot and shutdown, when there is no network
    #[arg(long, conflicts_with = "every")]
    no_tell: bool,
}

fn period(text: &str) -> Result<Duration, String> {
    let refused = || "write a time from 1s to 1h, such as 5s or 1m".to_string();
    let period: SignedDuration = text.parse().map_err(|_| refused())?;
    let allowed = SignedDuration::from_secs(1)..=SignedDuration::from_hours(1);
    if allowed.contains(&period) { Duration::try_from(period).map_err(|_| refused()) } else { Err(refused()) }
}

fn main() -> ExitCode {
    precaution::take();
    let arguments = Arguments::parse();
    match work(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            run::say(&run::whole(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> anyhow::Result<bool> {
    let moved = std::env::var(clock::VARIABLE).ok();
    let now = clock::now(moved.as_deref(), arguments.root.is_some())?;
    let paths = arguments.root.as_ref().map_or_else(Paths::default, Paths::under);
    let machine = Machine::real(paths).on_interface(arguments.interface.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = match arguments.every {
        None => {
            let telling = if arguments.no_tell { Telling::Later } else { Telling::Now };
            runtime.block_on(run::minute(&machine, &now, arguments.quiet, telling)).map_err(Into::into)
        }
        Some(_) if moved.is_some() => {
            anyhow::bail!(
                "PM_NOW sets the clock of one run, so it does not go with --every: unset it, or run single minutes"
            )
        }
        Some(period) => {
            let served = runtime.block_on(run::service(&machine, period, arguments.quiet, clock::system));
            served.map(|()| true).map_err(Into::into)
        }
    };
    // A name that is still being resolved keeps nobody waiting.
    runtime.shutdown_background();
    // The process ends here, and with it all of its memory at once: the rows of minutes in docs/performance.md.
    std::mem::forget(machine);
    done
}
