//! The one door to the network: a request with a deadline, and so much of the answer as is worth reading.

use std::sync::OnceLock;
use std::time::Duration;

use pm_http::CONNECT;
use reqwest::{Client, Proxy, Url, header};

use crate::error::{Confidential, DeliveryError};

/// Telegram's longest answers are some kilobytes.
const MOST_READ: usize = 64 << 10;
/// What is waited where an answer says "too many" and not how long.
const PAUSE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after: Duration,
}

impl Answer {
    /// An answer with this `Retry-After`, a number of seconds, and so much of the body as is ever read.
    pub(crate) fn of(status: u16, retry_after: Option<&str>, mut body: Vec<u8>) -> Self {
        body.truncate(MOST_READ);
        let asked = retry_after.and_then(|text| text.parse().ok());
        Self { status, body, retry_after: asked.map_or(PAUSE, Duration::from_secs) }
    }
}

/// A client that is made when the first request is: a minute without messages never sets up any encryption.
#[derive(Debug, Default)]
pub(crate) struct Door {
    client: OnceLock<Client>,
    proxy: pm_core::config::Secret,
    confidential: Confidential,
}

/// A request: JSON, posted.
pub(crate) struct Request<'a> {
    pub(crate) url: Url,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: &'a [(&'static str, String)],
}

/// An address of the configuration that a request may go to; `what` it is called in an error.
pub(crate) fn address(text: &str, what: &'static str) -> Result<Url, DeliveryError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or(DeliveryError::Address(what))?;
    if pm_http::is_out_of_bounds(&url) { Err(DeliveryError::OutOfBounds(what)) } else { Ok(url) }
}

impl Door {
    /// A door with a proxy in front, if one is named. What is confidential never becomes part of an error.
    pub(crate) fn new(proxy: &pm_core::config::Secret, confidential: Confidential) -> Self {
        Self { client: OnceLock::new(), proxy: proxy.clone(), confidential }
    }

    /// What an answer says, fit to be shown.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.confidential.without(text)
    }

    /// Sends a request and reads the answer. Whatever the answer is, it is no error here.
    pub(crate) async fn send(
        &self,
        request: Request<'_>,
        patience: Duration,
    ) -> Result<Answer, DeliveryError> {
        let client = self.client()?;
        let failed = |error: reqwest::Error| self.failure(error, patience);
        let mut request_builder = client
            .post(request.url)
            .timeout(patience)
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .body(request.body);
        for (name, value) in request.headers {
            request_builder = request_builder.header(*name, value);
        }
        let mut response = request_builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while body.len() < MOST_READ {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // A status and the beginning of an answer say more than how its end was lost.
                Ok(None) => break,
                Err(_) if !body.is_empty() => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Answer::of(status, retry_after.as_deref(), body))
    }

    fn client(&self) -> Result<&Client, DeliveryError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.build()?;
        Ok(self.client.get_or_init(|| client))
    }

    fn build(&self) -> Result<Client, DeliveryError> {
        let failed = |error: reqwest::Error| DeliveryError::Setup(self.reason(error));
        // A redirect would hand the token to somebody else, and what was sent twice would arrive twice: a client of
        // pm's does neither.
        let mut builder = pm_http::client();
        if !self.proxy.expose().is_empty() {
            let invalid = |_| DeliveryError::Address("telegram's proxy, or a channel's,");
            builder = builder.proxy(Proxy::all(resolving(self.proxy.expose())).map_err(invalid)?);
        }
        builder.build().map_err(failed)
    }

    fn failure(&self, error: reqwest::Error, patience: Duration) -> DeliveryError {
        let (timed_out, connecting) = (error.is_timeout(), error.is_connect());
        let reason = self.reason(error);
        match (timed_out, connecting) {
            (true, connecting) => {
                DeliveryError::TimedOut(if connecting { CONNECT.min(patience) } else { patience })
            }
            (false, true) => DeliveryError::Unreachable(reason),
            (false, false) => DeliveryError::Broken(reason),
        }
    }

    fn reason(&self, error: reqwest::Error) -> String {
        self.shown(&pm_http::reason(error))
    }
}

/// Names are resolved by the SOCKS proxy, as by an HTTP proxy: where Telegram needs one, names are tampered with too.
fn resolving(proxy: &str) -> String {
    match proxy.get(..9) {
        Some(scheme) if scheme.eq_ignore_ascii_case("socks5://") => format!("socks5h://{}", &proxy[9..]),
        _ => proxy.to_owned(),
    }
}
