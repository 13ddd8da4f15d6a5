//! Whether the broker knows where a client comes from, and that it came over TLS, though a proxy is in between. Only heliostat's
//! admin listener tells what it has made of a connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value as Json;

use super::check::Check;
use super::conversation::{ClientConversation, HeardGreeting, HeardNext, read_greeting};
use super::finding::{CheckOutcome, Finding};
use super::visit::Visit;
use crate::cli::remote::{Remote, path_of};
use crate::cli::told_values::truth_of;

pub(super) const CHECK: Check = Check {
    name: "forwarding",
    tries: "asking the broker where this machine is, and whether it came over TLS",
    needs: &["greeting"],
    within: Duration::from_secs(40),
    run: |visit| Box::pin(compare(visit)),
};

/// What the broker makes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenArrival {
    address: Option<SocketAddr>,
    proxy: Option<String>,
    tls: bool,
}

impl SeenArrival {
    /// `None` if it is told of no connection, as heliostat tells of one.
    fn read(told: &Json) -> Option<Self> {
        let address = match &told["address"] {
            Json::Null if told["socket_id"].is_string() => None,
            address => Some(address.as_str()?.parse().ok()?),
        };
        Some(SeenArrival {
            address,
            proxy: told["proxy"].as_str().map(str::to_owned),
            tls: truth_of(&told["tls"])?,
        })
    }
}

async fn compare(visit: &Visit) -> CheckOutcome {
    let tried = "where the broker takes this machine to be, and whether for one that came over TLS";
    let Some(admin) = &visit.admin else {
        return CheckOutcome::holding(vec![Finding::note(
            tried,
            "it cannot be told from outside: no answer shows it",
            "for heliostat, give --admin and --token of its admin listener",
        )]);
    };
    match seen(visit, admin).await {
        Ok((local, seen)) => {
            CheckOutcome::holding(vec![of_address(local, &seen), of_scheme(visit.sockets.is_tls(), seen.tls)])
        }
        Err(why) => Finding::warning(
            tried,
            why,
            "see whether --admin is the admin listener of the node that the proxy passes this app on to, and --token its token",
        )
        .into(),
    }
}

/// A connection: where it is from as this machine knows it, and what the broker makes of it.
async fn seen(visit: &Visit, admin: &Remote) -> Result<(SocketAddr, SeenArrival), String> {
    let (answer, local) =
        visit.shake_hands_from(&visit.socket_url()).await.map_err(|error| error.to_string())?;
    let socket =
        answer.socket.map_err(|_| format!("{} instead of an upgrade", answer.head.status.as_u16()))?;
    let mut conversation = ClientConversation::over(socket);
    let greeting = greeting(&mut conversation).await?;
    let path = path_of(&["console", "api", "apps", &visit.app.id, "connections"], &[&greeting.socket_id]);
    let told = admin.fetch(&path, &[]).await.map_err(|failure| failure.told)?;
    let seen = SeenArrival::read(&told);
    let seen = seen.ok_or_else(|| format!("nothing that tells where a connection comes from: {told}"))?;
    Ok((local, seen))
}

async fn greeting(conversation: &mut ClientConversation) -> Result<HeardGreeting, String> {
    loop {
        match conversation.hear().await.map_err(|error| error.to_string())? {
            HeardNext::Event(event) => {
                if let Some(greeting) = read_greeting(&event) {
                    return Ok(greeting);
                }
            }
            HeardNext::Ping => {}
            HeardNext::Gibberish(_) | HeardNext::Closed(_) | HeardNext::Ended => {
                return Err("the connection was not greeted".to_owned());
            }
        }
    }
}

/// What has to be done where the broker does not hear, or does not believe, from where a client comes.
const NAME_IT: &str = "have the proxy name the client, and the broker believe it: nginx `proxy_set_header X-Forwarded-For \
    $proxy_add_x_forwarded_for;`, HAProxy `option forwardfor`, Caddy by itself; and the proxy's address in \
    server.trusted_proxies";

fn of_address(local: SocketAddr, seen: &SeenArrival) -> Finding {
    let tried = format!("where the broker takes this machine to be, which connects from {}", local.ip());
    let Some(address) = seen.address else {
        return Finding::fault(tried, "nowhere: the proxy comes by a Unix socket and names nobody", NAME_IT);
    };
    let (ip, is_own) = (address.ip(), address.ip() == local.ip());
    match &seen.proxy {
        Some(proxy) if is_own => Finding::ok(tried, format!("at {ip}, by the word of the proxy at {proxy}")),
        None if address == local => Finding::ok(tried, format!("at {ip}: no proxy is in between")),
        Some(proxy) if !is_public(ip) && is_elsewhere(local, ip) => Finding::warning(
            tried,
            format!("at {ip}, by the word of the proxy at {proxy}"),
            format!("if {ip} is one more proxy, put it into server.trusted_proxies as well"),
        ),
        Some(proxy) => Finding::ok(
            tried,
            format!(
                "at {ip}, by the word of the proxy at {proxy}; that should be this machine's address seen from there"
            ),
        ),
        None if is_public(ip) && !is_public(local.ip()) => Finding::note(
            tried,
            format!("at {ip}, without a proxy"),
            "that is right if it is the address of this machine's network on the internet; if it is a proxy's, have that name \
             the client, and put it into server.trusted_proxies",
        ),
        None if ip != local.ip() && !ip.is_loopback() => Finding::warning(
            tried,
            format!("at {address}, without a proxy's word"),
            format!(
                "if that is a proxy, {NAME_IT}; if it is the gateway of Docker, or another that gives what this machine sends an \
                 address of its own (NAT), examine from outside"
            ),
        ),
        None => Finding::fault(
            tried,
            format!("at {address}, which is the proxy: all its clients count as one"),
            NAME_IT,
        ),
    }
}

/// Whether a machine with this address of its own can hardly have that one, which is of no public network.
fn is_elsewhere(local: SocketAddr, seen: IpAddr) -> bool {
    is_public(local.ip()) || local.ip().is_loopback() != seen.is_loopback()
}

/// Whether the address is one of the internet.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_loopback() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

fn of_scheme(is_tls: bool, seen: bool) -> Finding {
    let tried = "whether the broker takes this machine for one that came over TLS";
    match (is_tls, seen) {
        (true, true) => Finding::ok(tried, "it does"),
        (false, false) => Finding::ok(tried, "it does not, as it should"),
        (true, false) => Finding::fault(
            tried,
            "it does not, though it did",
            "have the proxy say so, and the broker believe it: nginx `proxy_set_header X-Forwarded-Proto $scheme;`, HAProxy \
             `http-request set-header X-Forwarded-Proto https`, Caddy by itself; and the proxy's address in \
             server.trusted_proxies",
        ),
        (false, true) => Finding::fault(
            tried,
            "it does, though it did not",
            "have the proxy tell the scheme that the client came by, and set the header whatever the client says: nginx \
             `proxy_set_header X-Forwarded-Proto $scheme;`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Mark;
    use super::*;

    fn judged(local: &str, address: Option<&str>, proxy: Option<&str>) -> Finding {
        let told = json!({ "socket_id": "1.2", "address": address, "proxy": proxy, "tls": true });
        of_address(local.parse().unwrap(), &SeenArrival::read(&told).unwrap())
    }

    #[test]
    fn what_tells_of_no_connection_is_none_that_came_by_a_socket_of_unix() {
        for told in [json!({}), json!({ "address": 7, "tls": true }), json!({ "address": "1.2.3.4:5" })] {
            assert_eq!(SeenArrival::read(&told), None, "{told}");
        }
    }

    #[test]
    fn a_client_is_where_it_is_and_not_where_the_proxy_is() {
        const HERE: &str = "192.168.1.5:4711";
        for (address, proxy, mark) in [
            (Some("192.168.1.5:0"), Some("127.0.0.1"), Mark::Ok),
            (Some("192.168.1.5:4711"), None, Mark::Ok),
            (Some("198.51.100.7:0"), Some("10.0.0.1"), Mark::Ok),
            (Some("192.168.1.1:0"), Some("10.0.0.1"), Mark::Ok),
            (Some("127.0.0.1:0"), Some("10.0.0.1"), Mark::Warning),
            (Some("198.51.100.7:99"), None, Mark::Note),
            (Some("192.168.1.5:99"), None, Mark::Fault),
            (Some("10.0.0.1:99"), None, Mark::Warning),
            (Some("127.0.0.1:99"), None, Mark::Fault),
            (None, None, Mark::Fault),
        ] {
            let finding = judged(HERE, address, proxy);
            assert_eq!(finding.mark, mark, "{finding:?}");
        }
        assert!(judged(HERE, Some("10.0.0.1:99"), None).change.unwrap().contains("trusted_proxies"));
        assert_eq!(judged("203.0.113.5:1", Some("10.0.0.9:0"), Some("10.0.0.1")).mark, Mark::Warning);
    }

    #[test]
    fn what_came_over_tls_is_taken_for_that() {
        for (is_tls, seen, mark) in [
            (true, true, Mark::Ok),
            (false, false, Mark::Ok),
            (true, false, Mark::Fault),
            (false, true, Mark::Fault),
        ] {
            assert_eq!(of_scheme(is_tls, seen).mark, mark);
        }
        assert!(of_scheme(true, false).change.unwrap().contains("X-Forwarded-Proto"));
    }
}
