//! Webhooks on their whole way, from a notice to an endpoint of this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConnection, StreamOwned};

use super::*;
use crate::app::App;
use crate::auth::webhook::is_valid;
use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
use crate::config::ConnectionConfig;
use crate::hub::{Hub, Listener, Notice};
use crate::protocol::ChannelName;
use crate::server::StartError;
use crate::testing::Broker;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint. It answers one request per connection, with the given statuses in turn; the last one for ever.
struct Sink {
    port: u16,
    bodies: Receiver<String>,
}

impl Sink {
    fn plain(statuses: &'static [u16]) -> Sink {
        Sink::with(statuses, None)
    }

    fn with(statuses: &'static [u16], tls: Option<Arc<rustls::ServerConfig>>) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, bodies) = mpsc::channel();
        thread::spawn(move || {
            let mut statuses = statuses.iter().copied();
            let mut status = statuses.next().unwrap();
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let served = match &tls {
                    None => serve(stream, status),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        serve(StreamOwned::new(connection, stream), status)
                    }
                };
                // A client that trusts nobody sends nothing.
                let Some(body) = served else { continue };
                status = statuses.next().unwrap_or(status);
                if sender.send(body).is_err() {
                    return;
                }
            }
        });
        Sink { port, bodies }
    }

    #[track_caller]
    fn body(&self) -> String {
        self.bodies.recv_timeout(PATIENCE).expect("a webhook in time")
    }
}

/// Reads one request, checks its signature, answers it, and returns its body.
fn serve(mut stream: impl Read + Write, status: u16) -> Option<String> {
    let mut request = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = header(head, "Content-Length").parse().unwrap();
        if body.len() == length {
            break (head.to_owned(), body.to_owned());
        }
    };
    assert!(
        is_valid(&app(), header(&head, "X-Pusher-Key"), header(&head, "X-Pusher-Signature"), &body),
        "{head}"
    );
    let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    Some(body)
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} is missing in {head}"))
}

fn origin() -> ChangeOrigin {
    ChangeOrigin { node: NodeId::new(1), version: ChannelVersion::new(1) }
}

fn app() -> App {
    App::new("1", "app-key", "app-secret")
}

fn config(url: &str) -> WebhookConfig {
    let mut config =
        WebhookConfig { endpoints: vec![WebhookEndpoint::new(url).unwrap()], ..WebhookConfig::default() };
    config.delivery.retry.first = Duration::from_millis(10);
    config
}

/// What a listener is told by.
struct TestHub {
    hub: Arc<Hub>,
    room: ChannelName,
}

impl TestHub {
    fn new() -> Self {
        let hub = Hub::new(vec![(app(), Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
        TestHub { hub, room: ChannelName::parse("room", 164).unwrap() }
    }

    fn tell(&self, listener: &Arc<dyn Listener>, notice: fn(&ChannelName) -> Notice<'_>) {
        let state = Arc::clone(&self.hub.state_by_key("app-key").unwrap());
        listener.notice(&self.hub, &state, &notice(&self.room));
    }
}

#[track_caller]
fn eventually<T>(log: &DeliveryLog, mut found: impl FnMut(&DeliveryLog) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found(log) {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {log:?}");
        thread::yield_now();
    }
}

fn attempts(log: &DeliveryLog, least: usize) -> Vec<Attempt> {
    eventually(log, |log| Some(log.attempts()).filter(|attempts| attempts.len() >= least))
}

const OCCUPIED: &str = r#""events":[{"name":"channel_occupied","channel":"room","id":""#;
const VACATED: &str = r#""events":[{"name":"channel_vacated","channel":"room","id":""#;

#[test]
fn every_attempt_is_logged() {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let sink = Sink::plain(&[500, 302, 204]);
    let config = config(&format!("http://127.0.0.1:{}/hook", sink.port));
    let listener = webhooks.listener(&app(), &config).unwrap();
    test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
    let bodies = [sink.body(), sink.body(), sink.body()];
    assert!(bodies[0].contains(OCCUPIED) && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    let [endpoint] = &webhooks.endpoints("1")[..] else { panic!("one endpoint") };
    let attempts = attempts(&endpoint.log, 3);
    let told: Vec<_> =
        attempts.iter().map(|a| (a.number, a.outcome.clone(), a.events, a.body_bytes)).collect();
    let expected = |number, status| (number, AttemptOutcome::Status(status), 1, bodies[0].len());
    assert_eq!(told, [expected(1, 500), expected(2, 302), expected(3, 204)]);
    assert!(attempts.windows(2).all(|pair| pair[0].at + pair[0].duration <= pair[1].at));
    let counts = eventually(&endpoint.log, |log| Some(log.counts()).filter(|counts| counts.waiting == 0));
    assert_eq!(counts, DeliveryCounts { delivered: 1, ..DeliveryCounts::default() });
    assert!(webhooks.endpoints("2").is_empty());
}

/// Nobody could have it go on.
#[test]
fn a_pause_ends_when_the_app_signs_by_another_key_or_is_removed() {
    let test = TestHub::new();
    for successor in [Some(App::new("1", "other-key", "other-secret")), None] {
        let webhooks = Webhooks::new();
        let sink = Sink::plain(&[200]);
        let config = config(&format!("http://127.0.0.1:{}/", sink.port));
        let listener = webhooks.listener(&app(), &config).unwrap();
        webhooks.pause("1", 0, true, 0).unwrap();
        test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
        let [endpoint] = &webhooks.endpoints("1")[..] else { panic!("one endpoint") };
        eventually(&endpoint.log, |log| (log.counts().waiting == 1).then_some(()));
        assert!(sink.bodies.try_recv().is_err(), "it is paused");
        let _successor = successor.map(|app| webhooks.listener(&app, &config).unwrap());
        drop(listener);
        assert!(sink.body().contains(OCCUPIED));
    }
}

/// What another node has heard is done where it is later, and of the same endpoint.
#[test]
fn a_change_of_another_node_is_done_where_it_is_later() {
    let webhooks = Webhooks::new();
    let url = "http://127.0.0.1:9/";
    let _listener = webhooks.listener(&app(), &config(url)).unwrap();
    let is_paused = || webhooks.shown("1")[0].pause.is_paused();
    let paused = |number| PauseChange { number, goes_on: false };
    for (app, index, other) in [("2", 0, url), ("1", 1, url), ("1", 0, "http://127.0.0.1:10/")] {
        assert!(!webhooks.learn_pause(app, index, other, paused(1)) && !is_paused(), "{app} {index} {other}");
    }
    assert!(webhooks.learn_pause("1", 0, url, paused(1)) && is_paused());
    assert!(!webhooks.learn_pause("1", 0, url, paused(2)), "it is already");
    assert_eq!(webhooks.pause("1", 0, false, 1).unwrap().number, 3);
    assert!(!webhooks.learn_pause("1", 0, url, paused(2)) && !is_paused(), "that was before");
    assert!(webhooks.learn_pause("1", 0, url, paused(4)) && is_paused());
}

/// An unchanged configuration keeps its listener. Another one does not lose what the old one held back.
#[test]
fn a_listener_that_is_replaced_sends_what_it_held_back() {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let old = Sink::plain(&[200]);
    let new = Sink::plain(&[200]);
    let first = config(&format!("http://127.0.0.1:{}/", old.port));
    let listener = webhooks.listener(&app(), &first).unwrap();
    assert!(Arc::ptr_eq(&listener, &webhooks.listener(&app(), &first).unwrap()));
    test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
    assert!(old.body().contains(OCCUPIED));
    test.tell(&listener, |room| Notice::ChannelVacated(room, origin()));

    let mut second = config(&format!("http://127.0.0.1:{}/", new.port));
    second.endpoints.extend(first.endpoints.clone());
    let before = webhooks.endpoints("1");
    let replaced = webhooks.listener(&app(), &second).unwrap();
    assert!(
        Arc::ptr_eq(&before[0].log, &webhooks.endpoints("1")[1].log),
        "an endpoint that stays keeps its log"
    );
    drop(listener);
    assert!(old.body().contains(VACATED), "at once, not after three seconds");
    test.tell(&replaced, |room| Notice::ChannelOccupied(room, origin()));
    assert!(new.body().contains(OCCUPIED) && old.body().contains(OCCUPIED));
    assert!(
        webhooks.listener(&app(), &WebhookConfig::default()).is_none() && webhooks.endpoints("1").is_empty()
    );
}

/// What waits for an endpoint that stays goes before what comes after the change.
#[test]
fn a_channel_stays_in_order_over_a_change_of_the_endpoints() {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let sink = Sink::plain(&[500, 500, 500, 200]);
    let other = Sink::plain(&[200]);
    let mut config = config(&format!("http://127.0.0.1:{}/", sink.port));
    config.delivery.retry.first = Duration::from_millis(100);
    let listener = webhooks.listener(&app(), &config).unwrap();
    test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
    assert!(sink.body().contains(OCCUPIED));
    config.endpoints.push(WebhookEndpoint::new(&format!("http://127.0.0.1:{}/", other.port)).unwrap());
    let changed = webhooks.listener(&app(), &config).unwrap();
    drop(listener);
    test.tell(&changed, |room| Notice::CacheMiss(room, origin()));
    let missed = r#""events":[{"name":"cache_miss","channel":"room","id":""#;
    assert!(other.body().contains(missed), "it does not wait for the other endpoint");
    for _ in 0..3 {
        assert!(sink.body().contains(OCCUPIED));
    }
    assert!(sink.body().contains(missed));
    let attempts = attempts(&webhooks.endpoints("1")[0].log, 5);
    assert!(attempts.iter().map(|attempt| attempt.number).eq([1, 2, 3, 4, 1]));
}

/// At the end, nothing is held back; and what cannot be delivered does not hold the end up.
#[test]
fn the_end_waits_for_what_can_be_delivered() {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let sink = Sink::plain(&[200]);
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&format!("http://127.0.0.1:{}/", sink.port));
    let url = format!("http://{}/", hanging.local_addr().unwrap());
    config.endpoints.push(WebhookEndpoint::new(&url).unwrap());
    let listener = webhooks.listener(&app(), &config).unwrap();
    test.tell(&listener, |room| Notice::ChannelVacated(room, origin()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    webhooks.flush();
    assert!(sink.body().contains(VACATED));
    test.tell(&listener, |room| Notice::ChannelVacated(room, origin()));
    runtime.block_on(webhooks.finish(begun + Duration::from_millis(700)));
    assert!(sink.body().contains(VACATED), "also what happened during the end");
    assert!(begun.elapsed() < PATIENCE);
    let tallies: Vec<_> = webhooks.endpoints("1").iter().map(|endpoint| endpoint.log.counts()).collect();
    let (delivered, given_up) = (
        DeliveryCounts { delivered: 2, ..DeliveryCounts::default() },
        DeliveryCounts { given_up: 2, ..DeliveryCounts::default() },
    );
    assert_eq!(tallies, [delivered, given_up]);
    assert!(webhooks.listener(&app(), &config).is_none(), "no more after the end");
}

/// A certificate and its key, signed by itself; the certificate in a file that is removed with the value.
struct Certificate {
    file: PathBuf,
    server: Arc<rustls::ServerConfig>,
}

impl Certificate {
    fn new(name: &str, years: (i32, i32)) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("heliostat-{}-webhooks-{name}.pem", std::process::id()));
        std::fs::write(&file, made.pem()).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        Certificate { file, server: Arc::new(server) }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// The first attempt at an endpoint that serves this certificate, and what it was sent, if it was sent anything.
fn first_attempt(certificate: &Certificate, trusted: bool) -> (AttemptOutcome, Option<String>) {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let sink = Sink::with(&[200], Some(Arc::clone(&certificate.server)));
    let mut config = config(&format!("https://localhost:{}/", sink.port));
    config.delivery.ca_file = trusted.then(|| certificate.file.clone());
    check(&config).unwrap();
    let listener = webhooks.listener(&app(), &config).unwrap();
    test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
    let attempts = attempts(&webhooks.endpoints("1")[0].log, 1);
    let sent = sink.bodies.try_recv().ok();
    (attempts[0].outcome.clone(), sent)
}

#[test]
fn an_endpoint_must_have_a_certificate_that_is_trusted_and_has_not_expired() {
    let good = Certificate::new("good", (2020, 2200));
    let (outcome, sent) = first_attempt(&good, true);
    assert_eq!(outcome, AttemptOutcome::Status(200));
    assert!(sent.is_some_and(|body| body.contains(OCCUPIED)));
    for (certificate, trusted, why) in
        [(&good, false, "UnknownIssuer"), (&Certificate::new("expired", (2020, 2021)), true, "xpired")]
    {
        let (outcome, sent) = first_attempt(certificate, trusted);
        assert!(matches!(&outcome, AttemptOutcome::Failure(reason) if reason.contains(why)), "{outcome:?}");
        assert_eq!(sent, None, "nothing is said to whom it does not concern");
    }
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_says_so() {
    let mut config = config("https://localhost/");
    let missing = PathBuf::from("/nowhere/ca.pem");
    config.delivery.ca_file = Some(missing);
    let error = check(&config).unwrap_err().to_string();
    assert!(error.contains("/nowhere/ca.pem, named by apps.webhook_delivery.ca_file"), "{error}");
    config.endpoints.clear();
    assert!(check(&config).is_ok(), "nobody needs it");
}

/// Sending is not allowed to block whoever tells of an event: a listener whose endpoint hangs still takes everything.
#[test]
fn whoever_tells_is_not_held_up() {
    let test = TestHub::new();
    let webhooks = Webhooks::new();
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&format!("http://{}/", hanging.local_addr().unwrap()));
    config.delivery.queue_events = 10;
    let listener = webhooks.listener(&app(), &config).unwrap();
    let begun = Instant::now();
    for _ in 0..10_000 {
        test.tell(&listener, |room| Notice::ChannelOccupied(room, origin()));
    }
    assert!(begun.elapsed() < PATIENCE);
    let log = &webhooks.endpoints("1")[0].log;
    let counts = eventually(log, |log| Some(log.counts()).filter(|counts| counts.waiting == 10));
    assert!(counts.delivered == 0, "{counts:?}");
}

/// Subscribes to `room` by a WebSocket, which stays open while the value lives.
fn subscribe(broker: &Broker) -> TcpStream {
    let mut socket = TcpStream::connect(broker.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let message = r#"{"event":"pusher:subscribe","data":{"channel":"room"}}"#;
    // Masked with zeros.
    let frame =
        [&[0x81, 0x80 | u8::try_from(message.len()).unwrap(), 0, 0, 0, 0], message.as_bytes()].concat();
    socket.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    for (word, answer) in [("activity_timeout", &frame[..]), ("subscription_succeeded", &[])] {
        while !heard.contains(word) {
            let mut chunk = [0; 4096];
            let read = socket.read(&mut chunk).unwrap();
            assert!(read > 0, "the broker ended the connection");
            heard.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        socket.write_all(answer).unwrap();
    }
    socket
}

/// A reload moves an app's webhooks to other endpoints while it serves. One that cannot work changes nothing.
#[test]
fn a_running_broker_can_be_given_other_endpoints() {
    let old = Sink::plain(&[200]);
    let new = Sink::plain(&[500, 200]);
    let url = |sink: &Sink| format!("http://127.0.0.1:{}/", sink.port);
    let mut running = crate::config::Config::development();
    running.apps[0].webhooks = config(&url(&old));
    running.apps[0].webhooks.delivery.removal_delay = Duration::from_millis(50);
    let broker = Broker::builder(running.clone()).without_test_mode().start().unwrap();
    let socket = subscribe(&broker);
    assert!(old.body().contains(OCCUPIED));

    let mut broken = running.clone();
    broken.apps[0].webhooks.delivery.ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    assert!(matches!(broker.reload(broken.clone()), Err(StartError::Webhooks(_))));
    assert!(
        matches!(Broker::start(broken), Err(StartError::Webhooks(_))),
        "neither can a broker be started so"
    );
    running.apps[0].webhooks.endpoints = vec![WebhookEndpoint::new(&url(&new)).unwrap()];
    broker.reload(running).unwrap();
    drop(socket);
    assert!(new.body().contains(VACATED) && new.body().contains(VACATED));
    let [endpoint] = &broker.webhooks().endpoints("1001")[..] else { panic!("one endpoint") };
    let outcomes: Vec<_> = attempts(&endpoint.log, 2).into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Status(500), AttemptOutcome::Status(200)]);
    assert!(old.bodies.try_recv().is_err(), "the old one is told nothing more");
}
