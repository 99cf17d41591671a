//! The channels besides Telegram: an HTTP address that every message is posted to.

use alloc::string::String;

use serde_json::{Map, Value};

use crate::config::Secret;

/// Telegram's name where channels are told apart by name.
pub const TELEGRAM: &str = "telegram";

/// One channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// What it is called; no other channel is called so.
    pub name: String,
    /// Whether it is told anything.
    pub enable: bool,
    /// What stands at its address.
    pub service: Service,
    /// Its address. Most services put a key into it.
    pub url: Secret,
    /// What its requests are signed with; empty for no signature.
    pub secret: Secret,
    /// The body of a request, where it is not the service's usual one: any JSON, with `{title}` and `{text}` in its
    /// strings.
    pub body: Option<Value>,
    /// The proxy in front of it: an http or socks5 address.
    pub proxy: Secret,
    /// Fields that we do not know.
    pub extra: Map<String, Value>,
}

/// What stands at the address of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A program of the operator's, which is sent the event as data.
    Webhook,
    /// Bark, for iOS.
    Bark,
    /// A group bot of `WeCom` (企业微信).
    WeCom,
    /// A group bot of `DingTalk` (钉钉).
    DingTalk,
    /// `ServerChan` (Server酱), for `WeChat`.
    ServerChan,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Webhook, Self::Bark, Self::WeCom, Self::DingTalk, Self::ServerChan];

    /// Its name in the configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Bark => "bark",
            Self::WeCom => "wecom",
            Self::DingTalk => "dingtalk",
            Self::ServerChan => "serverchan",
        }
    }
}
