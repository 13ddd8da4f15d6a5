//! How webhooks are delivered: one by one or together, again where they were not taken, and what endpoints that
//! misbehave do to others.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::sink::{Answer, Webhook};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Shared, Sink, Socket, Target, broker as command, skipped, unique};
use serde_json::{Value, json};

use crate::webhooks::{broker, is, names, sink};

/// Retries that a test can wait for.
const QUICK: &str = "[apps.webhook_delivery]\nremoval_delay_seconds = 0.1\ntimeout_seconds = 0.5\n\
                     retry_first_seconds = 0.1\nretry_longest_seconds = 0.4\n";

/// Occupies a channel, and stays.
#[track_caller]
fn occupy(target: &Target) -> (Socket, String) {
    let channel = unique("room-");
    let mut socket = target.connect();
    socket.subscribe(&channel);
    (socket, channel)
}

/// Without batching every event has a request of its own, however many there are at once. Connections are used again.
///
/// Proves: 216.
#[test]
fn without_batching_each_event_has_its_own_request() {
    const CHANNELS: usize = 60;
    let sink = sink();
    let Some(target) = broker("", &sink) else { return };
    let mut socket = target.connect();
    let mut channels: Vec<String> = (0..CHANNELS).map(|_| unique("room-")).collect();
    channels.iter().for_each(|channel| socket.subscribe(channel));
    let mut told: Vec<String> =
        (0..CHANNELS).map(|_| sink.webhook().event()["channel"].as_str().unwrap().to_owned()).collect();
    told.sort_unstable();
    channels.sort_unstable();
    assert_eq!(told, channels);
    let connections = sink.connections();
    assert!(connections < CHANNELS / 2, "{connections} connections for {CHANNELS} requests");
}

/// With batching the events of a short time share requests, up to a number; and those of a channel stay in their order,
/// within a request and from one to the next.
///
/// Proves: 217.
#[test]
fn batches_keep_the_order_of_each_channel() {
    const EVENTS: u64 = 120;
    let sink = sink();
    let settings = "limits = { client_events_per_second = 0 }\n[apps.webhook_delivery]\nbatching = true\n\
                    batch_window_seconds = 0.3\nbatch_events = 20\n";
    let Some(target) = broker(settings, &sink) else { return };
    let channels: [String; 3] = std::array::from_fn(|_| unique("private-"));
    let mut socket = target.connect();
    channels.iter().for_each(|channel| socket.subscribe_private(channel));
    for n in 0..EVENTS {
        socket.trigger(&channels[(n % 3) as usize], "client-count", &json!(n));
    }
    let mut events: Vec<Value> = Vec::new();
    let mut requests = 0;
    while (events.len() as u64) < EVENTS + 3 {
        let webhook = sink.webhook();
        assert!(webhook.events().len() <= 20, "{}", webhook.body);
        events.extend(webhook.events());
        requests += 1;
    }
    assert!(requests < 30, "{requests} requests for {} events", events.len());
    for (first, channel) in (0..).zip(&channels) {
        let here: Vec<&Value> = events.iter().filter(|event| event["channel"] == channel.as_str()).collect();
        assert_eq!(here[0]["name"], "channel_occupied");
        let numbers = here[1..].iter().map(|event| event["data"].as_str().unwrap().parse::<u64>().unwrap());
        assert!(numbers.eq((first..EVENTS).step_by(3)), "{channel}");
    }
}

/// What was not taken is sent again, the very same bytes, after pauses that grow, for a limited time; then it is given
/// up, and what comes later is sent as if nothing had been.
///
/// Proves: 227.
#[test]
fn what_is_not_taken_is_sent_again_for_a_while() {
    let sink = sink();
    let settings = "[apps.webhook_delivery]\nretry_first_seconds = 0.2\nretry_longest_seconds = 0.8\n\
                    give_up_after_seconds = 2.9\n";
    let Some(target) = broker(settings, &sink) else { return };
    sink.usually(Answer::Status(500));
    let (_first, channel) = occupy(&target);
    // 0.2 s, 0.4 s, 0.8 s, 0.8 s; the next would be too late.
    let tries: Vec<Webhook> = (0..5).map(|_| sink.webhook()).collect();
    assert!(is("channel_occupied", &channel)(&tries[0].event()));
    let headers = |webhook: &Webhook| {
        let other = webhook.headers.iter().filter(|(name, _)| name != "x-heliostat-attempt");
        other.cloned().collect::<Vec<_>>()
    };
    for (again, number) in tries[1..].iter().zip(2..) {
        assert_eq!((&again.body, headers(again)), (&tries[0].body, headers(&tries[0])));
        assert_eq!((again.ids(), again.attempt()), (tries[0].ids(), number));
    }
    assert_eq!(tries[0].attempt(), 1);
    let pauses: Vec<Duration> = tries.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (pause, least) in pauses.iter().zip([200, 400, 800, 800]) {
        assert!(*pause >= Duration::from_millis(least - 20), "{pauses:?}");
    }
    assert!(sink.webhook_within(Duration::from_millis(1500)).is_none(), "it has been given up");
    assert!(target.broker().is_none_or(|broker| broker.log().contains("webhook given up")));
    sink.usually(Answer::Status(200));
    let (_second, channel) = occupy(&target);
    assert!(is("channel_occupied", &channel)(&sink.webhook().event()));
}

/// Any status from 200 to 299 means that a webhook is delivered: it is not sent again.
///
/// Proves: 228.
#[test]
fn any_two_hundred_is_a_delivery() {
    let sink = sink();
    let Some(target) = broker(QUICK, &sink) else { return };
    for status in [204, 201, 299, 204] {
        sink.next_answers([Answer::Status(status)]);
        let (_socket, channel) = occupy(&target);
        assert!(is("channel_occupied", &channel)(&sink.webhook().event()), "{status}");
        let events = {
            drop(_socket);
            sink.events_until(is("channel_vacated", &channel))
        };
        assert_eq!(events.len(), 1, "{status}: {events:?}");
    }
}

/// Refusing, redirecting, failing, hanging, and hanging up in the middle of an answer: each of it means that the webhook
/// is sent again, and nothing is sent anywhere else.
///
/// Proves: 227, bad input.
#[test]
fn whatever_an_endpoint_does_wrong_the_webhook_comes_again() {
    let (sink, elsewhere) = (sink(), sink());
    let Some(target) = broker(QUICK, &sink) else { return };
    let faults = [
        Answer::Redirect(elsewhere.url()),
        Answer::Status(400),
        Answer::Status(404),
        Answer::Status(500),
        Answer::Status(503),
        Answer::Hang,
        Answer::ResetMidBody,
    ];
    for fault in faults {
        sink.next_answers([fault.clone(), fault.clone()]);
        let (_socket, channel) = occupy(&target);
        let tries = [sink.webhook(), sink.webhook(), sink.webhook()];
        for webhook in &tries {
            assert!(is("channel_occupied", &channel)(&webhook.event()), "{fault:?}");
            assert_eq!(webhook.body, tries[0].body, "{fault:?}");
        }
        drop(_socket);
        let events = sink.events_until(is("channel_vacated", &channel));
        assert_eq!(events.len(), 1, "{fault:?}: the third time it was taken: {events:?}");
    }
    assert!(elsewhere.webhook_within(Duration::ZERO).is_none(), "redirects are not followed");
}

/// An endpoint that is down gets everything when it is back, each channel in its order.
///
/// Proves: 227, bad input.
#[test]
fn an_endpoint_that_was_down_gets_everything() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let config = format!("{MAIN_APP}{QUICK}[[apps.webhooks]]\nurl = \"http://{address}/webhooks\"\n");
    let Some(target) = Target::own(&config) else { return };
    let channels: Vec<String> = (0..20).map(|_| unique("presence-")).collect();
    let mut socket = target.connect();
    for channel in &channels {
        socket.subscribe_presence(channel, "ann", &json!(null));
    }
    crate::eventually("the first failure is logged", || {
        target.broker()?.log().contains("webhook not delivered").then_some(())
    });
    let sink =
        Sink::on(TcpListener::bind(address).expect("the port is still free"), &Shared::Main.credentials());
    drop(socket);
    let mut events = Vec::new();
    while !channels.iter().all(|channel| events.iter().any(is("channel_vacated", channel))) {
        events.extend(sink.webhook().events());
    }
    for channel in &channels {
        let expected = ["channel_occupied", "member_added", "member_removed", "channel_vacated"];
        assert_eq!(names(&events, channel), expected);
    }
}

/// An endpoint that hangs delays neither another nor the broker.
///
/// Proves: bad input.
#[test]
fn a_hanging_endpoint_delays_nobody() {
    const CHANNELS: usize = 100;
    let (hanging, healthy) = (sink(), sink());
    hanging.usually(Answer::Hang);
    let config = format!(
        "{MAIN_APP}[[apps.webhooks]]\nurl = \"{}\"\n[[apps.webhooks]]\nurl = \"{}\"\n",
        hanging.url(),
        healthy.url()
    );
    let Some(target) = Target::own(&config) else { return };
    let begun = Instant::now();
    let mut socket = target.connect();
    for _ in 0..CHANNELS {
        socket.subscribe(&unique("room-"));
    }
    for _ in 0..CHANNELS {
        assert_eq!(healthy.webhook().event()["name"], "channel_occupied");
    }
    socket.assert_silence();
    // The time that the hanging one is given is ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    let held: Vec<Webhook> = (0..8).map(|_| hanging.webhook()).collect();
    assert_eq!(hanging.connections(), held.len(), "requests at once");
}

/// What waits is bounded: of an endpoint that takes nothing, further events are dropped, and the log says how many.
///
/// Proves: bad input.
#[test]
fn what_waits_is_bounded_and_drops_are_logged() {
    let sink = sink();
    sink.usually(Answer::Hang);
    let settings = "[apps.webhook_delivery]\nqueue_events = 5\nrequests_at_once = 2\ntimeout_seconds = 1\n\
                    retry_first_seconds = 0.1\n";
    let Some(target) = broker(settings, &sink) else { return };
    let mut socket = target.connect();
    let mut subscribed = Vec::new();
    crate::eventually("the drop is logged", || {
        let channel = unique("room-");
        socket.subscribe(&channel);
        subscribed.push(channel);
        target.broker()?.log().contains("webhook events dropped").then_some(())
    });
    assert!(subscribed.len() > 5, "{} events", subscribed.len());
    sink.usually(Answer::Status(200));
    let mut delivered = Vec::new();
    while delivered.len() < 5 {
        let event = sink.webhook().event();
        if !delivered.contains(&event) {
            delivered.push(event);
        }
    }
    for (event, channel) in delivered.iter().zip(&subscribed) {
        assert!(delivered.iter().any(is("channel_occupied", channel)), "the first ones are kept: {event}");
    }
}

/// When the broker ends, nothing is held back: every subscription that it ends is told before it is gone.
///
/// Proves: 219, 221.
#[test]
fn the_last_webhooks_are_sent_before_the_end() {
    let sink = sink();
    let Some(target) = broker("", &sink) else { return };
    let (room, meeting, left) = (unique("room-"), unique("presence-"), unique("room-"));
    let mut sockets: Vec<Socket> = (0..5).map(|_| target.connect()).collect();
    sockets[0].subscribe(&left);
    sockets[0].unsubscribe(&left);
    sockets[0].assert_silence();
    for socket in &mut sockets {
        socket.subscribe(&room);
        let user = socket.id.clone();
        socket.subscribe_presence(&meeting, &user, &json!(null));
    }
    let begun = Instant::now();
    target.broker().unwrap().terminate();
    for socket in &mut sockets {
        while !matches!(socket.receive(), Incoming::Close(_)) {}
        socket.vanish();
    }
    let status = target.broker().unwrap().await_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{}", target.broker().unwrap().log());
    assert!(begun.elapsed() < Duration::from_secs(3), "removals were held back: {:?}", begun.elapsed());
    let mut events = Vec::new();
    while let Some(webhook) = sink.webhook_within(Duration::ZERO) {
        events.extend(webhook.events());
    }
    for channel in [&room, &left] {
        assert_eq!(names(&events, channel), ["channel_occupied", "channel_vacated"]);
    }
    let members = names(&events, &meeting);
    assert_eq!(members.iter().filter(|name| **name == "member_added").count(), 5);
    assert_eq!(members.iter().filter(|name| **name == "member_removed").count(), 5);
    assert_eq!(members.last(), Some(&"channel_vacated"));
}

/// An endpoint that takes nothing cannot hold the end up, and the log says what was given up.
///
/// Proves: bad input.
#[test]
fn an_endpoint_cannot_hold_the_end_up() {
    let sink = sink();
    sink.usually(Answer::Hang);
    let config = format!(
        "[server]\nshutdown_grace_seconds = 1\n{MAIN_APP}[[apps.webhooks]]\nurl = \"{}\"\n",
        sink.url()
    );
    let Some(target) = Target::own(&config) else { return };
    let (_socket, _) = occupy(&target);
    let _ = sink.webhook();
    let begun = Instant::now();
    let broker = target.broker().unwrap();
    broker.terminate();
    let status = broker.await_exit(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{}", broker.log());
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    assert!(broker.log().contains("webhook events given up"), "{}", broker.log());
}

/// `webhooks send-test` sends a sample to each endpoint that matches, prints what it answers, and tells by its exit code
/// whether all have taken it.
///
/// Proves: pages.
#[test]
fn an_endpoint_can_be_tried_out() {
    if skipped("it is about the broker's own command line") {
        return;
    }
    let (good, bad) = (sink(), sink());
    bad.usually(Answer::Status(418));
    let path = std::env::temp_dir().join(format!("{}.toml", unique("send-test-")));
    let config = format!(
        "{MAIN_APP}[[apps.webhooks]]\nurl = \"{}\"\nevents = [\"presence\"]\nchannels = \"presence-room-*\"\n\
         [[apps.webhooks]]\nurl = \"{}\"\nevents = [\"client_event\"]\n",
        good.url(),
        bad.url()
    );
    std::fs::write(&path, config).unwrap();
    let send = |arguments: &[&str]| {
        let mut command = command::command();
        command.args(["webhooks", "send-test", "--config"]).arg(&path).args(arguments);
        let output = command.output().expect("the broker's command runs");
        let [said, complaint] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), said, complaint)
    };
    let (code, said, complaint) = send(&["--app", "1001", "--endpoint", &good.url()]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{said}");
    let line = format!("app 1001, member_added to {}: 200 in ", good.url());
    assert!(said.starts_with(&line) && said.ends_with(" ms\n    answered\n"), "{said}");
    let event = good.webhook().event();
    assert_eq!(
        event,
        json!({ "name": "member_added", "channel": "presence-room-sample", "user_id": "sample-user" })
    );
    let (code, said, _) = send(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("client_event to") && said.contains(": 418 in "), "{said}");
    assert_eq!(bad.webhook().event()["name"], "client_event");
    let (code, said, complaint) = send(&["--type", "cache_miss"]);
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert!(complaint.contains("no webhook is configured that matches"), "{complaint}");
    let (code, _, complaint) = send(&["--type", "member_add"]);
    assert!(code == Some(2) && complaint.contains("did you mean \"member_added\"?"), "{complaint}");
    std::fs::remove_file(path).unwrap();
}
