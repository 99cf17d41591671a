//! How pm speaks HTTPS: one trust and one set of manners for whatever leaves the machine.

mod reach;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

use reach::Names;
pub use reach::is_out_of_bounds;

/// How long a connection may take to be made: a mirror on the other side of the world answers within a second.
pub const CONNECT: Duration = Duration::from_secs(5);

/// The beginning of every client. It follows no redirect and repeats nothing, and the environment decides nothing: what
/// works from a login shell has to work from cron. A name that leads to an address of [`is_out_of_bounds`] leads nowhere.
pub fn client() -> ClientBuilder {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The machine's own authorities are trusted too; these are for machines that have none.
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    let roots = roots.iter().filter_map(|root| Certificate::from_der(root).ok());
    Client::builder()
        .tls_certs_merge(roots)
        .connect_timeout(CONNECT)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .dns_resolver(Arc::new(Names))
        .user_agent(concat!("pm/", env!("CARGO_PKG_VERSION")))
}

/// The innermost reason of a failure, which is the one that says something, without the address: that may hold a secret.
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
