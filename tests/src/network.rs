//! The small networks that the tests run in: a host with a client, and a host that forwards to a container.

use std::fmt::Display;

use crate::namespace::Namespace;

/// The interface of the host that faces the client, and of the client that faces the host.
pub const OUTSIDE: &str = "eth0";
/// The interface of the host that faces the container, in a [`Relay`].
pub const INSIDE: &str = "docker0";

/// Whether this kernel has the queue by which pm tells the flows of a port apart. It stays on the namespace's loopback.
#[track_caller]
pub fn has_fq_codel(namespace: &Namespace) -> bool {
    namespace.try_run(&["tc", "qdisc", "add", "dev", "lo", "root", "fq_codel"]).code == Some(0)
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address of the host on the side of the client.
    pub fn host(self) -> &'static str {
        match self {
            Self::V4 => "10.77.0.1",
            Self::V6 => "fd77::1",
        }
    }

    /// The address of the client.
    pub fn client(self) -> &'static str {
        match self {
            Self::V4 => "10.77.0.2",
            Self::V6 => "fd77::2",
        }
    }

    /// The address of the container.
    pub fn container(self) -> &'static str {
        match self {
            Self::V4 => "10.78.0.2",
            Self::V6 => "fd78::2",
        }
    }

    /// Bytes of an IP header without options.
    pub fn header(self) -> u64 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }

    /// The word by which nft knows the family.
    pub fn nft(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// A host, where pm runs, and one client at the other end of a cable.
#[derive(Debug)]
pub struct Pair {
    /// The machine that pm meters.
    pub host: Namespace,
    /// Everybody else.
    pub client: Namespace,
}

impl Pair {
    /// Two namespaces and a cable; the host's default route leads to the client.
    #[track_caller]
    pub fn new() -> Self {
        let (host, client) = (Namespace::new("host"), Namespace::new("client"));
        cable(&host, OUTSIDE, &client, OUTSIDE);
        address(&host, OUTSIDE, &[Family::V4.host(), Family::V6.host()]);
        address(&client, OUTSIDE, &[Family::V4.client(), Family::V6.client()]);
        route(&host, [Family::V4.client(), Family::V6.client()]);
        Self { host, client }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

/// A host that forwards: a port of it leads to port 80 of a container behind it, as a published port of Docker does.
#[derive(Debug)]
pub struct Relay {
    /// The machine that pm meters.
    pub host: Namespace,
    /// Somebody on the outside.
    pub client: Namespace,
    /// The machine behind the host.
    pub container: Namespace,
}

impl Relay {
    /// Three namespaces in a row; the host forwards, translates `published`, a port or `first-last`, to port 80 of the
    /// container, and hides the container's own connections behind its address.
    #[track_caller]
    pub fn new(published: impl Display) -> Self {
        let Pair { host, client } = Pair::new();
        let container = Namespace::new("container");
        cable(&host, INSIDE, &container, OUTSIDE);
        address(&host, INSIDE, &["10.78.0.1", "fd78::1"]);
        address(&container, OUTSIDE, &[Family::V4.container(), Family::V6.container()]);
        route(&container, ["10.78.0.1", "fd78::1"]);
        host.sysctl("net/ipv4/ip_forward", "1");
        host.sysctl("net/ipv6/conf/all/forwarding", "1");
        host.nft(&format!(
            "table inet docker {{
               chain prerouting {{ type nat hook prerouting priority dstnat
                 meta l4proto {{ tcp, udp }} iifname {OUTSIDE} th dport {published} dnat ip to 10.78.0.2:80
                 meta l4proto {{ tcp, udp }} iifname {OUTSIDE} th dport {published} dnat ip6 to [fd78::2]:80
               }}
               chain postrouting {{ type nat hook postrouting priority srcnat
                 iifname {INSIDE} oifname {OUTSIDE} masquerade
               }}
             }}"
        ));
        Self { host, client, container }
    }
}

#[track_caller]
fn cable(here: &Namespace, here_name: &str, there: &Namespace, there_name: &str) {
    let far = there.id();
    here.run(&["ip", "link", "add", here_name, "type", "veth", "peer", "name", there_name, "netns", &far]);
    here.run(&["ip", "link", "set", here_name, "up"]);
    there.run(&["ip", "link", "set", there_name, "up"]);
}

#[track_caller]
fn address(namespace: &Namespace, interface: &str, addresses: &[&str]) {
    for address in addresses {
        let (length, flags): (u8, &[&str]) = if address.contains(':') { (64, &["nodad"]) } else { (24, &[]) };
        let address = format!("{address}/{length}");
        namespace.run(&[&["ip", "address", "add", &address, "dev", interface], flags].concat());
    }
}

#[track_caller]
fn route(namespace: &Namespace, gateways: [&str; 2]) {
    for gateway in gateways {
        namespace.run(&["ip", "route", "add", "default", "via", gateway]);
    }
}
