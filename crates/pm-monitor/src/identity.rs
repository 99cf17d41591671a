//! What this machine is called in messages: its name, or, where it has none of its own, a public address.

use std::fs::read_to_string;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The name that messages carry. Nobody outside is asked for it.
pub fn name() -> String {
    let name = read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if is_of_its_own(name) {
        return name.to_owned();
    }
    address().map_or_else(|| name.to_owned(), |address| address.to_string())
}

/// Names that half of all machines have say nothing.
fn is_of_its_own(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    !matches!(first, "" | "localhost" | "(none)")
}

/// The machine's best address: a public one before a private one, the default route's before another, IPv4 before IPv6.
fn address() -> Option<IpAddr> {
    /// Addresses that belong to documentation, and to nobody.
    const OUTSIDE: [IpAddr; 2] =
        [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    let routed: Vec<IpAddr> = OUTSIDE.into_iter().filter_map(source_towards).collect();
    let own = local_ipv4(&read_to_string("/proc/net/fib_trie").unwrap_or_default());
    let all = routed.iter().copied().chain(own.into_iter().map(IpAddr::V4));
    let candidates: Vec<IpAddr> =
        all.filter(|address| !address.is_loopback() && !address.is_unspecified()).collect();
    let best = candidates.iter().copied().find(|&address| is_public(address));
    best.or_else(|| candidates.first().copied())
}

/// From which address the kernel would write there. Connecting a datagram socket sends nothing.
fn source_towards(outside: IpAddr) -> Option<IpAddr> {
    const DISCARD: u16 = 9;
    let any: IpAddr =
        if outside.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(outside, DISCARD)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// The machine's own addresses in `/proc/net/fib_trie`: those before a `host LOCAL`.
fn local_ipv4(trie: &str) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("host LOCAL")
            && let Some(address) = last
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // 100.64.0.0/10 is what providers put many customers behind (RFC 6598).
            let [first, second, ..] = address.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                || address.is_unspecified()
                || shared)
        }
        // 2000::/3 is all that is given out.
        IpAddr::V6(address) => address.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_half_of_all_machines_have_is_none() {
        for name in ["", "localhost", "localhost.localdomain", "(none)"] {
            assert!(!is_of_its_own(name), "{name}");
        }
        assert!(is_of_its_own("HK-Node1") && is_of_its_own("localhost-7"));
    }

    #[test]
    fn the_kernels_table_tells_the_machines_addresses() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        |-- 10.0.0.5\n           /32 host LOCAL\n        |-- 10.0.0.255\n           /32 link BROADCAST\nLocal:\n        |-- 203.0.114.7\n           /32 host LOCAL\n        |-- 10.0.0.5\n           /32 host LOCAL\n";
        assert_eq!(local_ipv4(trie), [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(203, 0, 114, 7)]);
        assert!(local_ipv4("nonsense").is_empty());
    }

    #[test]
    fn private_addresses_are_not_public() {
        let public = |address: &str| is_public(address.parse().unwrap());
        assert!(public("1.2.3.4") && public("100.128.0.1") && public("2a01:4f8::1"));
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "fe80::1",
            "fd00::1",
            "::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }
}
