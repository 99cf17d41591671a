//! Where releases come from: the one place of this crate that speaks to the network.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pm_core::units::shown;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use ring::digest::{SHA256, digest};

use crate::error::ReleaseError;
use crate::release::{Program, Release};
use crate::signature::Publisher;
use crate::target;

/// The description of a release, and the notes in it.
const LONGEST_DESCRIPTION: u64 = 256 << 10;
/// A signature is four lines.
const LONGEST_SIGNATURE: u64 = 4 << 10;
const MOST_REDIRECTS: usize = 5;

/// How long a server is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// What says nothing for so long will not say it later.
    pub silence: Duration,
    /// One file takes no longer, however little of it comes at a time.
    pub file: Duration,
}

impl Patience {
    /// A program of four megabytes comes in time at seven kilobytes a second.
    pub const USUAL: Self = Self { silence: Duration::from_secs(20), file: Duration::from_mins(10) };
}

/// A release address and the key of who publishes there.
pub struct Source {
    client: Client,
    folder: Url,
    publisher: Publisher,
    patience: Patience,
}

/// The address and key that the program was built with, if it was.
pub const BUILT_IN: (Option<&str>, Option<&str>) =
    (option_env!("PM_RELEASE_URL"), option_env!("PM_RELEASE_KEY"));

/// How far a download is, in bytes: what arrived, of how much.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Source {
    /// Releases in the folder at `address`, signed with `key`, from a server that is given up when `patience` ends. Without
    /// encryption only this machine itself is asked.
    pub fn new(address: &str, key: &str, patience: Patience) -> Result<Self, ReleaseError> {
        let slash = if address.ends_with('/') { "" } else { "/" };
        let folder = Url::parse(&format!("{address}{slash}")).map_err(|_| ReleaseError::Address)?;
        let loopback = matches!(folder.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        let is_safe = folder.scheme() == "https" || folder.scheme() == "http" && loopback;
        if !is_safe
            || pm_http::is_out_of_bounds(&folder)
            || folder.query().is_some()
            || folder.fragment().is_some()
        {
            return Err(ReleaseError::Address);
        }
        let client = pm_http::client()
            .redirect(Policy::custom(follow))
            .read_timeout(patience.silence)
            .timeout(patience.file)
            .build()
            .map_err(|error| ReleaseError::Setup(pm_http::reason(error)))?;
        Ok(Self { client, folder, publisher: Publisher::new(key)?, patience })
    }

    /// Who is asked, without any secret of the address.
    pub fn host(&self) -> &str {
        self.folder.host_str().unwrap_or_default()
    }

    /// The newest release.
    pub async fn latest(&self) -> Result<Release, ReleaseError> {
        let text = self.fetch("latest.json", LONGEST_DESCRIPTION, &mut |_, _| {}).await?;
        Release::read(&text).map_err(|reason| ReleaseError::Description {
            host: self.host().to_owned(),
            reason,
            beginning: shown(String::from_utf8_lossy(&text).chars().take(40).collect::<String>().trim()),
        })
    }

    /// A program of the release for this kind of machine, verified.
    pub async fn download(
        &self,
        release: &Release,
        name: &str,
        program: &Program,
        progress: Progress<'_>,
    ) -> Result<Vec<u8>, ReleaseError> {
        let Program { file, size, sha256 } = program;
        let signature = self.fetch(&format!("{file}.minisig"), LONGEST_SIGNATURE, &mut |_, _| {}).await?;
        let bytes = self.fetch(file, *size, progress).await?;
        let arrived = bytes.len() as u64;
        if arrived != *size {
            return Err(ReleaseError::Short { file: file.clone(), arrived, announced: *size });
        }
        if !sha256.eq_ignore_ascii_case(&hexadecimal(digest(&SHA256, &bytes).as_ref())) {
            return Err(ReleaseError::Damaged { file: file.clone() });
        }
        let signature = String::from_utf8_lossy(&signature);
        self.publisher.verify(file, &bytes, &signature, release.vouched(name, &target()))?;
        Ok(bytes)
    }

    async fn fetch(&self, file: &str, limit: u64, progress: Progress<'_>) -> Result<Vec<u8>, ReleaseError> {
        let (began, Patience { silence, file: longest }) = (Instant::now(), self.patience);
        let host = || self.host().to_owned();
        let broken = |error: reqwest::Error| ReleaseError::Unreachable {
            file: file.to_owned(),
            host: host(),
            reason: match error.is_timeout() {
                true if began.elapsed() >= longest => {
                    format!("not all of it came within {} s", longest.as_secs())
                }
                true => format!("no answer within {} s", silence.as_secs()),
                false => pm_http::reason(error),
            },
        };
        let address = self.folder.join(file).map_err(|_| ReleaseError::Address)?;
        let mut response = self.client.get(address).send().await.map_err(broken)?;
        if response.status().as_u16() != 200 {
            let status = response.status().as_u16();
            return Err(ReleaseError::Refused { file: file.to_owned(), host: host(), status });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            bytes.extend_from_slice(&chunk);
            let arrived = bytes.len() as u64;
            if arrived > limit {
                return Err(ReleaseError::TooLong { file: file.to_owned(), limit });
            }
            progress(arrived, limit);
        }
        Ok(bytes)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Releases are often kept elsewhere than their address says, but never where anyone on the way can change them.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.url().scheme() != "https" {
        attempt.error("it redirects to an address without encryption")
    } else if pm_http::is_out_of_bounds(attempt.url()) {
        attempt.error("it redirects to a link-local address")
    } else if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("it redirects in circles")
    } else {
        attempt.follow()
    }
}
