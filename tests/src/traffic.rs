//! Traffic by programs that we did not write: iperf3, socat, dd and bash.

use std::time::Duration;

use serde_json::Value;

use crate::namespace::Namespace;
use crate::process::{Background, Finished, must, run, until};

/// How long traffic of a known amount may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Somebody who listens on a UDP port, IPv4 and IPv6, and throws everything away.
#[track_caller]
pub fn udp_sink(namespace: &Namespace, port: u16) -> Background {
    let address = format!("UDP6-RECV:{port},ipv6only=0,reuseaddr,rcvbuf=4000000");
    let sink = namespace.spawn(&["socat", "-u", "-b", "65536", &address, "OPEN:/dev/null,wronly"]);
    listening(namespace, "-anu", port, &sink);
    sink
}

/// Somebody who answers each datagram with itself, from the port that it came to: a process for each client, so that an
/// answer waits for no start of one.
#[track_caller]
pub fn udp_echo(namespace: &Namespace, port: u16) -> Background {
    let address = format!("UDP4-LISTEN:{port},reuseaddr,fork");
    let echo = namespace.spawn(&["socat", &address, "PIPE"]);
    listening(namespace, "-anu", port, &echo);
    echo
}

/// How long a datagram and its answer from an IPv4 address are under way, so many times; those that get no answer in five
/// seconds are left out.
#[track_caller]
pub fn round_trips(from: &Namespace, to: &str, port: u16, times: u32) -> Vec<Duration> {
    // One character: bash reads a line byte by byte, and the first read of a datagram takes all of it.
    let line = format!(
        "exec 3<> /dev/udp/{to}/{port}
         for ((left={times}; left>0; left-=1)); do
           sent=${{EPOCHREALTIME/./}}; echo hello >&3; read -t 5 -N 1 -u 3 || continue; echo $((${{EPOCHREALTIME/./}} - sent)); sleep 0.05
         done"
    );
    let printed = from.bash(&line);
    printed.lines().filter_map(|line| line.parse().ok()).map(Duration::from_micros).collect()
}

/// Somebody who accepts TCP connections, IPv4 and IPv6, and throws everything away.
#[track_caller]
pub fn tcp_sink(namespace: &Namespace, port: u16) -> Background {
    let address = format!("TCP6-LISTEN:{port},ipv6only=0,reuseaddr,fork");
    let sink = namespace.spawn(&["socat", "-u", "-b", "131072", &address, "OPEN:/dev/null,wronly"]);
    listening(namespace, "-lnt", port, &sink);
    sink
}

/// Somebody who accepts TCP connections, IPv4 and IPv6, and pours zeros into each, `bytes` of them or without end.
#[track_caller]
pub fn tcp_source(namespace: &Namespace, port: u16, bytes: Option<u64>) -> Background {
    let zeros = match bytes {
        Some(bytes) => format!("OPEN:/dev/zero,rdonly,readbytes={bytes}"),
        None => "OPEN:/dev/zero,rdonly".to_owned(),
    };
    let address = format!("TCP6-LISTEN:{port},ipv6only=0,reuseaddr,fork");
    let source = namespace.spawn(&["socat", "-U", "-b", "131072", &address, &zeros]);
    listening(namespace, "-lnt", port, &source);
    source
}

/// Sends `count` datagrams of `size` bytes of payload each.
#[track_caller]
pub fn send_udp(from: &Namespace, to: &str, port: u16, size: u64, count: u64) {
    from.bash(&format!("dd if=/dev/zero bs={size} count={count} status=none > /dev/udp/{to}/{port}"));
}

/// Sends `count` datagrams of `size` bytes of payload each from a source port of our choice.
#[track_caller]
pub fn send_udp_from(from: &Namespace, source: u16, to: &str, port: u16, size: u64, count: u64) {
    let zeros = format!("OPEN:/dev/zero,rdonly,readbytes={}", size * count);
    let address = format!("UDP-SENDTO:{}:{port},sourceport={source},reuseaddr", bracketed(to));
    from.run(&["socat", "-u", "-b", &size.to_string(), &zeros, &address]);
}

/// Starts to send datagrams of 1,200 bytes of payload from one address and port to another, as fast as they are taken and
/// without end. Its socket holds a hundred of them.
#[track_caller]
pub fn flood_udp(from: &Namespace, source: (&str, u16), to: (&str, u16)) -> Background {
    let [source, to] = [source, to].map(|(host, port)| format!("{}:{port}", bracketed(host)));
    let address = format!("UDP-SENDTO:{to},bind={source},sndbuf=200000");
    from.spawn(&["socat", "-u", "-b", "1200", "OPEN:/dev/zero,rdonly", &address])
}

/// Sends `bytes` over one TCP connection and waits until the other side has closed it too.
#[track_caller]
pub fn send_tcp(from: &Namespace, to: &str, port: u16, bytes: u64) -> Finished {
    let zeros = format!("OPEN:/dev/zero,rdonly,readbytes={bytes}");
    let address = format!("TCP:{}:{port}", bracketed(to));
    let mut command = from.command("socat");
    command.args(["-u", "-b", "131072", &zeros, &address]);
    run(command, PATIENCE)
}

/// Takes whatever the other side sends over one TCP connection, and returns how many bytes that were.
#[track_caller]
pub fn fetch_tcp(from: &Namespace, to: &str, port: u16) -> u64 {
    let line = format!("socat -u -b 131072 TCP:{}:{port} - | wc -c", bracketed(to));
    let mut command = from.command("bash");
    command.args(["-c", &line]);
    let counted = run(command, PATIENCE).success().stdout;
    must(counted.trim().parse(), "wc did not print a number")
}

/// Starts to pour zeros into a TCP connection, as fast as it goes and without end.
#[track_caller]
pub fn flood_tcp(from: &Namespace, to: &str, port: u16) -> Background {
    let address = format!("TCP:{}:{port}", bracketed(to));
    from.spawn(&["socat", "-u", "-b", "131072", "OPEN:/dev/zero,rdonly", &address])
}

/// Starts to take from a TCP connection, as fast as it goes and without end.
#[track_caller]
pub fn drain_tcp(from: &Namespace, to: &str, port: u16) -> Background {
    let address = format!("TCP:{}:{port}", bracketed(to));
    from.spawn(&["socat", "-u", "-b", "131072", &address, "OPEN:/dev/null,wronly"])
}

/// An iperf3 server that serves one test after another.
#[track_caller]
pub fn iperf_server(namespace: &Namespace, port: u16) -> Background {
    let server = namespace.spawn(&["iperf3", "--server", "--port", &port.to_string()]);
    listening(namespace, "-lnt", port, &server);
    server
}

/// An iperf3 client in the background.
#[derive(Debug)]
pub struct Iperf {
    client: Background,
}

/// What iperf3 reported.
#[derive(Debug, Clone)]
pub struct IperfReport(Value);

impl Iperf {
    /// Starts a client; `arguments` are iperf3's own, such as `--reverse` or `--time 5` (whole seconds: `0.5` is read as
    /// 0, which is for ever).
    #[track_caller]
    pub fn start(from: &Namespace, to: &str, port: u16, arguments: &str) -> Self {
        let port = port.to_string();
        let mut words = vec!["iperf3", "--client", to, "--port", &port, "--json"];
        words.extend(arguments.split_whitespace());
        Self { client: from.spawn(&words) }
    }

    /// Runs a client to its end.
    #[track_caller]
    pub fn run(from: &Namespace, to: &str, port: u16, arguments: &str) -> IperfReport {
        Self::start(from, to, port, arguments).report()
    }

    /// Waits for the end of the client.
    #[track_caller]
    pub fn report(mut self) -> IperfReport {
        let finished = self.client.wait(PATIENCE).ok_or("it still runs");
        let finished = must(finished, &self.client.line).success();
        IperfReport(must(serde_json::from_str(&finished.stdout), "iperf3 did not print JSON"))
    }
}

impl IperfReport {
    /// Payload bytes that the receiver took.
    pub fn received(&self) -> u64 {
        self.number(&["end", "sum_received", "bytes"])
    }

    /// Datagrams sent, in a test of UDP.
    pub fn datagrams(&self) -> u64 {
        self.number(&["end", "sum", "packets"])
    }

    /// Payload bytes of every interval.
    pub fn intervals(&self) -> Vec<u64> {
        let intervals = self.0["intervals"].as_array().map(Vec::as_slice).unwrap_or_default();
        intervals.iter().filter_map(|interval| interval["sum"]["bytes"].as_u64()).collect()
    }

    fn number(&self, path: &[&str]) -> u64 {
        let value = path.iter().fold(&self.0, |value, key| &value[*key]);
        must(value.as_u64().ok_or("not in iperf3's report"), path.join("."))
    }
}

/// Segments that the kernel of this namespace has sent twice.
#[track_caller]
pub fn retransmissions(namespace: &Namespace) -> u64 {
    let shown = namespace.run(&["nstat", "--ignore", "--zeros", "--noupdate", "TcpRetransSegs"]);
    let number = shown.split_whitespace().skip_while(|word| *word != "TcpRetransSegs").nth(1);
    must(number.and_then(|number| number.parse().ok()).ok_or(shown.clone()), "nstat")
}

/// Waits until somebody listens on the port.
#[track_caller]
fn listening(namespace: &Namespace, sockets: &str, port: u16, who: &Background) {
    let filter = format!("sport = :{port}");
    until(format_args!("a listener on port {port} ({})", who.seen()), Duration::from_secs(10), || {
        (!namespace.run(&["ss", "-H", sockets, &filter]).is_empty()).then_some(())
    });
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}
