//! Tests with a broker in their own process: what `heliostat::testing` can do, each thing once.
//!
//! The clients here are those of the raw-wire suite. In tests of your own they are your program.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use heliostat::Config;
use heliostat::app::{Key, Secret};
use heliostat::pipe::RuleSpec;
use heliostat::testing::{
    Broker, Count, Cut, EventSource, Fault, Kind, NotMet, Sockets, TestApp, TestError, Timed, anything,
    connections, delivered, event, logged, members_are, nothing, refused, signed_in, subscribers, webhook,
};
use heliostat::webhook::WebhookEndpoint;
use heliostat_protocol_tests::{Credentials, Sink, Socket, Target, signature};
use serde_json::json;

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// An app as the program under test sees it.
fn target(app: &TestApp) -> Target {
    let credentials = Credentials::new(app.id(), app.key(), app.secret());
    Target::reached_at(&app.credentials().host, app.credentials().port, credentials)
}

/// A client that is subscribed to `room`.
fn visitor(app: &TestApp) -> Socket {
    let mut socket = target(app).connect();
    socket.subscribe("room");
    socket
}

/// A client that has signed in as the user.
fn user(app: &TestApp, id: &str) -> Socket {
    let mut socket = target(app).connect();
    let user_data = json!({ "id": id }).to_string();
    let auth = signature::user_auth(&socket.app, &socket.id, &user_data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
    socket.expect("pusher:signin_success");
    socket
}

#[test]
fn an_event_reaches_everybody_exactly_once() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let (_ann, _ben) = (visitor(&app), visitor(&app));
    app.until(subscribers("room", 2)).blocking().unwrap();
    target(&app).publish("room", "order", r#"{"order":{"id":7}}"#);
    let order = event().channel("room").name("order").data("order.id", 7).source(EventSource::Http);
    app.until(order.count(1)).holding(Duration::from_millis(20)).blocking().unwrap();
    app.until(delivered().name("order").sockets(2).count(2)).blocking().unwrap();
}

/// The wait needs nothing of the test's runtime, which has no timers here.
#[test]
fn an_asynchronous_test_awaits() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let target = target(&app);
    let connecting = std::thread::spawn(move || target.connect());
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let outcome = app.until(connections(1)).await.unwrap();
        assert_eq!(outcome.found, json!(1));
        let began = Instant::now();
        app.until(nothing(Duration::from_millis(30), anything())).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(30));
    });
    connecting.join().unwrap();
}

#[test]
fn what_is_not_met_says_what_was_seen() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let _socket = visitor(&app);
    let error = app.until(subscribers("room", 2)).within(Duration::from_millis(10)).blocking().unwrap_err();
    let told = format!("{error:?}");
    assert!(told.starts_with("expected \"room\" to have exactly 2 subscribers, it has 1, after"), "{told}");
    assert!(told.contains("subscribed to room"), "{told}");
    assert!(matches!(error, NotMet::Condition { outcome, .. } if outcome.found == json!(1)));
}

#[test]
fn members_users_and_refusals_are_seen() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let _ann = user(&app, "ann");
    app.until(signed_in("ann", 1)).blocking().unwrap();
    let mut ben = target(&app).connect();
    ben.subscribe_presence("presence-room", "ben", &json!({}));
    app.until(members_are("presence-room", ["ben"])).blocking().unwrap();
    ben.send(&json!({ "event": "pusher:subscribe", "data": { "channel": "private-x", "auth": "wrong" } }));
    app.until(refused().socket(&ben.id).channel("private-x")).blocking().unwrap();
    let counts = app.counts();
    assert_eq!(
        (counts.connections, counts.users["ann"], counts.channels["presence-room"].members),
        (2, 1, 1)
    );
    assert_eq!(app.connections()[0].user_id.as_deref(), Some("ann"));
    assert!(app.timeline().contains("ben is a member of presence-room"), "{}", app.timeline());
    let mut stranger = Socket::upgrade(&target(&app), "/app/no-such-key?protocol=7", &[]);
    stranger.expect_close_with(4001);
    assert_eq!(broker.strangers(refused().code(4001)).len(), 1);
}

/// Who waits for a cause finds its effects after it, whichever worker they happen on.
#[test]
fn causes_are_logged_before_their_effects() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let mut visitors: Vec<Socket> = (0..4).map(|_| target(&app).connect()).collect();
    for socket in &mut visitors {
        socket.subscribe_private("private-room");
    }
    for _ in 0..10 {
        target(&app).publish("private-room", "published", "{}");
        visitors[0].trigger("private-room", "client-sent", &json!({}));
    }
    app.until(delivered().channel("private-room").count(10 * 4 + 10 * 3)).blocking().unwrap();
    for (name, deliveries) in [("published", 4), ("client-sent", 3)] {
        let (mut accepted, mut heard) = (0, 0);
        for entry in app.log(anything().name(name)) {
            match entry.kind {
                Kind::Event => accepted += 1,
                _ => heard += 1,
            }
            assert!(heard <= accepted * deliveries, "{}", app.timeline());
        }
    }
    let closed = app.close(&Sockets::default(), &Cut::Abrupt).unwrap();
    app.until(connections(0)).blocking().unwrap();
    for socket in closed {
        let kinds: Vec<_> = app.log(anything().socket(socket.to_string())).iter().map(|e| e.kind).collect();
        let place = |kind| kinds.iter().position(|k| *k == kind).unwrap();
        assert!(place(Kind::Fault) < place(Kind::Unsubscribed), "{}", app.timeline());
    }
}

#[test]
fn connections_are_closed_on_demand() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let mut ann = user(&app, "ann");
    let mut visitors = [visitor(&app), visitor(&app)];
    let of_ann = Sockets { user_id: Some("ann".into()), ..Sockets::default() };
    app.close(&of_ann, &Cut::Close(4009, "go away".into())).unwrap();
    assert_eq!(ann.expect_close_with(4009), "go away");
    let half =
        Sockets { channel: Some("room".into()), share: Some(0.5), seed: Some(1), ..Sockets::default() };
    let cut = app.close(&half, &Cut::Abrupt).unwrap();
    let found = visitors.iter_mut().find(|socket| socket.id == cut[0].to_string()).unwrap();
    found.expect_end();
    app.until(connections(1)).blocking().unwrap();
}

#[test]
fn things_go_wrong_on_demand() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let mut socket = visitor(&app);
    let target = target(&app);

    app.fault(Fault::refuse_connections(4100).reason("full").times(1)).unwrap();
    assert_eq!(target.upgrade("protocol=7").expect_close_with(4100), "full");
    let _admitted = target.connect();

    app.fault(Fault::drop_frames().event("a").times(1)).unwrap();
    app.fault(Fault::duplicate_frames().event("b").times(1)).unwrap();
    app.fault(Fault::reorder_frames().event("c").to_socket(&socket.id).times(1)).unwrap();
    for name in ["a", "b", "c", "d"] {
        target.publish("room", name, "{}");
    }
    for name in ["b", "b", "d", "c"] {
        socket.expect_on("room", name);
    }
    app.fault(Fault::reorder_frames().channel("room").times(1)).unwrap();
    target.publish("room", "last", "{}");
    app.until(logged(Kind::Fault).name("last")).blocking().unwrap();
    app.advance(Duration::from_secs(30)).unwrap();
    socket.expect_on("room", "last");
    app.fault(Fault::delay_frames(HALF_AN_HOUR).channel("room").times(1)).unwrap();
    target.publish("room", "late", "{}");
    app.until(logged(Kind::Fault).name("late")).blocking().unwrap();
    app.advance(HALF_AN_HOUR).unwrap();
    socket.expect_on("room", "late");

    let down = app.fault(Fault::http_status(503).path("/events").body("down")).unwrap();
    let answer = target.events(&json!({ "channel": "room", "name": "e", "data": "{}" }));
    assert_eq!((answer.status, answer.text()), (503, "down"));
    assert_eq!(app.faults()[0]["used"], json!(1));
    assert!(app.clear_fault(down));
    target.publish("room", "e", "{}");
    socket.expect_on("room", "e");

    app.fault(Fault::ignore_pings().times(1)).unwrap();
    for _ in 0..2 {
        socket.send(&json!({ "event": "pusher:ping", "data": {} }));
    }
    socket.expect("pusher:pong");
    socket.assert_silence();
}

#[test]
fn half_an_hour_takes_a_moment() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    target(&app).publish("cache-topic", "topic", r#""spring""#);
    target(&app).connect().subscribe("cache-topic");
    app.until(delivered().name("topic").count(1)).blocking().unwrap();
    assert_eq!(app.advance(HALF_AN_HOUR).unwrap(), HALF_AN_HOUR);
    let mut late = target(&app).connect();
    late.send(&json!({ "event": "pusher:subscribe", "data": { "channel": "cache-topic" } }));
    late.expect_on("cache-topic", "pusher_internal:subscription_succeeded");
    late.expect_on("cache-topic", "pusher:cache_miss");
}

#[test]
fn what_is_due_next_is_met_without_knowing_when() {
    let broker = Broker::new().unwrap();
    let app = broker.app();
    let mut silent = target(&app).connect();
    silent.answers_pings = false;
    assert_eq!(app.advance_to_next().blocking().unwrap().due, [Timed::Ping]);
    assert_eq!(app.advance_to_next().blocking().unwrap().due, [Timed::PongTimeout]);
    silent.expect_close_with(4201);
    assert!(matches!(app.advance_to_next().blocking(), Err(TestError::NothingDue { .. })));
}

#[test]
fn a_pipe_that_keeps_a_pace_goes_by_the_same_clock() {
    let broker = Broker::new().unwrap();
    let app = broker
        .new_app_with(|app| {
            let rule = RuleSpec::parse("room:frame=mirror:frame").unwrap();
            app.pipe = vec![RuleSpec {
                min_interval: Some(HALF_AN_HOUR),
                keep_latest: true,
                hears_http: true,
                ..rule
            }];
        })
        .unwrap();
    let mut mirror = target(&app).connect();
    mirror.subscribe("mirror");
    for n in 1..=3 {
        target(&app).publish("room", "frame", &n.to_string());
    }
    assert_eq!(mirror.expect_on("mirror", "frame").data, json!("1"));
    app.advance(HALF_AN_HOUR).unwrap();
    assert_eq!(mirror.expect_on("mirror", "frame").data, json!("3"));
}

#[test]
fn webhooks_are_awaited_and_fail_on_demand() {
    let broker = Broker::new().unwrap();
    let sink = Sink::start(&Credentials::new("1", "my-key", "my-secret"));
    let app = broker
        .new_app_with(|app| {
            app.app.keys = vec![Key { key: "my-key".into(), secret: Secret::new("my-secret") }];
            app.webhooks.endpoints = vec![WebhookEndpoint::new(&sink.url()).unwrap()];
        })
        .unwrap();
    app.fault(Fault::webhooks_status(500).times(1)).unwrap();
    let _socket = visitor(&app);
    let occupied = |kind| logged(kind).name("channel_occupied").channel("room");
    app.until(occupied(Kind::WebhookFailed).status(500)).blocking().unwrap();
    app.advance(HALF_AN_HOUR).unwrap();
    app.until(webhook().name("channel_occupied").count(1)).blocking().unwrap();
    assert_eq!(sink.webhook().event()["channel"], "room");
}

#[test]
fn nobody_goes_on_sending_for_an_app_that_has_ended() {
    let broker = Broker::new().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = broker
        .new_app_with(|app| {
            app.webhooks.endpoints = vec![WebhookEndpoint::new(&format!("http://{nobody}/")).unwrap()];
        })
        .unwrap();
    let _socket = visitor(&app);
    app.until(logged(Kind::WebhookFailed).name("channel_occupied")).blocking().unwrap();
    let log = Arc::clone(&broker.webhooks().endpoints(app.id())[0].log);
    assert_eq!(log.counts().waiting, 1);
    drop(app);
    let deadline = Instant::now() + Duration::from_secs(10);
    while log.counts().waiting > 0 {
        assert!(Instant::now() < deadline, "{:?}", log.counts());
        std::thread::yield_now();
    }
}

#[test]
fn apps_and_brokers_know_nothing_of_each_other() {
    let (one, other) = (Broker::new().unwrap(), Broker::new().unwrap());
    let (app, neighbour, stranger) = (one.new_app().unwrap(), one.app(), other.app());
    let mut socket = visitor(&app);
    app.until(subscribers("room", 1)).blocking().unwrap();
    for nobody in [&neighbour, &stranger] {
        nobody.until(nothing(Duration::from_millis(10), anything())).blocking().unwrap();
        assert!(nobody.log(anything()).is_empty());
    }
    let last = app.last();
    target(&app).publish("room", "e", "{}");
    assert_eq!(app.log(event().after(last)).len(), 1);
    // What is on its way would be in the new log.
    app.until(delivered().name("e").count(1)).blocking().unwrap();
    app.reset();
    assert!(app.log(anything()).is_empty());
    drop(app);
    socket.expect_on("room", "e");
    socket.expect_close_with(4001);
    neighbour.until(connections(Count::at_most(0))).blocking().unwrap();
}

#[test]
fn a_program_of_its_own_process_finds_the_app() {
    let broker = Broker::new().unwrap();
    let app = broker.new_app().unwrap();
    let environment = app.environment(&["REACT_APP_"]);
    let value =
        |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(value("PUSHER_APP_KEY"), Some(app.key()));
    assert_eq!(value("REACT_APP_PUSHER_PORT"), Some(broker.address().port().to_string().as_str()));
    assert_eq!(value("PUSHER_TEST_TOKEN"), Some(broker.test_mode().token()));
    assert_eq!(value("PUSHER_TEST_URL"), Some(format!("{}/test", broker.url()).as_str()));
}

#[test]
fn nobody_waits_for_a_broker_that_has_stopped() {
    let broker = Broker::new().unwrap();
    let app = broker.new_app().unwrap();
    let waiting = app.until(connections(1));
    let thread = std::thread::spawn(move || waiting.blocking());
    drop(broker);
    let told = thread.join().unwrap().unwrap_err().to_string();
    assert!(told.contains("but the app or its broker ended") || told.contains("had stopped"), "{told}");
    let late = app.until(connections(1)).blocking().unwrap_err();
    assert!(late.to_string().contains("had stopped") || late.to_string().contains("ended"), "{late}");
    assert!(app.advance(HALF_AN_HOUR).is_err());
    assert!(app.fault(Fault::drop_frames()).is_ok(), "a fault of an app that nobody can reach harms nobody");
}

#[test]
fn a_broker_without_test_mode_has_no_apps_to_ask_for() {
    let broker = Broker::builder(Config::development()).without_test_mode().start().unwrap();
    let error = broker.new_app().unwrap_err().to_string();
    assert!(error.contains("not in test mode"), "{error}");
    assert!(broker.app_by_id("1001").is_none());
}
