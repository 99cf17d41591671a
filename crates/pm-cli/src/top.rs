//! `pm top`: all ports live, second by second, on the whole screen.

mod draw;
mod rates;
mod screen;
mod state;
#[cfg(test)]
mod tests;

use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use jiff::Zoned;
use pm_monitor::Machine;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{MissedTickBehavior, interval};

use self::draw::{Palette, draw};
use self::screen::Screen;
use self::state::{Reading, Step, TopState};
use crate::explain;
use crate::text::Texts;

const SECOND: Duration = Duration::from_secs(1);

/// Shows all ports until a key, a signal or the end of the terminal says otherwise.
pub(crate) async fn watch(machine: &Machine, clock: &dyn Fn() -> Zoned, texts: &Texts) -> anyhow::Result<()> {
    if !stdout().is_terminal() || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        bail!("{}", texts.top.no_terminal);
    }
    let mut eyes = machine.watch();
    let began = Instant::now();
    let now = clock();
    // What cannot be read at all is said before the screen is taken.
    let look = eyes.look(&now).await.map_err(|error| anyhow!(explain::machine(&error, texts)))?;
    let mut state = TopState::new(Reading { at: began.elapsed(), now, look: Ok(look) });

    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    let palette = Palette::new(anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never);
    let mut screen = Screen::open()?;
    let mut events = events();
    loop {
        screen.draw(|frame| {
            state.fit(usize::from(frame.area().height));
            draw(frame, &state, texts, &palette);
        })?;
        tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            // Whoever stopped it, somebody else had the terminal meanwhile.
            _ = continued.recv() => screen.take_again()?,
            event = events.recv() => match event {
                Some(Event::Key(key)) => match state.key(key) {
                    Step::Stay => {}
                    Step::Leave => return Ok(()),
                    Step::Suspend => screen.suspend()?,
                },
                // Another size, which the next drawing finds out by itself.
                Some(_) => {}
                None => return Ok(()),
            },
            _ = seconds.tick() => {
                let now = clock();
                let look = eyes.look(&now).await.map_err(|error| explain::machine(&error, texts));
                state.update(Reading { at: began.elapsed(), now, look });
            }
        }
    }
}

/// What is typed. Reading it waits, so it is done beside; whoever does it goes when nobody listens any more.
fn events() -> Receiver<Event> {
    /// How long a thread may outlive its listener.
    const PAUSE: Duration = Duration::from_millis(500);
    /// More than anybody types between two drawings; whoever pastes waits.
    const QUEUE: usize = 64;
    let (sender, receiver) = channel(QUEUE);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let event = match event::poll(PAUSE) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            // A terminal that is gone is the end of what is typed.
            let Ok(event) = event else { return };
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
