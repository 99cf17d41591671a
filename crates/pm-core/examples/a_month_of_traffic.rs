//! A port through more than a month: warnings, the cut-off at its quota, the reset on the 1st. Nothing real is touched;
//! the kernel is one in memory, and the clock is a variable.
//!
//! `cargo run -p pm-core --example a_month_of_traffic`
#![expect(clippy::print_stdout, reason = "this example is for reading")]

use std::error::Error;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};
use pm_core::backend::Firewall;
use pm_core::config::Config;
use pm_core::desired::{Desired, Host};
use pm_core::edit::{Edit, Settings, edit};
use pm_core::event::Event;
use pm_core::fake::{Direction, FakeKernel};
use pm_core::port::PortRange;
use pm_core::reset::ResetDay;
use pm_core::state::State;
use pm_core::tick::tick;
use pm_core::view::Overview;

/// What the port asks for every hour, were it not stopped: 20 MB.
const PACKETS_AN_HOUR: u32 = 20 << 10;
const PACKET: u64 = 1 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let kernel = FakeKernel::default();
    let host = Host::default();
    let port: PortRange = "10086".parse()?;
    let mut now: Zoned = date(2026, 1, 5).at(0, 0, 0, 0).to_zoned(TimeZone::UTC)?;

    // `pm add 10086 --quota 10 --reset-day 1`
    let (mut config, mut state) = (Config::default(), State::default());
    let settings = Settings {
        quota: Some(Some("10GB".parse()?)),
        reset_day: Some(ResetDay::new(1)),
        comment: Some("Snell".into()),
        ..Settings::default()
    };
    let readings = at_once(kernel.read())?;
    edit(&mut config, &mut state, &readings, &now, &Edit::Add(port, settings))?;
    let _ = at_once(Firewall::apply(&kernel, &Desired::of(&config, &state, &readings, &host).ruleset))?;

    for _hour in 0..24 * 35 {
        for _ in 0..PACKETS_AN_HOUR {
            kernel.packet(port, Direction::Out, PACKET);
        }
        now = now.checked_add(SignedDuration::from_hours(1))?;

        // Read, tick, apply. A real monitor saves the state before it applies, and does this every minute.
        let readings = at_once(kernel.read())?;
        let minute = tick(&config, state, &readings, &now);
        let desired = Desired::of(&config, &minute.state, &readings, &host);
        let _ = at_once(Firewall::apply(&kernel, &desired.ruleset))?;
        state = minute.state;

        for event in &minute.events {
            println!("{}  {}", now.strftime("%Y-%m-%d %H:%M"), sentence(event));
        }
    }

    let overview = Overview::of(&config, &state, &now);
    for view in &overview.ports {
        println!("\nAt the end port {} has used {} of its 10 GB in this cycle.", view.port, view.used_bytes);
    }
    Ok(())
}

fn sentence(event: &Event) -> String {
    match event {
        Event::QuotaWarning { level, used, percent, .. } => {
            format!("past {level} %: {used} used ({percent})")
        }
        Event::Blocked { .. } => "the quota is used up, the port is closed".into(),
        Event::QuotaReset { .. } => "a new cycle begins, the port is open".into(),
        Event::Punished { .. } | Event::Recovered { .. } | Event::Report { .. } | Event::Test => {
            format!("{event:?}")
        }
    }
}

/// The kernel in memory never waits, so no runtime is needed to wait for it.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the kernel in memory never waits"),
    }
}
