//! What holds of whatever the kernel or nft may say, for those who try it out with bytes that nobody would send.

use std::collections::BTreeSet;

use pm_core::backend::{QuotaRule, Ruleset};
use pm_core::port::PortRange;
use pm_core::quota::Mode;
use pm_core::units::Bytes;

use crate::layout::Layout;
use crate::render;
use crate::script::Script;
use crate::standing::Standing;

pub use crate::dump::property::dump;
pub use crate::json::property::nft_json;

/// What is written over something strange names nothing that nft would take for a command.
pub(crate) fn is_written_over(standing: &Standing) {
    let ports: BTreeSet<PortRange> =
        ["80", "443", "20000-20100"].iter().filter_map(|port| port.parse().ok()).collect();
    let quota = |port: &PortRange| QuotaRule { over: Bytes(1000), mode: Mode::Both, members: [*port].into() };
    let quotas = ports.iter().map(|port| (*port, quota(port))).collect();
    let layout = Layout::of(&Ruleset { metered: ports, quotas, ..Ruleset::default() });
    let usual = render::text(&Script::anew(&layout).whole());
    let usual: BTreeSet<&str> = usual.lines().collect();
    let script = render::text(&Script::over(&layout, standing).whole());
    for line in script.lines().filter(|line| !usual.contains(line)) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_ {},:".contains(&byte);
        let begins_well = ["add ", "delete ", "flush "].iter().any(|verb| line.starts_with(verb));
        assert!(begins_well && line.bytes().all(is_plain), "{line:?}");
    }
}
