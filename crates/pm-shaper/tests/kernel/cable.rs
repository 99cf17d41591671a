//! A cable to another namespace, and traffic over it from programs that anybody has.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::lab::{PORT, shell, until, without};

/// A cable from this namespace to one of its own. Both go when it is dropped.
pub(crate) struct Cable {
    pub(crate) name: String,
    number: u16,
    pub(crate) far: Child,
}

impl Cable {
    pub(crate) fn new(number: u16) -> Self {
        shell(
            "ip link set lo up; for f in all default; do echo 0 > /proc/sys/net/ipv6/conf/$f/accept_dad; done",
        );
        let far = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let name = format!("pm{number}");
        let cable = Self { name, number, far };
        let (name, far) = (&cable.name, cable.far.id());
        // Until the other side has left this namespace, the cable's end would stay here.
        until("a namespace", || fs::read_link(format!("/proc/{far}/ns/net")).ok() != own_namespace());
        shell(&format!(
            "ip link add {name} numtxqueues 2 type veth peer name far netns {far}
             ip addr add 10.9.{number}.1/24 dev {name}; ip addr add fd09:{number}::1/64 dev {name} nodad
             ip link set {name} up
             nsenter --net=/proc/{far}/ns/net sh -ec '
               ip link set lo up; ip link set far up
               ip addr add 10.9.{number}.2/24 dev far; ip addr add fd09:{number}::2/64 dev far nodad
               nft \"table inet quiet {{ chain inward {{ type filter hook input priority 0; udp dport 9 drop; }}; }}\"'"
        ));
        cable
    }

    pub(crate) fn near(&self, family: Family) -> String {
        self.address(family, 1)
    }

    pub(crate) fn address(&self, family: Family, end: u8) -> String {
        match family {
            Family::V4 => format!("10.9.{}.{end}", self.number),
            Family::V6 => format!("fd09:{}::{end}", self.number),
        }
    }

    /// Without what passed: the kernel greets its neighbours over a new cable when it likes.
    pub(crate) fn qdiscs(&self) -> String {
        let shown = shell(&format!("tc qdisc show dev {}", self.name));
        shown.lines().map(|line| without(line, "direct_packets_stat") + "\n").collect()
    }

    /// Without the handle of a leaf, and in order: both are the kernel's affair.
    pub(crate) fn classes(&self) -> Vec<String> {
        let shown = shell(&format!("tc class show dev {} parent 1:", self.name));
        let mut lines: Vec<String> = shown.lines().map(|line| without(line, "leaf")).collect();
        lines.sort();
        lines
    }

    /// Bytes that left through the class, as a cable of copper would carry them: with a header of the link and those of TCP
    /// for each segment, where this cable carries one super-packet.
    pub(crate) fn left(&self) -> u64 {
        let shown = shell(&format!("tc -s class show dev {} classid 1:2766", self.name));
        let sent = shown.lines().find_map(|line| line.trim().strip_prefix("Sent ")).unwrap();
        sent.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Bytes that arrived at the other end, link layer included.
    pub(crate) fn arrived(&self) -> u64 {
        let devices = fs::read_to_string(format!("/proc/{}/net/dev", self.far.id())).unwrap();
        let line = devices.lines().find_map(|line| line.trim().strip_prefix("far:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Lets a flow leave from [`PORT`] that takes as much as it is given.
    pub(crate) fn start(&self, flow: Flow) -> Traffic {
        shell(&format!(
            "nft 'add table inet test; add chain inet test out {{ type filter hook output priority -5; }}
                  flush chain inet test out
                  add rule inet test out meta l4proto {{ tcp, udp }} th sport {PORT} meta priority set 1:2766'"
        ));
        let far = format!("--net=/proc/{}/ns/net", self.far.id());
        let before = self.arrived();
        let mut programs = Vec::new();
        match flow {
            Flow::Tcp(family) => {
                let (address, port) = (self.near(family), PORT.to_string());
                programs.push(quiet("iperf3", &["-s", "-1", "-B", &address, "-p", &port]));
                let listening = format!("ss -Hltn src {} | grep -q .", bracketed(family, &address, &port));
                until("iperf3", || !shell(&format!("{listening} && echo yes || true")).is_empty());
                let client = [&far, "iperf3", "-c", &address, "-p", &port, "-R", "-t", "60"];
                programs.push(quiet("nsenter", &client));
            }
            Flow::Udp(family, size) => {
                let to = bracketed(family, &self.address(family, 2), "9");
                let from = bracketed(family, &self.near(family), &PORT.to_string());
                let to = format!("UDP-SENDTO:{to},bind={from},reuseaddr,sndbuf=200000");
                // Three, so that one that waits for the processor leaves no hole.
                for _ in 0..3 {
                    let size = size.to_string();
                    programs.push(quiet("socat", &["-u", "-b", &size, "OPEN:/dev/zero,rdonly", &to]));
                }
            }
        }
        // Names are resolved and connections made before the flow begins.
        until("traffic", || self.arrived() > before + 5_000);
        Traffic { programs }
    }

    /// What arrives, in thousandths of a rate: a super-packet has one header.
    pub(crate) fn permille(&self, mbps: u64, time: Duration) -> u64 {
        let (start, before) = (Instant::now(), self.arrived());
        std::thread::sleep(time);
        permille(self.arrived() - before, start.elapsed(), mbps)
    }

    /// What leaves, in thousandths of a rate. All of it arrives, but for the headers within super-packets.
    pub(crate) fn permille_left(&self, mbps: u64, time: Duration) -> u64 {
        let (start, before, there) = (Instant::now(), self.left(), self.arrived());
        std::thread::sleep(time);
        let (left, elapsed, arrived) = (self.left() - before, start.elapsed(), self.arrived() - there);
        // Between two looks, a tenth of a second may pass on a busy machine.
        let apart = mbps * 1_000_000 / 8 / 10 + 100_000;
        assert!(arrived <= left + apart, "{left} bytes left, {arrived} arrived");
        assert!(arrived + apart >= left / 100 * 93, "{left} bytes left, {arrived} arrived");
        permille(left, elapsed, mbps)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.name]).status();
        let _ = self.far.kill();
        let _ = self.far.wait();
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A kind of traffic; of datagrams also the size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flow {
    Tcp(Family),
    Udp(Family, u16),
}

/// Programs that end when this is dropped.
pub(crate) struct Traffic {
    pub(crate) programs: Vec<Child>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

pub(crate) fn quiet(program: &str, arguments: &[&str]) -> Child {
    let spawned = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub(crate) fn bracketed(family: Family, address: &str, port: &str) -> String {
    match family {
        Family::V4 => format!("{address}:{port}"),
        Family::V6 => format!("[{address}]:{port}"),
    }
}

pub(crate) fn permille(bytes: u64, time: Duration, mbps: u64) -> u64 {
    let bits = u128::from(bytes) * 8 * 1000;
    u64::try_from(bits / (time.as_micros() * u128::from(mbps))).unwrap()
}

pub(crate) fn own_namespace() -> Option<std::path::PathBuf> {
    fs::read_link("/proc/self/ns/net").ok()
}
