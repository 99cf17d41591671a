//! Ports that rules send elsewhere: what Docker, Podman and DNAT rules publish, read from listings of other people's
//! rules. What is not understood is left out.

use std::collections::BTreeSet;

use pm_core::port::{Port, PortRange};
use serde_json::Value;

use super::{Protocol, Service, endpoint};

/// The name for rules that nobody in particular seems to have made.
pub(super) const DNAT: &str = "DNAT";
/// Who publishes ports by rules.
pub(super) const PUBLISHERS: [&str; 3] = ["docker", "podman", DNAT];

/// Whose rules a chain holds.
fn publisher(chain: &str) -> &'static str {
    let chain = chain.to_ascii_uppercase();
    if chain.starts_with("DOCKER") {
        "docker"
    } else if chain.starts_with("NETAVARK") || chain.starts_with("CNI-") || chain.starts_with("NV_") {
        "podman"
    } else {
        DNAT
    }
}

fn service(port: PortRange, chain: &str, leads_to: Option<String>, protocols: BTreeSet<Protocol>) -> Service {
    Service { port, process: Some(publisher(chain).to_owned()), leads_to, protocols }
}

/// From what `iptables-save` or `ip6tables-save` lists.
pub(super) fn by_iptables(listing: &str) -> Vec<Service> {
    listing.lines().filter_map(rule).flatten().collect()
}

fn rule(line: &str) -> Option<Vec<Service>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |option: &str| {
        words.iter().position(|word| *word == option).and_then(|place| words.get(place + 1)).copied()
    };
    let chain = after("-A")?;
    if after("-j")? != "DNAT" {
        return None;
    }
    let leads_to = after("--to-destination").map(str::to_owned);
    let protocols = after("-p").and_then(Protocol::named).map_or_else(both, |protocol| [protocol].into());
    let ports = after("--dport").or_else(|| after("--dports"))?;
    let ranges = ports.split(',').filter_map(|range| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        span(first.parse().ok()?, last.parse().ok()?)
    });
    Some(ranges.map(|range| service(range, chain, leads_to.clone(), protocols.clone())).collect())
}

fn both() -> BTreeSet<Protocol> {
    [Protocol::Tcp, Protocol::Udp].into()
}

fn span(first: u16, last: u16) -> Option<PortRange> {
    PortRange::new(Port::new(first)?, Port::new(last)?)
}

/// From what `nft -j list ruleset` lists.
pub(super) fn by_nft(listing: &str) -> Vec<Service> {
    let listing: Value = serde_json::from_str(listing).unwrap_or_default();
    let objects = listing["nftables"].as_array().into_iter().flatten();
    objects.filter_map(|object| nft_rule(object.get("rule")?)).flatten().collect()
}

fn nft_rule(rule: &Value) -> Option<Vec<Service>> {
    let expressions = rule["expr"].as_array()?;
    let target = expressions.iter().find(|expression| {
        // What `iptables` wrote is not always translated.
        expression.get("dnat").is_some() || expression["xt"]["name"] == "DNAT"
    })?;
    let leads_to = target["dnat"]["addr"].as_str().map(|address| match target["dnat"]["port"].as_u64() {
        Some(port) => endpoint(address, &port.to_string()),
        None => address.to_owned(),
    });
    let (ports, protocols) = expressions.iter().find_map(destination)?;
    let chain = rule["chain"].as_str().unwrap_or_default();
    Some(ports.into_iter().map(|port| service(port, chain, leads_to.clone(), protocols.clone())).collect())
}

/// The ports that an expression compares the destination port with.
fn destination(expression: &Value) -> Option<(Vec<PortRange>, BTreeSet<Protocol>)> {
    let comparison = expression.get("match")?;
    let payload = &comparison["left"]["payload"];
    if payload["field"] != "dport" || comparison["op"] != "==" {
        return None;
    }
    let protocols = payload["protocol"]
        .as_str()
        .and_then(Protocol::named)
        .map_or_else(both, |protocol| [protocol].into());
    let right = &comparison["right"];
    let ports = match right["set"].as_array() {
        Some(items) => items.iter().filter_map(ports).collect(),
        None => ports(right).into_iter().collect(),
    };
    Some((ports, protocols))
}

fn ports(value: &Value) -> Option<PortRange> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    match number(value) {
        Some(port) => span(port, port),
        None => span(number(&value["range"][0])?, number(&value["range"][1])?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(services: &[Service]) -> Vec<String> {
        let one = |service: &Service| {
            let (process, to) = (service.process.as_deref(), service.leads_to.as_deref());
            format!("{} {} {} {}", service.port, service.protocols.len(), process.unwrap(), to.unwrap_or("-"))
        };
        services.iter().map(one).collect()
    }

    #[test]
    fn docker_publishes_by_iptables() {
        let listing = "\
*nat
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A PREROUTING -p udp -m multiport --dports 5000,6000:6010 -j DNAT --to-destination 10.0.0.2
-A NETAVARK-DN-1D8721804F16F -p tcp -m tcp --dport 9090 -j DNAT --to-destination [fd00::2]:90
-A PREROUTING -p tcp -m tcp --dport 99999 -j DNAT --to-destination 10.0.0.2
-A PREROUTING -d 10.0.0.9/32 -j DNAT --to-destination 10.0.0.2
COMMIT
";
        assert_eq!(
            shown(&by_iptables(listing)),
            [
                "8080 1 docker 172.17.0.2:80",
                "5000 1 DNAT 10.0.0.2",
                "6000-6010 1 DNAT 10.0.0.2",
                "9090 1 podman [fd00::2]:90"
            ]
        );
    }

    #[test]
    fn dnat_rules_of_nftables_are_read_in_every_form() {
        let listing = r#"{"nftables": [{"metainfo": {"json_schema_version": 1}}, {"table": {"family": "ip", "name": "nat"}},
            {"rule": {"chain": "prerouting", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8443}},
                {"counter": {"packets": 0, "bytes": 0}}, {"dnat": {"addr": "10.0.0.5", "port": 443}}]}},
            {"rule": {"chain": "prerouting", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}},
                    "right": {"set": [53, {"range": [6000, 6010]}]}}}, {"dnat": {"family": "ip", "addr": "10.0.0.6"}}]}},
            {"rule": {"chain": "DOCKER", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 51820}},
                {"xt": {"type": "target", "name": "DNAT"}}]}},
            {"rule": {"chain": "input", "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}},
                {"accept": null}]}}]}"#;
        assert_eq!(
            shown(&by_nft(listing)),
            [
                "8443 1 DNAT 10.0.0.5:443",
                "53 2 DNAT 10.0.0.6",
                "6000-6010 2 DNAT 10.0.0.6",
                "51820 1 docker -"
            ]
        );
    }

    #[test]
    fn what_is_no_listing_publishes_nothing() {
        for text in
            ["", "{", "null", "[]", r#"{"nftables": [{"rule": {"expr": 5}}, 7]}"#, "-A", "-A X -j DNAT"]
        {
            assert_eq!(by_nft(text), Vec::new());
            assert_eq!(by_iptables(text), Vec::new());
        }
    }
}
