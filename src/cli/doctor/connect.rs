//! A connection is made to each address of the server, as clients that know one after the other would.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::check::Check;
use super::finding::{CheckOutcome, Finding};
use super::place::CheckedPlace;
use super::stream::try_address;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "connect",
    tries: "a connection to each address",
    needs: &["names"],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(connect(visit)),
};

/// How long one address may take.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);

/// Addresses that are tried; a name with more has them for the sake of load, and the rest are of the same kind.
const MOST_ADDRESSES: usize = 8;

/// A connection that takes longer was tried again by the kernel, most often after a second.
const SLOW: Duration = Duration::from_millis(900);

/// What came of an address.
type Tried = (SocketAddr, Result<Duration, io::Error>);

async fn connect(visit: &mut Visit) -> CheckOutcome {
    let mut findings = Vec::new();
    let mut holds = true;
    for mut place in visit.places() {
        let addresses = place.addresses.iter().take(MOST_ADDRESSES);
        let tasks: Vec<_> = addresses
            .map(|address| SocketAddr::new(*address, place.port()))
            .map(|address| {
                tokio::spawn(async move { (address, try_address(address, ADDRESS_TIMEOUT).await) })
            })
            .collect();
        let mut tried: Vec<Tried> = Vec::new();
        for task in tasks {
            tried.extend(task.await);
        }
        place.answering = tried.iter().find(|(_, came)| came.is_ok()).map(|(address, _)| *address);
        holds &= place.answering.is_some();
        visit.remember(&place);
        findings.extend(judge(&place, &tried));
    }
    CheckOutcome { findings, holds }
}

/// A finding for each address: a fault where no other answers.
fn judge(place: &CheckedPlace, tried: &[Tried]) -> Vec<Finding> {
    let any_answers = tried.iter().any(|(_, came)| came.is_ok());
    tried.iter().map(|(address, came)| judge_address(place, *address, came, any_answers)).collect()
}

fn judge_address(
    place: &CheckedPlace,
    address: SocketAddr,
    came: &Result<Duration, io::Error>,
    another_answers: bool,
) -> Finding {
    let attempt = format!("a connection to {address}");
    let error = match came {
        Ok(took) if *took >= SLOW => {
            let came = format!("it took {} ms", took.as_millis());
            let change = "the first packet was lost, or the server's queue of connections is full: see its backlog \
                          (server.backlog, net.core.somaxconn) and how many connections it has";
            return Finding::warning(attempt, came, change);
        }
        Ok(took) => return Finding::ok(attempt, format!("it is there after {} ms", took.as_millis())),
        Err(error) => error,
    };
    let told = in_words(error);
    let is_six = address.is_ipv6();
    if another_answers && is_six && is_without_route(error) {
        let told = format!("this machine has no way to IPv6 ({told})");
        return Finding::note(attempt, told, "run this on a machine with IPv6, too, if clients have it");
    }
    if another_answers {
        return Finding::warning(attempt, told, one_of_several(place, address.ip(), error));
    }
    Finding::fault(attempt, told, nobody_there(place, error))
}

/// What to do about an address that does not answer while another does.
fn one_of_several(place: &CheckedPlace, address: IpAddr, error: &io::Error) -> String {
    let host = place.host();
    if host == "localhost" {
        return format!(
            "localhost is also {address}, which many clients try first, and some alone: have the server listen on \
             localhost (both loopback addresses), or use 127.0.0.1"
        );
    }
    let waits = if error.kind() == ErrorKind::ConnectionRefused {
        "clients that do not try another address fail"
    } else {
        "browsers lose some 300 ms, and clients that try one address after the other wait for a minute or more"
    };
    if address.is_ipv6() {
        format!(
            "{waits}: have the server and the firewall take IPv6 (listen on [::]), or remove the AAAA record of {host}"
        )
    } else {
        format!("{waits}: see why nothing answers at {address}, or take it out of the A records of {host}")
    }
}

/// What to do about a server of which nothing answers.
fn nobody_there(place: &CheckedPlace, error: &io::Error) -> String {
    let port = place.port();
    match error.kind() {
        ErrorKind::ConnectionRefused => format!(
            "nothing listens on port {port}: see whether it is the right port, the server runs, and it listens on more than \
             127.0.0.1 (server.host; within containers also that the port is published)"
        ),
        ErrorKind::TimedOut => format!(
            "packets get lost on the way: open port {port} in the firewall and in the security groups of the cloud"
        ),
        _ => "see whether this machine has a way there: ip route, VPN, network of the container".to_owned(),
    }
}

fn is_without_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable
    )
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::TimedOut => format!("nothing came within {} s", ADDRESS_TIMEOUT.as_secs()),
        ErrorKind::NetworkUnreachable => "the network cannot be reached".to_owned(),
        ErrorKind::HostUnreachable => "the host cannot be reached".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    fn judged(url: &str, tried: &[(&str, Result<u64, ErrorKind>)]) -> Vec<Finding> {
        let tried: Vec<Tried> = tried
            .iter()
            .map(|(address, came)| {
                let came = (*came).map(Duration::from_millis).map_err(io::Error::from);
                (address.parse().unwrap(), came)
            })
            .collect();
        judge(&CheckedPlace::read(url).unwrap(), &tried)
    }

    #[test]
    fn one_address_that_answers_is_enough_and_the_others_are_told() {
        let four = ("192.0.2.1:443", Ok(7));
        for (kind, mark, word) in [
            (ErrorKind::TimedOut, Mark::Warning, "AAAA record of h"),
            (ErrorKind::ConnectionRefused, Mark::Warning, "listen on [::]"),
            (ErrorKind::NetworkUnreachable, Mark::Note, "IPv6"),
        ] {
            let found = judged("https://h", &[("[2001:db8::1]:443", Err(kind)), four]);
            assert_eq!((found[0].mark, found[1].mark), (mark, Mark::Ok), "{kind:?}");
            assert!(found[0].change.as_ref().unwrap().contains(word), "{:?}", found[0]);
        }
        let local = judged(
            "http://localhost:6001",
            &[("[::1]:6001", Err(ErrorKind::ConnectionRefused)), ("127.0.0.1:6001", Ok(0))],
        );
        assert!(local[0].change.as_ref().unwrap().contains("127.0.0.1"), "{:?}", local[0]);
    }

    #[test]
    fn where_none_answers_it_is_a_fault() {
        for (kind, word) in [
            (ErrorKind::ConnectionRefused, "listens on port 443"),
            (ErrorKind::TimedOut, "firewall"),
            (ErrorKind::NetworkUnreachable, "ip route"),
        ] {
            let found = judged("https://h", &[("192.0.2.1:443", Err(kind))]);
            assert_eq!(found[0].mark, Mark::Fault);
            assert!(found[0].change.as_ref().unwrap().contains(word), "{:?}", found[0]);
        }
        assert_eq!(judged("https://h", &[("192.0.2.1:443", Ok(1100))])[0].mark, Mark::Warning);
    }
}
