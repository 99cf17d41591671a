//! The sender: packets of one kind over one way, in slices on demand, from a process that is also the receiver, so that
//! nobody has to be woken and each packet is on its way alone.

use std::io::{BufRead as _, Read as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pm_tests::network::Family;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};

use super::inside::elsewhere;
use super::median;

/// Flows that take turns, spread over the ports of the table, so that a lookup does not always find the same entry.
const FLOWS: u16 = 64;
/// Payload of a small datagram.
const SMALL: [u8; 64] = [0; 64];
/// What fills a frame of 1,500 bytes with TCP: 20 bytes of IP, 20 of TCP, 12 of its timestamp.
const FULL: usize = 1_448;
/// One turn lasts at least this long.
const SLICE: Duration = Duration::from_millis(40);
/// Whoever is sent to behind the cable or the relay listens here.
const PUBLISHED: u16 = 80;

/// What is sent, and where along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Small datagrams over loopback: each passes `output` and `input`.
    LocalUdp,
    /// Full segments over loopback.
    LocalTcp,
    /// Small datagrams through a host that translates addresses: each passes `forward`.
    ForwardUdp,
    /// Full segments through such a host.
    ForwardTcp,
    /// Small datagrams out over a cable: each passes `output` and whatever queue the interface has.
    Wire,
}

impl Way {
    /// Those on which tables are compared.
    pub(super) const TABLES: [Self; 4] = [Self::LocalUdp, Self::LocalTcp, Self::ForwardUdp, Self::ForwardTcp];

    /// The word that a sender is started with.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::LocalUdp => "local-udp",
            Self::LocalTcp => "local-tcp",
            Self::ForwardUdp => "forward-udp",
            Self::ForwardTcp => "forward-tcp",
            Self::Wire => "wire",
        }
    }

    pub(super) fn is_forwarded(self) -> bool {
        matches!(self, Self::ForwardUdp | Self::ForwardTcp)
    }
}

/// Answers each line on standard input with a slice: the nanoseconds that a packet took. `far` is the file of the network
/// namespace at the other end, for ways that have one.
pub(super) fn serve(way: &str, first: u16, ports: u16, far: Option<&str>) -> Result<()> {
    let known = Way::TABLES.into_iter().chain([Way::Wire]);
    let way = known.into_iter().find(|known| known.word() == way).context("no such way")?;
    let far = || far.map(Path::new).context("nobody at the other end");
    let ports = (0..FLOWS).map(|flow| port(flow, first, ports)).collect::<Result<Vec<_>>>()?;
    let relayed = || ports.iter().map(|port| address(Family::V4.host(), *port));
    let mut flows = match way {
        Way::LocalUdp => {
            (1..).zip(&ports).map(|(flow, port)| to_itself(flow, *port)).collect::<Result<_>>()?
        }
        Way::LocalTcp => (1..).zip(&ports).map(|(flow, port)| looped(flow, *port)).collect::<Result<_>>()?,
        Way::ForwardUdp => {
            let targets = relayed().map(|target| Ok((0, target?))).collect::<Result<Vec<_>>>()?;
            datagrams(&targets, far()?)?
        }
        Way::ForwardTcp => connections(&relayed().collect::<Result<Vec<_>>>()?, far()?)?,
        Way::Wire => {
            let target = address(Family::V4.client(), PUBLISHED)?;
            datagrams(&ports.iter().map(|port| (*port, target)).collect::<Vec<_>>(), far()?)?
        }
    };
    // Fills the receive buffers and opens the windows: from then on each packet is treated alike.
    slice(&mut flows)?;
    for line in stdin().lock().lines() {
        line?;
        println!("{}", slice(&mut flows)?);
        stdout().flush()?;
    }
    Ok(())
}

/// The port of a flow. Many share one when there are few.
fn port(flow: u16, first: u16, ports: u16) -> Result<u16> {
    let step = u32::from(flow) * u32::from(ports) / u32::from(FLOWS);
    Ok(first + u16::try_from(step)?)
}

fn address(host: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(host.parse()?, port))
}

/// One packet after the other.
enum Flow {
    /// Nobody reads: once the receiver's buffer is full, each datagram is dropped at its door.
    Datagrams(UdpSocket),
    /// The receiver takes each segment at once.
    Segments { near: TcpStream, far: TcpStream },
}

impl Flow {
    fn packet(&mut self, room: &mut [u8; FULL]) -> Result<()> {
        match self {
            Self::Datagrams(socket) => {
                socket.send(&SMALL)?;
            }
            Self::Segments { near, far } => {
                near.write_all(room)?;
                far.read_exact(room)?;
            }
        }
        Ok(())
    }
}

/// A socket that sends to itself, from a metered port to the same metered port. The address tells flows apart that share
/// one.
fn to_itself(flow: u8, port: u16) -> Result<Flow> {
    let address = SocketAddr::new(Ipv4Addr::new(127, 0, 0, flow).into(), port);
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    socket.connect(address)?;
    Ok(Flow::Datagrams(socket))
}

/// A connection over loopback with a metered port at either end.
fn looped(flow: u8, port: u16) -> Result<Flow> {
    let [from, to] = [1, 0].map(|net| SocketAddr::new(Ipv4Addr::new(127, 0, net, flow).into(), port));
    let listener = TcpListener::bind(to).with_context(|| format!("cannot listen on {to}"))?;
    let near = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&near, true)?;
    bind(&near, &from)?;
    connect(&near, &to)?;
    segments(TcpStream::from(near), &listener)
}

/// Datagrams from these ports to where nobody reads.
fn datagrams(targets: &[(u16, SocketAddr)], far: &Path) -> Result<Vec<Flow>> {
    let sink = elsewhere(far, || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PUBLISHED))?))?;
    // It has to stand as long as anything is sent to it, which is as long as this process.
    std::mem::forget(sink);
    let flow = |(port, to): &(u16, SocketAddr)| {
        let socket = reusable(*port)?;
        socket.connect(to)?;
        Ok(Flow::Datagrams(socket))
    };
    targets.iter().map(flow).collect()
}

/// A socket for datagrams from a port that others send from too; 0 is any.
fn reusable(port: u16) -> Result<UdpSocket> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?;
    Ok(UdpSocket::from(socket))
}

/// Connections into a container.
fn connections(targets: &[SocketAddr], container: &Path) -> Result<Vec<Flow>> {
    let listener = elsewhere(container, || Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PUBLISHED))?))?;
    targets.iter().map(|to| segments(TcpStream::connect(to)?, &listener)).collect()
}

fn segments(near: TcpStream, listener: &TcpListener) -> Result<Flow> {
    let (far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    Ok(Flow::Segments { near, far })
}

/// One turn. The median of its batches leaves those aside in which somebody else had the processor.
fn slice(flows: &mut [Flow]) -> Result<u64> {
    let (mut batches, mut room, start) = (Vec::new(), [0; FULL], Instant::now());
    while start.elapsed() < SLICE {
        let batch = Instant::now();
        for flow in &mut *flows {
            flow.packet(&mut room)?;
        }
        batches.push(u64::try_from(batch.elapsed().as_nanos())?);
    }
    ensure!(!batches.is_empty(), "no batch in a slice");
    Ok(median(batches) / u64::from(FLOWS))
}
