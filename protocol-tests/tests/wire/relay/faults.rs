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
        answer(401, "", "Invalid signature: forged\nnext line"),
        Reaction::Send(huge.into_bytes()),
        Reaction::SendAndEnd(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()),
        Reaction::Send(b"HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()),
        Reaction::Send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Reaction::Send(elsewhere.as_bytes().to_vec()),
        answer(413, "", "too large"),
    ]);
    relaying.publish(&numbered(0..8));
    assert_eq!(other.names(8).concat(), numbered(0..8));
    relaying.await_events("sent", 5);
    assert_eq!((relaying.events("refused"), relaying.events("unknown")), (3, 0));
    let log = relaying.target.broker().unwrap().log();
    let refusals: Vec<_> = log.lines().filter(|line| line.contains("has refused events")).collect();
    assert!(refusals[0].contains("401") && refusals[0].contains("forged\\nnext line"), "{refusals:?}");
    assert!(!log.lines().any(|line| line.starts_with("next line")), "{log}");
}

/// A server that says that it has done nothing is asked again, when it wants to be. Where it says 503 and no time, somebody
/// may have taken the request and hung up.
///
/// Proves: relay.
#[test]
fn what_was_not_done_is_asked_for_again() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "")) else { return };
    let waits = "Retry-After: 1\r\n";
    other.react([answer(429, waits, "slow down"), answer(503, waits, ""), answer(408, "", "")]);
    relaying.publish(&numbered(0..5));
    let mut names = Vec::new();
    // Three times in vain, then it arrives.
    for _ in 0..4 {
        let request = other.request().events();
        assert_eq!(request[0]["name"], "e0");
        names = request.iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect();
    }
    names.extend(other.names(5 - names.len()).concat());
    assert_eq!(names, numbered(0..5));
    relaying.await_events("sent", 5);
    assert_eq!(relaying.figure("retries_total{app_id=\"1001\"}"), 3);
    other.react([answer(503, "", "the server has hung up")]);
    relaying.publish(&numbered(5..6));
    relaying.await_events("unknown", 1);
    relaying.publish(&numbered(6..7));
    assert_eq!(other.names(2).concat(), numbered(5..7));
}

/// Holds events back until the settings change, so that they are together: a batch of four, which is answered so.
fn refuse_a_batch(other: &OtherServer, relaying: &Relaying, more: &str, then: Vec<Reaction>) {
    other.react([answer(503, "Retry-After: 30\r\n", "")]);
    relaying.publish(&["first".to_owned()]);
    assert_eq!(other.names(1), [["first"]]);
    relaying.publish(&numbered(0..3));
    other.react(then);
    relaying.reload(&relay_to(other.port, more));
    let batch = other.request();
    assert_eq!((batch.path.as_str(), batch.events().len()), ("/ws/apps/7/batch_events", 4));
}

/// A batch that a server does not know comes event by event; so does one that it refuses, if it checks a batch before it
/// publishes any of it. If not, a part of it may have been published.
///
/// Proves: relay.
#[test]
fn a_refused_batch_is_sent_again_only_where_none_of_it_was_published() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "")) else { return };
    let whole = "batches_are_checked_whole = true\n";
    let table = [(404, "", 0), (405, whole, 0), (413, whole, 0), (400, whole, 1)];
    for (round, (status, more, refused)) in table.into_iter().enumerate() {
        let before = (relaying.events("sent"), relaying.events("refused"));
        let mut reactions = vec![answer(status, "", "no such batch")];
        if refused > 0 {
            reactions.extend([answer(200, "", "{}"), answer(200, "", "{}"), answer(400, "", "not this one")]);
        }
        refuse_a_batch(&other, &relaying, &format!("queue_events = {}\n{more}", 100 + round), reactions);
        assert_eq!(other.names(4), [["first"], ["e0"], ["e1"], ["e2"]], "{status}");
        relaying.await_events("sent", before.0 + 4 - refused);
        relaying.await_events("refused", before.1 + refused);
    }
    for (round, status) in [400, 413, 422].into_iter().enumerate() {
        let before = relaying.events("refused");
        let more = format!("queue_events = {}", 200 + round);
        refuse_a_batch(&other, &relaying, &more, vec![answer(status, "", "one of these")]);
        relaying.await_events("refused", before + 4);
    }
    relaying.publish(&["last".to_owned()]);
    assert_eq!(other.names(1), [["last"]]);
    assert_eq!(relaying.events("unknown"), 0);
}

/// A batch that is more than the server's limit comes event by event; and an event for several channels that is more than
/// that by itself is refused in the end, and those behind it go on.
///
/// Proves: relay.
#[test]
fn what_is_always_over_the_limit_holds_up_nothing() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "")) else { return };
    refuse_a_batch(&other, &relaying, "queue_events = 100", vec![answer(429, "", "too many points")]);
    assert_eq!(other.names(4), [["first"], ["e0"], ["e1"], ["e2"]]);
    relaying.await_events("sent", 4);
    other.react((0..8).map(|_| answer(429, "Retry-After: 0\r\n", "too many points")));
    let wide = json!({ "name": "wide", "channels": ["room", "hall", "yard"], "data": "x" });
    relaying.target.events(&wide).assert_empty_object();
    relaying.publish(&numbered(3..4));
    assert_eq!(other.names(9).concat()[..8], vec!["wide".to_owned(); 8]);
    relaying.await_events("sent", 5);
    assert_eq!((relaying.events("refused"), relaying.waiting()), (1, 0));
}

/// A server that closes each connection after its answer, and does not say so, costs one request at most: from then on each
/// has its own connection.
///
/// Proves: relay.
#[test]
fn a_server_that_closes_connections_silently_costs_little() {
    let other = OtherServer::start();
    other.usually(Reaction::SendAndEnd(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()));
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1")) else { return };
    relaying.publish(&numbered(0..100));
    crate::eventually("all are over", || {
        (relaying.events("sent") + relaying.events("unknown") == 100).then_some(())
    });
    assert!(relaying.events("unknown") <= 1, "{} unknown", relaying.events("unknown"));
}

/// Where the settings say so, the path before that of the API is signed, too.
///
/// Proves: relay.
#[test]
fn a_prefix_can_be_signed() {
    let other = OtherServer::start();
    let relay = relay_to(other.port, "sign_prefix = true").replace("/ws\"", "/signed\"");
    let Some(relaying) = Relaying::start(&relay) else { return };
    relaying.publish(&numbered(0..1));
    assert_eq!(other.request().path, "/signed/apps/7/events");
    relaying.await_events("sent", 1);
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
        log.lines().any(|line| line.contains("could not be sent in time") && line.contains("events=4")),
        "{log}"
    );
}
