//! What a relay makes of servers that are not there, do not answer, or answer rubbish: sent again is only what was not
//! written, or what the server says that it has not done; the rest is counted and told.

use std::net::TcpListener;
use std::time::Instant;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, patience, unique};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::other_server::{OtherServer, Reaction, answer};
use super::{Relaying, numbered, relay_to, relay_to_broker};

/// A port of this machine where nobody listens. The one that held it is gone; nobody has connected to it.
fn closed_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port()
}

/// What could not be written is written when the server is there, once and in its order. Its name, where it has none that
/// resolves, is looked up again and again.
///
/// Proves: relay.
#[test]
fn what_was_not_written_is_sent_later() {
    let port = closed_port();
    let unknown = relay_to(port, "").replace("127.0.0.1", "nowhere.invalid");
    let Some(relaying) = Relaying::start(&(relay_to(port, "") + &unknown)) else { return };
    let begun = Instant::now();
    relaying.publish(&numbered(0..40));
    assert!(begun.elapsed() < patience(), "publishers wait for nobody");
    crate::eventually("both are tried again", || {
        (relaying.figure("retries_total{app_id=\"1001\"}") >= 4).then_some(())
    });
    assert_eq!(relaying.waiting(), 80);
    let other = OtherServer::on(TcpListener::bind(("127.0.0.1", port)).expect("the port is free"));
    assert_eq!(other.names(40).concat(), numbered(0..40));
    relaying.await_events("sent", 40);
    assert_eq!(relaying.waiting(), 40);
    let log = relaying.target.broker().unwrap().log();
    assert!(log.contains("does not take events; they wait") && log.contains("takes events again"), "{log}");
    assert!(!log.contains("old-secret"), "{log}");
}

/// As long as TLS has not begun, nothing of a request is written, however long the server takes: it is tried again.
///
/// Proves: relay, bad input.
#[test]
fn where_tls_does_not_begin_nothing_is_written() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let relay = relay_to(port, "timeout_seconds = 0.2").replace("http://", "https://");
    let Some(relaying) = Relaying::start(&relay) else { return };
    relaying.publish(&numbered(0..3));
    crate::eventually("it is tried again", || {
        (relaying.figure("retries_total{app_id=\"1001\"}") >= 3).then_some(())
    });
    assert_eq!((relaying.waiting(), relaying.events("unknown")), (3, 0));
    let log = relaying.target.broker().unwrap().log();
    assert!(log.contains("no connection within"), "{log}");
}

/// Over TLS the server has to show a certificate for its name that is trusted. Until it does, nothing is written.
///
/// Proves: relay.
#[test]
fn over_tls_the_certificate_of_the_server_counts() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = std::env::temp_dir().join(unique("protocol-tests-relay-"));
    std::fs::create_dir(&folder).unwrap();
    let [pem, secret] = ["pem", "key"].map(|ending| folder.join(format!("server.{ending}")));
    std::fs::write(&pem, certificate.pem()).unwrap();
    std::fs::write(&secret, key.serialize_pem()).unwrap();
    let tls = format!("[server]\ntls_certificate = {pem:?}\ntls_key = {secret:?}\n{MAIN_APP}");
    let Some(other) = Target::own(&tls) else { return };
    let relay = relay_to_broker(&other).replace("http://127.0.0.1", "https://localhost");
    let relaying = Relaying::start(&relay).expect("a broker");
    relaying.publish(&numbered(0..3));
    crate::eventually("it is tried again", || {
        (relaying.figure("retries_total{app_id=\"1001\"}") >= 2).then_some(())
    });
    let log = relaying.target.broker().unwrap().log();
    assert!(log.contains("invalid peer certificate"), "{log}");
    relaying.reload(&format!("{relay}ca_file = {pem:?}\n"));
    relaying.await_events("sent", 3);
    assert_eq!((relaying.events("unknown"), relaying.events("refused")), (0, 0));
    let _ = std::fs::remove_dir_all(folder);
}

/// A server that has been written to and does not answer in order may have published or not: nothing is sent again, and
/// what comes next goes its way.
///
/// Proves: relay, bad input.
#[test]
fn what_may_have_arrived_is_not_sent_again() {
    let other = OtherServer::start();
    let more = "batch_events = 1\ntimeout_seconds = 2";
    let Some(relaying) = Relaying::start(&relay_to(other.port, more)) else { return };
    let reactions = [
        Reaction::HangUp,
        Reaction::Hang,
        Reaction::Send(b"\x16\x03\x01\x02\x00garbage\r\n\r\n".to_vec()),
        Reaction::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5".to_vec()),
        Reaction::SendAndEnd(Vec::new()),
        answer(500, "", "it broke"),
        answer(502, "", ""),
        answer(504, "", ""),
    ];
    let count = reactions.len();
    other.react(reactions);
    relaying.publish(&numbered(0..count + 1));
    assert_eq!(other.names(count + 1).concat(), numbered(0..count + 1));
    relaying.await_events("sent", 1);
    assert_eq!((relaying.events("unknown"), relaying.waiting()), (count as u64, 0));
    let log = relaying.target.broker().unwrap().log();
    assert!(log.contains("no answer says what became of them"), "{log}");
}

/// The status of an answer says what became of the events, whatever follows it, and however long that is.
///
/// Proves: relay, bad input.
#[test]
fn the_status_of_an_answer_counts() {
    let other = OtherServer::start();
    let more = "batch_events = 1\ntimeout_seconds = 2";
    let Some(relaying) = Relaying::start(&relay_to(other.port, more)) else { return };
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n{}", "x".repeat(10_000_000));
    let elsewhere = "HTTP/1.1 307 Go there\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    other.react([
        Reaction::Send(huge.into_bytes()),
        Reaction::SendAndEnd(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()),
        Reaction::Send(b"HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()),
        Reaction::Send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Reaction::Send(elsewhere.as_bytes().to_vec()),
        answer(401, "", "Invalid signature: forged\nnext line"),
        answer(413, "", "too large"),
    ]);
    relaying.publish(&numbered(0..8));
    assert_eq!(other.names(8).concat(), numbered(0..8));
    relaying.await_events("sent", 5);
    assert_eq!((relaying.events("refused"), relaying.events("unknown")), (3, 0));
    let log = relaying.target.broker().unwrap().log();
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("has refused events")).collect();
    assert!(refusals.len() == 1 && refusals[0].contains("307"), "{refusals:?}");
}

/// A server that says that it has done nothing is asked again, when it wants to be; a batch that it does not want comes
/// event by event.
///
/// Proves: relay.
#[test]
fn what_was_not_done_is_asked_for_again() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "")) else { return };
    let waits = "Retry-After: 1\r\n";
    other.react([answer(429, waits, "slow down"), answer(503, "", "")]);
    relaying.publish(&numbered(0..5));
    let names = other.names(7);
    // Twice in vain, then all.
    assert_eq!(names.concat().iter().filter(|name| *name == "e0").count(), 3, "{names:?}");
    relaying.await_events("sent", 5);
    assert_eq!(relaying.figure("retries_total{app_id=\"1001\"}"), 2);

    for (status, refused) in [(404, 0), (413, 0), (400, 1)] {
        let before = (relaying.events("sent"), relaying.events("refused"));
        // Held back, so that the next ones are together.
        other.react([answer(503, waits, "")]);
        relaying.publish(&["first".to_owned()]);
        assert_eq!(other.names(1), [["first"]]);
        relaying.publish(&numbered(0..3));
        let mut reactions = vec![answer(status, "", "no such batch")];
        if refused > 0 {
            reactions.extend([answer(200, "", "{}"), answer(200, "", "{}"), answer(400, "", "not this one")]);
        }
        other.react(reactions);
        let batch = other.request();
        assert_eq!((batch.path.as_str(), batch.events().len()), ("/ws/apps/7/batch_events", 4));
        let alone = other.names(4);
        assert_eq!(alone, [["first"], ["e0"], ["e1"], ["e2"]], "{status}");
        relaying.await_events("sent", before.0 + 4 - refused);
        relaying.await_events("refused", before.1 + refused);
    }
    assert_eq!(relaying.events("unknown"), 0);
}

/// What waits is bounded, by number and by bytes: what is published beyond is not relayed, counted, and told once in a
/// while. What is old is given up.
///
/// Proves: relay.
#[test]
fn what_waits_is_bounded() {
    let other = OtherServer::start();
    other.usually(Reaction::Hang);
    let more = "queue_events = 3\ntimeout_seconds = 600";
    let Some(relaying) = Relaying::start(&relay_to(other.port, more)) else { return };
    relaying.publish(&numbered(0..10));
    relaying.await_events("dropped", 7);
    assert_eq!(relaying.waiting(), 3);
    let log = relaying.target.broker().unwrap().log();
    assert_eq!(log.lines().filter(|line| line.contains("too many are waiting")).count(), 1, "{log}");

    let nobody = closed_port();
    let more = "queue_bytes = 100000";
    let relaying = Relaying::start(&relay_to(nobody, more)).expect("a broker");
    let large = json!({ "name": "e", "channel": "room", "data": "x".repeat(9000) });
    (0..100).for_each(|_| relaying.target.events(&large).assert_empty_object());
    let bytes = relaying.figure("waiting_bytes{app_id=\"1001\"}");
    assert!((90_000..=100_000).contains(&bytes), "{bytes} bytes wait");
    assert_eq!(relaying.events("dropped"), 100 - relaying.waiting());

    // It is given up by the settings of now.
    let waiting = relaying.waiting();
    relaying.reload(&relay_to(nobody, "give_up_after_seconds = 0.1"));
    relaying.await_events("given_up", waiting);
    assert_eq!((relaying.waiting(), relaying.figure("waiting_bytes{app_id=\"1001\"}")), (0, 0));
}

/// A server that does not answer holds the end of the broker up no longer than its grace period and a moment; what is left
/// is counted and told, and what was written apart from what was not.
///
/// Proves: relay.
#[test]
fn a_server_that_hangs_holds_no_end_up() {
    let other = OtherServer::start();
    other.usually(Reaction::Hang);
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1\ntimeout_seconds = 600"))
    else {
        return;
    };
    relaying.publish(&numbered(0..5));
    assert_eq!(other.names(1), [["e0"]]);
    let broker = relaying.target.broker().unwrap();
    broker.terminate();
    assert!(broker.await_exit(patience()).success());
    let log = broker.log();
    assert!(log.contains("the broker has ended"), "{log}");
    assert!(
        log.lines().any(|line| line.contains("could not be sent in time") && line.contains("4")),
        "{log}"
    );
}
