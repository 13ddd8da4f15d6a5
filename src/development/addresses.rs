//! The addresses by which other machines of the network, such as a phone, can reach a broker that listens on every one.

use std::net::IpAddr;

/// Addresses that are shown at most: one of them is typed into a phone.
const MAX_ADDRESSES: usize = 4;

/// Names of interfaces that lead to containers and virtual machines of this machine, not to other ones, begin so.
const VIRTUAL_INTERFACES: [&str; 9] =
    ["docker", "br-", "veth", "virbr", "podman", "cni", "lxc", "vboxnet", "vmnet"];

/// Where others reach what listens on `host`: on a loopback address nobody does; on every address, by those that this
/// machine has at present, likely ones first. Empty, too, where the system does not tell.
pub(crate) fn reachable(host: IpAddr) -> Vec<IpAddr> {
    match host {
        _ if host.is_loopback() => Vec::new(),
        _ if host.is_unspecified() => {
            let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
            likely_reachable(
                host,
                interfaces.iter().map(|interface| (interface.name.as_str(), interface.ip())),
            )
        }
        _ => vec![host],
    }
}

/// Of the addresses of these interfaces the few that a neighbour may use: those of private networks before others, and
/// IPv6 only where nothing else will do.
fn likely_reachable<'a>(host: IpAddr, interfaces: impl Iterator<Item = (&'a str, IpAddr)>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = interfaces
        .filter(|(name, _)| !VIRTUAL_INTERFACES.iter().any(|inward| name.starts_with(inward)))
        .map(|(_, address)| address)
        .filter(|address| !address.is_loopback() && !is_link_local(*address))
        .filter(|address| host.is_ipv6() || address.is_ipv4())
        .collect();
    if found.iter().any(IpAddr::is_ipv4) {
        found.retain(IpAddr::is_ipv4);
    }
    found.sort_by_key(|address| match address {
        IpAddr::V4(address) => !address.is_private(),
        IpAddr::V6(address) => !address.is_unique_local(),
    });
    found.truncate(MAX_ADDRESSES);
    found
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_get_the_addresses_that_lead_here() {
        let all = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("tun0", "203.0.113.7"),
            ("wlan0", "192.168.1.20"),
            ("wlan0", "fe80::1"),
            ("wlan0", "2001:db8::20"),
            ("eth1", "169.254.3.4"),
            ("eth0", "10.0.0.5"),
        ];
        let of = |host: &str, interfaces: &[(&'static str, &str)]| {
            let interfaces = interfaces.iter().map(|(name, address)| (*name, address.parse().unwrap()));
            let found = likely_reachable(host.parse().unwrap(), interfaces);
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("0.0.0.0", &all), ["192.168.1.20", "10.0.0.5", "203.0.113.7"]);
        assert_eq!(of("::", &all), ["192.168.1.20", "10.0.0.5", "203.0.113.7"]);
        assert_eq!(of("::", &all[5..7]), ["2001:db8::20"]);
        assert!(of("0.0.0.0", &all[5..7]).is_empty());
        let many = [("eth0", "10.0.0.1"), ("eth0", "10.0.0.2"), ("eth0", "10.0.0.3"), ("eth0", "10.0.0.4")];
        let more: Vec<_> = many.into_iter().chain([("eth0", "10.0.0.5")]).collect();
        assert_eq!(of("0.0.0.0", &more).len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_named_address_is_the_one_and_loopback_ones_lead_nowhere() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(reachable(address("192.0.2.1")), [address("192.0.2.1")]);
        assert!(reachable(address("127.0.0.1")).is_empty() && reachable(address("::1")).is_empty());
    }
}
