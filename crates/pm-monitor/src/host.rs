//! What has to be known about the machine: its default route, whether it forwards, which ports are its own.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use pm_core::desired::Host;
use pm_core::port::PortRange;
use pm_kernel::file::told;

/// Reads it from the network namespace that this process is in.
pub fn read() -> Host {
    let text = |path: &str| told(path).unwrap_or_default();
    let on = |path: &str| text(path).trim() == "1";
    Host {
        default_interface: default_ipv4(&text("/proc/net/route"))
            .or_else(|| default_ipv6(&text("/proc/net/ipv6_route"))),
        forwards: on("/proc/sys/net/ipv4/ip_forward") || on("/proc/sys/net/ipv6/conf/all/forwarding"),
    }
}

/// Whether there is a network interface of this name.
pub fn has_interface(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('/')
        && name != "."
        && name != ".."
        && Path::new("/sys/class/net").join(name).exists()
        || listed(&told("/proc/net/dev").unwrap_or_default(), name)
}

/// `/sys` may show another namespace than the one that this process is in; `/proc/net/dev` never does.
fn listed(dev: &str, name: &str) -> bool {
    dev.lines().filter_map(|line| line.split_once(':')).any(|(device, _)| device.trim() == name)
}

/// Why metering a port collects more than its own traffic: the machine's own outgoing connections leave from it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The port.
    pub port: PortRange,
    /// The machine's range of outgoing ports.
    pub range: RangeInclusive<u16>,
}

impl fmt::Display for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, range } = self;
        write!(
            f,
            "port {port} lies in this machine's range of outgoing ports ({}-{}), so connections of its own that happen to leave from there are counted too; keep it free with: sysctl -w net.ipv4.ip_local_reserved_ports={port}",
            range.start(),
            range.end()
        )
    }
}

/// Whether connections of the machine itself may leave from a port.
pub fn outgoing(port: PortRange) -> Option<Outgoing> {
    let text = told("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let reserved = told("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let ephemeral = ephemeral(&text)?;
    let inside = port.numbers().any(|number| ephemeral.contains(&number) && !is_reserved(&reserved, number));
    inside.then_some(Outgoing { port, range: ephemeral })
}

fn ephemeral(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

fn is_reserved(reserved: &str, number: u16) -> bool {
    reserved.trim().split(',').any(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&number))
    })
}

const RTF_UP: u32 = 1;
const RTF_REJECT: u32 = 0x200;

/// The device of the IPv4 default route with the lowest metric, from `/proc/net/route`.
fn default_ipv4(table: &str) -> Option<String> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(fields.get(3)?, 16).ok()?;
        let is_default = *fields.get(1)? == "00000000" && *fields.get(7)? == "00000000";
        let usable = is_default && flags & RTF_UP != 0 && flags & RTF_REJECT == 0;
        usable.then_some(())?;
        Some((fields.get(6)?.parse::<u32>().ok()?, (*fields.first()?).to_owned()))
    });
    routes.min_by_key(|&(metric, _)| metric).map(|(_, device)| device)
}

/// The device of the IPv6 default route with the lowest metric, from `/proc/net/ipv6_route`.
fn default_ipv6(table: &str) -> Option<String> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(fields.get(8)?, 16).ok()?;
        let is_default = fields.first()?.bytes().all(|byte| byte == b'0') && *fields.get(1)? == "00";
        let device = *fields.get(9)?;
        let usable = is_default && flags & RTF_UP != 0 && flags & RTF_REJECT == 0 && device != "lo";
        usable.then_some(())?;
        Some((u32::from_str_radix(fields.get(5)?, 16).ok()?, device.to_owned()))
    });
    routes.min_by_key(|&(metric, _)| metric).map(|(_, device)| device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_names_the_interface() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(default_ipv4(table).as_deref(), Some("eth0"));
        assert_eq!(default_ipv4(""), None);
        assert_eq!(default_ipv4("header\nshort line\n"), None);
    }

    #[test]
    fn a_machine_with_ipv6_alone_has_an_interface_too() {
        let zero = "0".repeat(32);
        let table = format!(
            "{zero} 00 {zero} 00 fe80{}1 00000400 00000001 00000000 00000003     eth1\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n",
            "0".repeat(27)
        );
        assert_eq!(default_ipv6(&table).as_deref(), Some("eth1"));
    }

    #[test]
    fn reserved_ports_are_not_outgoing_ports() {
        assert_eq!(ephemeral("32768\t60999\n"), Some(32768..=60999));
        assert!(is_reserved("40000,50000-50010\n", 50005));
        assert!(!is_reserved("40000,50000-50010\n", 50011));
        assert!(!is_reserved("\n", 1));
    }

    #[test]
    fn interfaces_are_found_by_their_whole_name() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 2\n  eth0: 1 2\n";
        assert!(listed(dev, "eth0") && !listed(dev, "eth") && !listed(dev, ""));
    }
}
