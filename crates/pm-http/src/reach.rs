//! Where nothing of pm's has anything to look for: the services that a cloud offers to whoever asks from inside of a
//! machine stand at addresses of the machine's own link, and hand out its keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Those of such services that stand elsewhere: Alibaba's, and Amazon's by IPv6.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];
/// The well-known prefix of RFC 6052, behind which an IPv4 address stands.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Whether the host of this address is one that no request goes to: link-local, or known to be a cloud's. This machine
/// and its own network are not: a server of one's own may stand there.
pub fn is_out_of_bounds(url: &Url) -> bool {
    // Whatever way a number is written, a URL has it in the usual one.
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().is_ok_and(is_forbidden)
}

fn is_forbidden(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(address) => inner(address).map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || METADATA.contains(&address)
}

/// The IPv4 address that is meant by this one.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let [.., high, low] = segments;
    if segments.starts_with(&NAT64) {
        return Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    }
    address.to_ipv4()
}

/// The machine's own resolver, whose answers are looked at: a name can lead anywhere.
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(allowed(all, name.as_str())?.into_iter()) as Addrs)
        })
    }
}

fn allowed(all: impl Iterator<Item = SocketAddr>, name: &str) -> Result<Vec<SocketAddr>, OutOfBounds> {
    let (forbidden, allowed): (Vec<SocketAddr>, Vec<SocketAddr>) =
        all.partition(|address| is_forbidden(address.ip()));
    if allowed.is_empty() && !forbidden.is_empty() {
        return Err(OutOfBounds(name.to_owned()));
    }
    Ok(allowed)
}

/// The name leads to where no request goes.
#[derive(Debug)]
struct OutOfBounds(String);

impl std::error::Error for OutOfBounds {}

impl std::fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} leads to a link-local address, where nothing is sent", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_out_of_bounds_however_they_are_written() {
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9.0xfe.169.254",
            "169.254.1",
            "[fe80::1]",
            "[febf::1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:1]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[fd00:ec2::254]",
            "100.100.100.200",
        ] {
            assert!(is_out_of_bounds(&Url::parse(&format!("https://u:p@{host}:8081/x")).unwrap()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "[::1]",
            "10.0.0.1",
            "192.168.1.1",
            "169.253.255.255",
            "100.64.0.1",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
            "149.154.167.220",
            "api.telegram.org",
            "169.254.169.254.example",
        ] {
            assert!(!is_out_of_bounds(&Url::parse(&format!("http://{host}/")).unwrap()), "{host}");
        }
    }

    #[test]
    fn a_name_leads_only_where_requests_may_go() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
        };
        let of = |texts: &[&str]| allowed(addresses(texts).into_iter(), "metadata.example");
        assert_eq!(of(&["169.254.169.254", "10.0.0.1", "fe80::1"]).unwrap(), addresses(&["10.0.0.1"]));
        assert_eq!(of(&[]).unwrap(), []);
        assert_eq!(
            of(&["169.254.169.254", "::ffff:169.254.169.254"]).unwrap_err().to_string(),
            "metadata.example leads to a link-local address, where nothing is sent"
        );
    }
}
