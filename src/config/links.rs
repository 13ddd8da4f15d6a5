//! Variables that Kubernetes puts into each pod for a Service, and Docker for a link to a container: for one whose name
//! begins with `heliostat`, or like another server's variables, they look like settings. Such a set is recognised by what is always in it; a name alone proves
//! nothing, since it may be one of ours with a slip of the pen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// The names of those among these variables that such sets consist of.
pub(super) fn of_services<'v>(variables: &BTreeMap<&'v str, &'v str>) -> BTreeSet<&'v str> {
    let services = variables.keys().filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let services: Vec<_> = services.filter(|service| is_service(variables, service)).collect();
    let links = variables.keys().filter_map(|name| name.strip_suffix("_NAME"));
    let links: Vec<_> = links.filter(|link| is_link(variables, link)).collect();
    let made = variables.iter().filter(|(name, value)| {
        let rest = |of: &str| name.strip_prefix(of).and_then(|rest| rest.strip_prefix('_'));
        services.iter().any(|service| rest(service).is_some_and(|rest| is_of_service(rest, value)))
            || links.iter().any(|link| rest(link).is_some_and(|rest| is_of_link(rest, value)))
    });
    made.map(|(name, _)| *name).collect()
}

/// Whether Kubernetes made variables for a Service of this name: it never makes one of these without the other.
fn is_service(variables: &BTreeMap<&str, &str>, name: &str) -> bool {
    let has = |tail: &str, is: fn(&str) -> bool| {
        variables.get(format!("{name}_{tail}").as_str()).is_some_and(|value| is(value))
    };
    has("SERVICE_HOST", is_ip) && has("SERVICE_PORT", is_port)
}

/// Whether Docker made variables for a link of this name: `/this-container/name`, and an address if it exposes a port.
fn is_link(variables: &BTreeMap<&str, &str>, name: &str) -> bool {
    let container = variables.get(format!("{name}_NAME").as_str());
    let containers = container.and_then(|value| value.strip_prefix('/')?.split_once('/'));
    containers.is_some_and(|(this, other)| !this.is_empty() && !other.is_empty() && !other.contains('/'))
}

/// What Kubernetes makes for a Service, after its name.
fn is_of_service(rest: &str, value: &str) -> bool {
    match rest {
        "SERVICE_HOST" => is_ip(value),
        "SERVICE_PORT" => is_port(value),
        _ if rest.starts_with("SERVICE_PORT_") => is_port(value),
        _ => is_of_port(rest, value),
    }
}

/// What Docker makes for a link, after its name.
fn is_of_link(rest: &str, value: &str) -> bool {
    rest == "NAME"
        || rest.strip_prefix("ENV_").is_some_and(|name| !name.is_empty())
        || is_of_port(rest, value)
}

/// What both make of ports: `PORT`, and `PORT_6001_TCP` with more behind it.
fn is_of_port(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let [_, number, protocol, of_it @ ..] = words.as_slice() else { return rest == "PORT" && is_url(value) };
    let is_known = words[0] == "PORT" && is_port(number) && PROTOCOLS.contains(protocol);
    is_known
        && match of_it {
            [] | ["START" | "END"] => is_url(value),
            ["PROTO"] => value.eq_ignore_ascii_case(protocol),
            ["PORT"] | ["PORT", "START" | "END"] => is_port(value),
            ["ADDR"] => is_ip(value),
            _ => false,
        }
}

fn is_ip(value: &str) -> bool {
    value.parse::<IpAddr>().is_ok()
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

/// `tcp://10.0.0.1:6001`
pub(super) fn is_url(value: &str) -> bool {
    let parts = value.split_once("://");
    parts.is_some_and(|(scheme, address)| {
        PROTOCOLS.contains(&scheme.to_uppercase().as_str()) && address.parse::<SocketAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made<'v>(variables: &[(&'v str, &'v str)]) -> Vec<&'v str> {
        of_services(&variables.iter().copied().collect()).into_iter().collect()
    }

    const SERVICE: [(&str, &str); 7] = [
        ("HELIOSTAT_PORT", "tcp://10.0.0.1:6001"),
        ("HELIOSTAT_PORT_6001_TCP", "tcp://10.0.0.1:6001"),
        ("HELIOSTAT_PORT_6001_TCP_ADDR", "10.0.0.1"),
        ("HELIOSTAT_PORT_6001_TCP_PORT", "6001"),
        ("HELIOSTAT_PORT_6001_TCP_PROTO", "tcp"),
        ("HELIOSTAT_SERVICE_HOST", "10.0.0.1"),
        ("HELIOSTAT_SERVICE_PORT", "6001"),
    ];

    #[test]
    fn what_kubernetes_makes_is_recognised() {
        assert_eq!(made(&SERVICE), SERVICE.map(|(name, _)| name));
        let named = [
            ("HELIOSTAT_SERVER_PORT", "tcp://[fd00::1]:80"),
            ("HELIOSTAT_SERVER_PORT_53_UDP", "udp://[fd00::1]:53"),
            ("HELIOSTAT_SERVER_SERVICE_HOST", "fd00::1"),
            ("HELIOSTAT_SERVER_SERVICE_PORT", "80"),
            ("HELIOSTAT_SERVER_SERVICE_PORT_MY_HTTP", "80"),
        ];
        assert_eq!(made(&named), named.map(|(name, _)| name));
    }

    #[test]
    fn what_docker_makes_is_recognised() {
        let link = [
            ("HELIOSTAT_ENV_PATH", "/bin"),
            ("HELIOSTAT_NAME", "/web/heliostat"),
            ("HELIOSTAT_PORT", "tcp://172.17.0.2:6001"),
            ("HELIOSTAT_PORT_6001_TCP_ADDR", "172.17.0.2"),
        ];
        assert_eq!(made(&link), link.map(|(name, _)| name));
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for (name, value) in [
            ("HELIOSTAT_SERVICE_HOST", "10.0.0.1"),
            ("HELIOSTAT_SERVER_SERVICE_HOST", "0.0.0.0"),
            ("HELIOSTAT_SERVER_PORT", "tcp://10.0.0.1:6001"),
            ("HELIOSTAT_PORT", "tcp://10.0.0.1:6001"),
            ("HELIOSTAT_ENV_PATH", "/bin"),
            ("HELIOSTAT_APP_ENV_SECRET", "s"),
            ("HELIOSTAT_NAME", "/heliostat"),
        ] {
            assert!(made(&[(name, value)]).is_empty(), "{name}");
        }
        // Beside a Service, too, ours are ours.
        for (name, value) in [
            ("HELIOSTAT_SERVER_PORT", "6001"),
            ("HELIOSTAT_ENV_PATH", "/bin"),
            ("HELIOSTAT_PORT_6001_TCP_ADRR", "10.0.0.1"),
            ("HELIOSTAT_SERVER_HOST", "10.0.0.1"),
            ("HELIOSTAT_SERVICE_HOSTS", "10.0.0.1"),
        ] {
            let all = [SERVICE.as_slice(), &[(name, value)]].concat();
            assert_eq!(made(&all).len(), SERVICE.len(), "{name}");
        }
    }
}
