//! Whether the port speaks what the address says, TLS or plain HTTP, and what its certificate is worth.

mod certificate;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustls::{AlertDescription, Error as TlsFault};

use self::certificate::judge_certificates;
use super::check::Check;
use super::finding::{CheckOutcome, Finding, Mark};
use super::place::CheckedPlace;
use super::speech::{PortSpeech, listen};
use super::stream::UnheardError;
use super::visit::Visit;
use crate::http::unix_seconds;

pub(super) const CHECK: Check = Check {
    name: "tls",
    tries: "TLS, or plain HTTP, as the address has it",
    needs: &["connect"],
    within: Duration::from_secs(25),
    run: |visit| Box::pin(speak(visit)),
};

async fn speak(visit: &mut Visit) -> CheckOutcome {
    let mut findings = Vec::new();
    let mut holds = true;
    for place in visit.places() {
        if !place.is_tls() {
            let mut heard = listen(&place).await;
            if matches!(heard, PortSpeech::Closed | PortSpeech::Unknown(_))
                && visit.open(&place.with_tls(true)).await.is_ok()
            {
                heard = PortSpeech::Tls;
            }
            if heard == PortSpeech::Closed
                && place.is_beside(&visit.sockets)
                && visit.converse().await.is_ok()
            {
                heard = PortSpeech::SocketsAlone;
                visit.takes_sockets_alone = true;
            }
            let finding = judge_plain(&place, &heard);
            holds &= finding.mark != Mark::Fault;
            findings.push(finding);
            continue;
        }
        match visit.open(&place).await {
            Ok(_) => {
                if let Some(seen) = visit.certificates.seen() {
                    findings.extend(judge_certificates(place.host(), &seen, unix_seconds()));
                }
            }
            Err(error) => {
                holds = false;
                findings.push(judge_failure(&place, &error, &listen(&place).await));
            }
        }
    }
    CheckOutcome { findings, holds }
}

/// What to think of a port that was asked in plain HTTP, as its address has it.
fn judge_plain(place: &CheckedPlace, heard: &PortSpeech) -> Finding {
    let tried = format!("plain HTTP on port {}", place.port());
    let secured = place.with_tls(true);
    match heard {
        PortSpeech::Http(_) | PortSpeech::SocketsAlone => {
            let speech = what_speaks(heard);
            if place.addresses.iter().any(|address| is_near(*address)) {
                return Finding::ok(tried, speech);
            }
            Finding::note(
                tried,
                format!("{speech}, without TLS"),
                "whoever is on the way can read everything, and pages that came by https may not use it: have a proxy, or \
                 the server itself, serve TLS",
            )
        }
        PortSpeech::Tls => Finding::fault(
            tried,
            "this port speaks TLS",
            format!(
                "use {} (and wss:// with forceTLS in clients, scheme https in server libraries), or the port that speaks \
                 plain HTTP",
                secured.shown()
            ),
        ),
        other => Finding::fault(tried, what_speaks(other), wrong_port(place, other)),
    }
}

/// What to think of a port on which TLS was tried, without success; `heard` is what it speaks in plain.
fn judge_failure(place: &CheckedPlace, error: &UnheardError, heard: &PortSpeech) -> Finding {
    let tried = format!("TLS on port {}", place.port());
    if let PortSpeech::Http(status) = heard {
        return Finding::fault(
            tried,
            format!("this port speaks plain HTTP ({status}), not TLS"),
            format!(
                "use {}, or the port where TLS is served; or serve TLS here (nginx: listen {} ssl; HAProxy: bind … ssl crt)",
                place.with_tls(false).shown(),
                place.port()
            ),
        );
    }
    if matches!(heard, PortSpeech::Other(_) | PortSpeech::Unknown(_)) {
        return Finding::fault(tried, what_speaks(heard), wrong_port(place, heard));
    }
    let UnheardError::Tls(error) = error else {
        return Finding::fault(tried, error.to_string(), wrong_port(place, heard));
    };
    let (came, change) = match tls_fault(error) {
        Some(TlsFault::AlertReceived(alert)) => alert_received(place, *alert),
        Some(TlsFault::PeerIncompatible(why)) => (
            format!("the server and this client have no way of TLS in common: {why:?}"),
            "let it speak TLS 1.2 or 1.3 (nginx: ssl_protocols TLSv1.2 TLSv1.3)".to_owned(),
        ),
        _ => (
            format!("TLS was not agreed on: {error}"),
            format!("see what listens on port {} and whether it has a certificate", place.port()),
        ),
    };
    Finding::fault(tried, came, change)
}

fn alert_received(place: &CheckedPlace, alert: AlertDescription) -> (String, String) {
    let host = place.host();
    let change = match alert {
        AlertDescription::UnrecognisedName | AlertDescription::InternalError => format!(
            "the server has no certificate for {host}: name it in the proxy's configuration (server_name; the site's address in \
             Caddy), and see in its log whether it could get one"
        ),
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => format!(
            "let the server speak TLS 1.2 or 1.3 with the usual ciphers, and see whether it has a certificate for {host}"
        ),
        AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
            "the server wants a certificate of clients, which those of Pusher Channels do not have: switch that off".to_owned()
        }
        _ => "see the error log of what serves TLS there".to_owned(),
    };
    (format!("the server refused it with the alert {alert:?}"), change)
}

fn tls_fault(error: &io::Error) -> Option<&TlsFault> {
    error.get_ref()?.downcast_ref()
}

/// What a port speaks that should speak HTTP, in words.
fn what_speaks(heard: &PortSpeech) -> String {
    match heard {
        PortSpeech::Http(status) => format!("it speaks HTTP ({status})"),
        PortSpeech::Tls => "it speaks TLS".to_owned(),
        PortSpeech::SocketsAlone => "it takes WebSockets, and hangs up on all else".to_owned(),
        PortSpeech::Other(name) => format!("something else listens there: {name}"),
        PortSpeech::Unknown(text) => format!("something else listens there, which says {text:?}"),
        PortSpeech::Closed => "it hung up without a word".to_owned(),
        PortSpeech::Silent => "it took the connection and said nothing".to_owned(),
        PortSpeech::Unreachable(error) => error.clone(),
    }
}

fn wrong_port(place: &CheckedPlace, heard: &PortSpeech) -> String {
    let port = place.port();
    match heard {
        PortSpeech::Silent | PortSpeech::Unreachable(_) => format!(
            "see what listens on port {port}: it may be stopped, overloaded or a debugger's, or a firewall lets only the \
             connection pass"
        ),
        PortSpeech::Closed => format!(
            "see what listens on port {port}; a proxy that wants the PROXY protocol hangs up like this (proxy_protocol), and so \
             does a broker whose max_connections are reached"
        ),
        _ => format!(
            "{port} is not the port of the broker or its proxy: see server.port, or what the proxy listens on"
        ),
    }
}

/// Whether an address is of this machine or of a network of one's own.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_loopback() || four.is_private() || four.is_link_local(),
        IpAddr::V6(six) => six.is_loopback() || six.is_unique_local() || six.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> CheckedPlace {
        let mut place = CheckedPlace::read(url).unwrap();
        place.addresses = vec!["192.0.2.1".parse().unwrap()];
        place
    }

    #[test]
    fn a_plain_port_is_judged_by_what_it_speaks() {
        let http = PortSpeech::Http("HTTP/1.1 200 OK".to_owned());
        let cases = [
            (http.clone(), Mark::Note, "read everything"),
            (PortSpeech::SocketsAlone, Mark::Note, "read everything"),
            (PortSpeech::Tls, Mark::Fault, "https://h:6001/x"),
            (PortSpeech::Other("Redis"), Mark::Fault, "6001 is not the port"),
            (PortSpeech::Silent, Mark::Fault, "overloaded"),
            (PortSpeech::Closed, Mark::Fault, "PROXY protocol"),
        ];
        for (heard, mark, word) in cases {
            let found = judge_plain(&place("http://h:6001/x"), &heard);
            assert_eq!(found.mark, mark, "{found:?}");
            assert!(found.change.as_ref().unwrap().contains(word), "{found:?}");
        }
        let mut here = place("http://h");
        here.addresses = vec!["127.0.0.1".parse().unwrap()];
        assert_eq!(judge_plain(&here, &http).came, "it speaks HTTP (HTTP/1.1 200 OK)");
        // pusher-fake, whose HTTP API is at another port.
        let alone = judge_plain(&here, &PortSpeech::SocketsAlone);
        assert_eq!((alone.mark, alone.came.contains("hangs up on all else")), (Mark::Ok, true));
    }

    #[test]
    fn a_port_without_tls_is_told_by_what_it_speaks_instead() {
        let failed = |fault| UnheardError::Tls(io::Error::other(fault));
        let alert = |alert| failed(TlsFault::AlertReceived(alert));
        let http = PortSpeech::Http("HTTP/1.1 400 Bad Request".to_owned());
        let cases = [
            (alert(AlertDescription::InternalError), http, "use http://h:443"),
            (alert(AlertDescription::InternalError), PortSpeech::Tls, "no certificate for h"),
            (alert(AlertDescription::HandshakeFailure), PortSpeech::Closed, "TLS 1.2 or 1.3"),
            (UnheardError::Timeout(Duration::from_secs(5)), PortSpeech::Silent, "overloaded"),
            (failed(TlsFault::DecryptError), PortSpeech::Other("Redis"), "not the port of the broker"),
        ];
        for (error, heard, word) in cases {
            let found = judge_failure(&place("https://h"), &error, &heard);
            assert_eq!(found.mark, Mark::Fault);
            assert!(found.change.as_ref().unwrap().contains(word), "{found:?}");
        }
    }
}
