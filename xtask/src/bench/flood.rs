//! The sender: small datagrams over loopback, so that each passes `output` and `input`, in slices on demand.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::median;

/// Sockets that take turns, spread over the ports of the table, so that a lookup does not always find the same entry.
const FLOWS: u16 = 64;
/// Payload of a datagram.
const PAYLOAD: [u8; 64] = [0; 64];
/// One turn.
const SLICE: Duration = Duration::from_millis(40);

/// Answers each line on standard input with a slice: the nanoseconds that a packet took.
pub(super) fn serve(first: u16, ports: u16) -> Result<()> {
    let sockets: Vec<UdpSocket> = (0..FLOWS).map(|flow| socket(flow, first, ports)).collect::<Result<_>>()?;
    // Fills the receive buffers: from then on each packet is treated alike.
    slice(&sockets)?;
    for line in stdin().lock().lines() {
        line?;
        println!("{}", slice(&sockets)?);
        stdout().flush()?;
    }
    Ok(())
}

/// A socket that sends to itself, from a metered port to the same metered port.
fn socket(flow: u16, first: u16, ports: u16) -> Result<UdpSocket> {
    let step = u32::from(flow) * u32::from(ports) / u32::from(FLOWS);
    let port = first + u16::try_from(step)?;
    // Many flows share a port when there are few ports: then the address tells them apart.
    let address = Ipv4Addr::new(127, 0, 0, u8::try_from(flow + 1)?);
    let socket = UdpSocket::bind((address, port)).with_context(|| format!("cannot bind {address}:{port}"))?;
    socket.connect((address, port))?;
    Ok(socket)
}

/// One turn. The median of its batches leaves those aside in which somebody else had the processor.
fn slice(sockets: &[UdpSocket]) -> Result<u64> {
    let (mut batches, start) = (Vec::new(), Instant::now());
    while start.elapsed() < SLICE {
        let batch = Instant::now();
        for socket in sockets {
            socket.send(&PAYLOAD)?;
        }
        batches.push(u64::try_from(batch.elapsed().as_nanos())?);
    }
    Ok(median(batches) / u64::from(FLOWS))
}
