//! How the kernel's traffic control writes things, read and written alike: numbers of `linux/rtnetlink.h` and
//! `linux/pkt_sched.h`.

use crate::handle::Handle;

/// `RTM_NEWQDISC`, `RTM_DELQDISC`, `RTM_GETQDISC`, `RTM_NEWTCLASS`, `RTM_DELTCLASS` and `RTM_GETTCLASS`.
pub(crate) const QDISC: u16 = 36;
pub(crate) const DELETE_QDISC: u16 = 37;
pub(crate) const GET_QDISC: u16 = 38;
pub(crate) const CLASS: u16 = 40;
pub(crate) const DELETE_CLASS: u16 = 41;
pub(crate) const GET_CLASS: u16 = 42;

/// `struct tcmsg`: family and padding, interface, handle, parent, info.
pub(crate) const TRAFFIC_HEADER: usize = 20;
/// `TCA_KIND` and `TCA_OPTIONS`.
pub(crate) const KIND: u16 = 1;
pub(crate) const OPTIONS: u16 = 2;

/// `TCA_HTB_PARMS`: `struct tc_htb_opt`, which is two `struct tc_ratespec`, then buffer, cbuffer, quantum, level, prio.
pub(crate) const HTB_PARAMETERS: u16 = 1;
/// `TCA_HTB_INIT`: `struct tc_htb_glob`, which is version, `rate2quantum`, default class, debug, direct packets.
pub(crate) const HTB_INIT: u16 = 2;
/// `TCA_HTB_DIRECT_QLEN`.
pub(crate) const HTB_DIRECT_PACKETS: u16 = 5;
pub(crate) const HTB_RATE64: u16 = 6;
pub(crate) const HTB_CEIL64: u16 = 7;

/// `TCA_TBF_PARMS`: `struct tc_tbf_qopt`, which is two `struct tc_ratespec`, then limit, buffer, mtu. The last is the
/// bucket of a peak rate. Without one the kernel keeps it and tells it, but makes no use of it: it is our note of the
/// largest frame, which the kernel does not tell.
pub(crate) const TBF_PARAMETERS: u16 = 1;
pub(crate) const TBF_RATE64: u16 = 4;
/// `TCA_TBF_BURST`, in bytes.
pub(crate) const TBF_BURST: u16 = 6;

/// `TCA_FQ_CODEL_FLOWS`.
pub(crate) const FQ_CODEL_FLOWS: u16 = 5;

/// The kernel counts time in ticks of 64 nanoseconds (`PSCHED_SHIFT`), the same on every machine.
pub(crate) const TICK_NANOSECONDS: u64 = 64;

/// A `struct tcmsg`.
pub(crate) fn traffic_header(interface: u32, handle: Handle, parent: Handle) -> [u8; TRAFFIC_HEADER] {
    let mut header = [0; TRAFFIC_HEADER];
    header[4..8].copy_from_slice(&interface.to_ne_bytes());
    header[8..12].copy_from_slice(&handle.0.to_ne_bytes());
    header[12..16].copy_from_slice(&parent.0.to_ne_bytes());
    header
}
