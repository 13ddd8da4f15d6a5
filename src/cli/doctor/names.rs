//! The name of the server is looked up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;

use super::check::Check;
use super::finding::{CheckOutcome, Finding, Mark};
use super::place::CheckedPlace;
use super::visit::Visit;

pub(super) const CHECK: Check = Check {
    name: "names",
    tries: "looking up the name of the server",
    needs: &[],
    within: Duration::from_secs(20),
    run: |visit| Box::pin(look_up(visit)),
};

/// How long one name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(8);

/// What takes longer holds clients up: they ask again whenever they connect.
const SLOW: Duration = Duration::from_secs(1);

async fn look_up(visit: &mut Visit) -> CheckOutcome {
    let mut findings = Vec::new();
    for mut place in visit.places() {
        let looked_up = addresses_of(&place).await;
        if let Ok((addresses, _)) = &looked_up {
            place.addresses.clone_from(addresses);
            visit.remember(&place);
        }
        findings.push(judge(&place, looked_up));
    }
    // Without the first nothing is there to connect to.
    let holds = findings.first().is_some_and(|first| first.mark != Mark::Fault);
    CheckOutcome { findings, holds }
}

/// The addresses that a name has, and how long it took to ask; or what was in the way, in words.
type LookedUp = Result<(Vec<IpAddr>, Duration), String>;

async fn addresses_of(place: &CheckedPlace) -> LookedUp {
    let begun = tokio::time::Instant::now();
    match tokio::time::timeout(LOOKUP_TIMEOUT, lookup_host((place.host(), place.port()))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address: SocketAddr| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Ok((addresses, begun.elapsed()))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing came within {} s", LOOKUP_TIMEOUT.as_secs())),
    }
}

fn judge(place: &CheckedPlace, looked_up: LookedUp) -> Finding {
    let host = place.host();
    let tried = format!("looking up {host}");
    if place.literal().is_some() {
        return Finding::ok(tried, "it is an address, there is nothing to look up");
    }
    match looked_up {
        Err(error) => Finding::fault(
            tried,
            error,
            format!(
                "see whether {host} is spelt right and has an A or AAAA record, and which name servers this machine asks \
                 (/etc/resolv.conf); within containers, names are those of services"
            ),
        ),
        Ok((addresses, _)) if addresses.is_empty() => {
            Finding::fault(tried, "it has no address", format!("give {host} an A or AAAA record"))
        }
        Ok((addresses, took)) => {
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let came = format!("{}, in {} ms", shown.join(", "), took.as_millis());
            if took >= SLOW {
                let change = "see why the name servers of this machine are slow: clients look the name up whenever they connect";
                return Finding::warning(tried, came, change);
            }
            Finding::ok(tried, came)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_what_came() {
        let name = CheckedPlace::read("https://example.com").unwrap();
        let two: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let found = judge(&name, Ok((two.clone(), Duration::from_millis(7))));
        assert_eq!(found, Finding::ok("looking up example.com", "192.0.2.1, 2001:db8::1, in 7 ms"));
        assert_eq!(judge(&name, Ok((two, Duration::from_secs(2)))).mark, Mark::Warning);
        assert_eq!(judge(&name, Ok((Vec::new(), Duration::ZERO))).mark, Mark::Fault);
        let unknown = judge(&name, Err("failed to lookup address information".into()));
        assert!(unknown.mark == Mark::Fault && unknown.change.unwrap().contains("example.com"));
        let address = CheckedPlace::read("http://[::1]:6001").unwrap();
        assert_eq!(judge(&address, Ok((Vec::new(), Duration::ZERO))).mark, Mark::Ok);
    }
}
