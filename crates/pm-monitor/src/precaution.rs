//! What either program does before anything else.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};

/// Whatever this process makes, others cannot write to, even if it was started without a mask; and when it crashes, its
/// memory, in which there are tokens, is not written to disk.
pub fn take() {
    umask(umask(Mode::WGRP | Mode::WOTH) | Mode::WGRP | Mode::WOTH);
    // Where not even that is allowed, there is nothing to be done about it.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
