//! The services of this machine that a port can be metered for: what listens, and what containers publish.
//!
//! `/proc` is read rather than a library asked: its four tables are one format, a text that a test can hold, and who
//! owns a socket is worth knowing only for the sockets that listen.

mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pm_core::port::{Port, PortRange};
use pm_kernel::process;
use pm_kernel::tool::Tool;
use tokio::time::timeout;

/// What answers on a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The port, or the ports that are published as a range.
    pub port: PortRange,
    /// The process as the kernel calls it; none when its owner cannot be seen.
    pub process: Option<String>,
    /// Where the packets go on to, when the port is that of a container.
    pub leads_to: Option<String>,
    /// Over which protocols.
    pub protocols: BTreeSet<Protocol>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|protocol| protocol.name() == name)
    }

    /// The state of a socket that waits for anybody, in the kernel's tables.
    const fn waiting(self) -> &'static str {
        match self {
            // TCP_LISTEN
            Self::Tcp => "0A",
            // TCP_CLOSE: a UDP socket without a peer
            Self::Udp => "07",
        }
    }
}

/// The tables of `/proc/net`. IPv4 and IPv6 are told apart by their files alone.
const TABLES: [(&str, Protocol); 4] =
    [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)];

/// The process by which Docker holds a published port open.
const DOCKER_PROXY: &str = "docker-proxy";

/// A person waits for the answer, and can always type a port.
const PATIENCE: Duration = Duration::from_secs(3);

/// All services, in the order of their ports. What cannot be looked at is left out: the list is an offer.
pub async fn services() -> Vec<Service> {
    let mut found = listening(Path::new("/proc"));
    found.extend(forwarded().await);
    grouped(found)
}

/// The sockets that wait for anybody, and who owns them.
fn listening(proc: &Path) -> Vec<Service> {
    let mut sockets = BTreeSet::new();
    for (table, protocol) in TABLES {
        let text = fs::read_to_string(proc.join("net").join(table)).unwrap_or_default();
        for (port, inode) in waiting(&text, protocol) {
            sockets.insert((inode, port, protocol));
        }
    }
    let owners = owners(proc, sockets.iter().map(|&(inode, ..)| inode).collect());
    let service = |&(inode, port, protocol): &(u64, Port, Protocol)| {
        let owner = owners.get(&inode);
        Service {
            port: port.into(),
            process: owner.map(|owner| owner.name.clone()),
            leads_to: owner.and_then(|owner| owner.leads_to.clone()),
            protocols: [protocol].into(),
        }
    };
    sockets.iter().map(service).collect()
}

/// Port and inode of each socket in a table that waits for anybody.
fn waiting(table: &str, protocol: Protocol) -> Vec<(Port, u64)> {
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = fields.get(1)?.rsplit_once(':')?;
        let port = Port::new(u16::from_str_radix(port, 16).ok()?)?;
        let waits = *fields.get(3)? == protocol.waiting();
        waits.then_some((port, fields.get(9)?.parse().ok()?))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

struct Owner {
    name: String,
    leads_to: Option<String>,
}

/// Which process has which of these sockets; of several, the eldest.
fn owners(proc: &Path, mut wanted: BTreeSet<u64>) -> BTreeMap<u64, Owner> {
    let mut owners = BTreeMap::new();
    for process in processes(proc) {
        if wanted.is_empty() {
            break;
        }
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { continue };
        let links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let inodes = links.filter_map(|link| inode(&link)).filter(|inode| wanted.contains(inode));
        for inode in inodes.collect::<BTreeSet<u64>>() {
            wanted.remove(&inode);
            owners.insert(inode, owner(&process));
        }
    }
    owners
}

/// The folders of the processes, the eldest first.
fn processes(proc: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| proc.join(number.to_string())).collect()
}

fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn owner(process: &Path) -> Owner {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    // Whoever takes that name can write anything on his command line, and make it one that nobody ever reads to its end.
    let leads_to = if name == DOCKER_PROXY && process::is_trusted(process) {
        proxied(&fs::read(process.join("cmdline")).unwrap_or_default())
    } else {
        None
    };
    Owner { name, leads_to }
}

/// Where a docker-proxy passes packets on to, from its command line.
fn proxied(command: &[u8]) -> Option<String> {
    let command = String::from_utf8_lossy(command);
    let words: Vec<&str> = command.split('\0').collect();
    let after = |option: &str| {
        words.iter().position(|word| *word == option).and_then(|place| words.get(place + 1)).copied()
    };
    Some(endpoint(after("-container-ip")?, after("-container-port")?))
}

/// An address and a port as one text.
fn endpoint(address: &str, port: &str) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Ports that rules send elsewhere, such as those of containers without a docker-proxy.
async fn forwarded() -> Vec<Service> {
    let nft = Tool::new("nft", "nftables");
    let tools = ["iptables-save", "ip6tables-save"].map(|name| Tool::new(name, "iptables"));
    // Without a table's name, they list what stands and load nothing.
    let asked = async {
        tokio::join!(nft.run(&["-j", "list", "ruleset"], ""), tools[0].run(&[], ""), tools[1].run(&[], ""))
    };
    let Ok((ruleset, ipv4, ipv6)) = timeout(PATIENCE, asked).await else { return Vec::new() };
    let saved = [ipv4, ipv6].into_iter().flatten();
    let mut services: Vec<Service> = saved.flat_map(|listing| published::by_iptables(&listing)).collect();
    services.extend(published::by_nft(&ruleset.unwrap_or_default()));
    services
}

/// One service per port and process, its protocols together. A rule says nothing new about a port that a process holds
/// open for it, nor about one that another rule told more of.
fn grouped(found: Vec<Service>) -> Vec<Service> {
    let mut groups: BTreeMap<(PortRange, Option<String>), Service> = BTreeMap::new();
    for service in found {
        let held = |process: &str| groups.contains_key(&(service.port, Some(process.to_owned())));
        let by_rule = service.process.as_deref().is_some_and(|name| published::PUBLISHERS.contains(&name));
        let told = service.process.as_deref() == Some(published::DNAT)
            && published::PUBLISHERS.iter().any(|name| *name != published::DNAT && held(name));
        if by_rule && (held(DOCKER_PROXY) || told) {
            continue;
        }
        let key = (service.port, service.process.clone());
        let group = groups.entry(key).or_insert_with(|| service.clone());
        group.leads_to = group.leads_to.take().or(service.leads_to);
        group.protocols.extend(service.protocols);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(port: u16, state: &str, inode: u64) -> String {
        format!(
            "   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
        )
    }

    fn line6(port: u16, state: &str, inode: u64) -> String {
        line(port, state, inode).replace("00000000:", "00000000000000000000000000000000:")
    }

    fn process(proc: &Path, id: u32, name: &str, command: &str, sockets: &[u64]) {
        let folder = proc.join(id.to_string());
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::write(folder.join("comm"), format!("{name}\n")).unwrap();
        fs::write(folder.join("cmdline"), command).unwrap();
        fs::write(folder.join("status"), "Uid:\t0\t0\t0\t0\n").unwrap();
        for (number, socket) in sockets.iter().enumerate() {
            symlink(format!("socket:[{socket}]"), folder.join("fd").join(number.to_string())).unwrap();
        }
    }

    fn shown(services: &[Service]) -> Vec<String> {
        let one = |service: &Service| {
            let protocols: Vec<&str> = service.protocols.iter().map(|protocol| protocol.name()).collect();
            let process = service.process.as_deref().unwrap_or("?");
            let leads_to = service.leads_to.as_ref().map_or(String::new(), |to| format!(" > {to}"));
            format!("{}/{} {process}{leads_to}", service.port, protocols.join("+"))
        };
        services.iter().map(one).collect()
    }

    #[test]
    fn what_listens_is_grouped_by_port_and_process() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path();
        fs::create_dir(proc.join("net")).unwrap();
        let table = |name: &str, lines: &[String]| {
            fs::write(proc.join("net").join(name), HEAD.to_owned() + &lines.concat()).unwrap();
        };
        table("tcp", &[line(443, "0A", 1), line(443, "01", 2), line(8080, "0A", 7), line(0, "0A", 9)]);
        table("tcp6", &[line6(443, "0A", 3), line6(22, "0A", 4)]);
        table("udp", &[line(443, "07", 5), line(53, "01", 6)]);
        process(proc, 900, "nginx", "nginx: worker", &[1, 3]);
        process(proc, 30, "nginx", "nginx: master", &[1, 2, 3, 5]);
        let command = "docker-proxy\0-proto\0tcp\0-host-ip\x000.0.0.0\0-host-port\x008080\0-container-ip\x00172.17.0.2\0-container-port\x0080\0";
        process(proc, 41, "docker-proxy", command, &[7]);
        let services = grouped(listening(proc));
        assert_eq!(
            shown(&services),
            ["22/tcp ?", "443/tcp+udp nginx", "8080/tcp docker-proxy > 172.17.0.2:80"],
            "connections, connected sockets and port 0 are no services"
        );
        fs::write(proc.join("41/status"), "Uid:\t1000\t1000\t1000\t1000\n").unwrap();
        assert_eq!(
            shown(&listening(proc)).last().unwrap(),
            "8080/tcp docker-proxy",
            "anybody can take its name"
        );
    }

    #[test]
    fn a_rule_is_not_offered_beside_the_process_that_holds_its_port() {
        let service = |port: &str, process: &str, to: Option<&str>| Service {
            port: port.parse().unwrap(),
            process: Some(process.into()),
            leads_to: to.map(str::to_owned),
            protocols: [Protocol::Tcp].into(),
        };
        let services = grouped(vec![
            service("8080", "docker-proxy", Some("172.17.0.2:80")),
            service("8080", "docker", Some("172.17.0.2:80")),
            service("9000-9010", "podman", Some("10.88.0.2:9000")),
            service("9000-9010", "DNAT", None),
        ]);
        assert_eq!(
            shown(&services),
            ["8080/tcp docker-proxy > 172.17.0.2:80", "9000-9010/tcp podman > 10.88.0.2:9000"]
        );
    }

    #[test]
    fn a_machine_that_cannot_be_looked_at_offers_nothing() {
        assert_eq!(listening(Path::new("/nonexistent")), Vec::new());
        assert_eq!(waiting("header\nshort\n   0: zz:zz 0 0A\n", Protocol::Tcp), Vec::new());
        assert_eq!(proxied(b"docker-proxy\0-container-ip"), None);
    }
}
