//! Tells a person what pm did.
//!
//! An event becomes a text ([`render`]), and a text goes to a [`Channel`]: [`Telegram`], or an address of the operator's
//! choice ([`Webhook`]). [`Log`] prints one line for each message; it is what delivers messages where nothing else is
//! configured.

pub mod channel;
pub mod error;
mod http;
pub mod log;
#[cfg(feature = "fuzzing")]
pub mod property;
pub mod render;
pub mod rich;
pub mod telegram;
mod templates;
pub mod webhook;

pub use channel::Channel;
pub use error::DeliveryError;
pub use log::Log;
pub use render::Voice;
pub use telegram::Telegram;
pub use webhook::Webhook;
