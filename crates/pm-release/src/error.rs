//! Why there is no update.

use std::io;
use std::path::PathBuf;

use pm_kernel::tool::ToolError;
use semver::Version;

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Neither the configuration nor the build names a release address and a key.
    #[error(
        "nobody has said where releases of pm come from: put `\"update\": {{\"url\": \"https://..\", \"public_key\": \"RW..\"}}` into config.json"
    )]
    NoSource,
    /// Others could have named the release address and the key.
    #[error(
        "the release address or the publisher's key is that of config.json, and others can change {path}, so nothing was downloaded: look at update.url and update.public_key, run pm doctor --fix, and try again"
    )]
    Shared {
        /// What they can change.
        path: PathBuf,
    },
    /// The release address cannot be used.
    #[error(
        "the release address in config.json (update.url) must be an https:// address of a folder, such as https://example.org/pm/"
    )]
    Address,
    /// The key cannot be used.
    #[error(
        "the key in config.json (update.public_key) is no minisign public key: it is the line that begins with RW in the publisher's minisign.pub"
    )]
    Key,
    /// The client could not be made.
    #[error("cannot set up encrypted connections: {0}")]
    Setup(String),
    /// The request did not come to an answer.
    #[error(
        "cannot fetch {file} from {host}: {reason}; try again later, or check the network and update.url"
    )]
    Unreachable {
        /// What was asked for.
        file: String,
        /// Who was asked.
        host: String,
        /// The innermost reason.
        reason: String,
    },
    /// The server answered with something else than the file.
    #[error("{host} answered {status} for {file}: check update.url in config.json")]
    Refused {
        /// What was asked for.
        file: String,
        /// Who was asked.
        host: String,
        /// The status of the answer.
        status: u16,
    },
    /// An answer that is longer than it may be.
    #[error("{file} is longer than the {limit} bytes that it may have")]
    TooLong {
        /// What was asked for.
        file: String,
        /// How long it may be.
        limit: u64,
    },
    /// The description of the release cannot be read.
    #[error(
        "{host} answered with something that describes no release ({reason}); it begins with `{beginning}`: check update.url in config.json"
    )]
    Description {
        /// Who was asked.
        host: String,
        /// What is wrong with it.
        reason: String,
        /// Its first characters, safe to print.
        beginning: String,
    },
    /// There is no program for this machine.
    #[error("release {version} has no programs for {target}: build it from source on this machine")]
    NoTarget {
        /// The release.
        version: Version,
        /// This machine.
        target: String,
    },
    /// What is offered is older than what runs.
    #[error(
        "{offered} is offered, which is older than {present}: pm update --rollback goes back to the program before"
    )]
    Older {
        /// The release.
        offered: Version,
        /// What runs.
        present: Version,
    },
    /// The download is not the file that was announced.
    #[error("{file} arrived as {arrived} bytes instead of {announced}: try again")]
    Short {
        /// The file.
        file: String,
        /// Its length.
        arrived: u64,
        /// What the release says.
        announced: u64,
    },
    /// The download is not the file that was announced.
    #[error("{file} arrived damaged (its SHA-256 is not the announced one): try again")]
    Damaged {
        /// The file.
        file: String,
    },
    /// The signature does not verify.
    #[error("{file} is not signed by the publisher of pm ({reason}): do not install it by hand either")]
    Signature {
        /// The file.
        file: String,
        /// What is wrong with the signature.
        reason: String,
    },
    /// The signature is genuine, and for something else.
    #[error(
        "{file} was signed as `{signed}`, and is offered as `{offered}`: somebody mixed up releases, or tries to pass off another one"
    )]
    Mislabelled {
        /// The file.
        file: String,
        /// What the signature vouches for.
        signed: String,
        /// What it should vouch for.
        offered: String,
    },
    /// The new program does not run.
    #[error("the new {name} does not run on this machine")]
    DoesNotRun {
        /// The program.
        name: &'static str,
        /// What happened.
        source: ToolError,
    },
    /// The new program is another than it should be.
    #[error("the new {name} says that it is `{said}` instead of `{expected}`")]
    SaysOtherwise {
        /// The program.
        name: &'static str,
        /// What it printed.
        said: String,
        /// What it should have printed.
        expected: String,
    },
    /// There is nothing to replace.
    #[error("{} is not there, so there is nothing to update: pm install installs pm", path.display())]
    NotInstalled {
        /// The program.
        path: PathBuf,
    },
    /// There is nothing to go back to.
    #[error("{} is not there, so there is no program before this one to go back to", path.display())]
    NoOld {
        /// The program.
        path: PathBuf,
    },
    /// What there is to go back to is not of one version.
    #[error(
        "{} is version {old}, and version {wanted} is gone back to, so nothing was changed: pm update installs the newest \
         release",
        path.display()
    )]
    OldDiffers {
        /// The program.
        path: PathBuf,
        /// Its version.
        old: String,
        /// The one that all programs would have to be of.
        wanted: String,
    },
    /// Somebody else is at it.
    #[error("another update is at work in {}, so nothing was changed: wait until it has ended", folder.display())]
    Busy {
        /// Where the programs are.
        folder: PathBuf,
    },
    /// The disk is too full.
    #[error("{} has {free} bytes left, and the update takes {needed}: make room and try again", folder.display())]
    NoSpace {
        /// Where the programs are.
        folder: PathBuf,
        /// What is left.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// A file could not be written, renamed, or read.
    #[error("cannot {deed} {}", path.display())]
    File {
        /// What was tried.
        deed: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
