//! Webhooks: which events an app's backend is told of, and in which words.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::sink::Webhook;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Shared, Sink, Socket, Target, unique};
use serde_json::{Value, json};

use crate::fence;

/// How long removals are held back where a test does not want to wait for the three seconds of the protocol.
const SHORT: &str = "[apps.webhook_delivery]\nremoval_delay_seconds = 0.4\n";

/// An endpoint for the main app.
pub(crate) fn sink() -> Sink {
    Sink::start(&Shared::Main.credentials())
}

/// A broker whose main app has these further lines, and an endpoint that is told everything.
pub(crate) fn broker(more: &str, sink: &Sink) -> Option<Target> {
    Target::own(&format!("{MAIN_APP}{more}\n[[apps.webhooks]]\nurl = \"{}\"\n", sink.url()))
}

/// Whether an event is of this type on this channel.
pub(crate) fn is(name: &str, channel: &str) -> impl Fn(&Value) -> bool {
    move |event| event["name"] == name && event["channel"] == channel
}

/// The names of the events on a channel.
pub(crate) fn names<'e>(events: &'e [Value], channel: &str) -> Vec<&'e str> {
    let here = events.iter().filter(|event| event["channel"] == channel);
    here.filter_map(|event| event["name"].as_str()).collect()
}

/// A webhook is a POST with exactly the content type that libraries compare with, signed over its bytes, and dated in
/// milliseconds. The endpoint of the test refuses anything else; here is what it looks like.
///
/// Proves: 212, 213, 214, 215.
#[test]
fn a_webhook_is_signed_json() {
    let sink = sink();
    let Some(target) = broker(SHORT, &sink) else { return };
    let channel = unique("room-");
    target.connect().subscribe(&channel);
    let webhook: Webhook = sink.webhook();
    assert_eq!(webhook.header("content-type"), Some("application/json"));
    assert_eq!(webhook.header("x-pusher-key"), Some("app-key"));
    assert_eq!(webhook.header("transfer-encoding"), None);
    // Backends that look for headers by their very names are many.
    for name in ["Content-Type", "X-Pusher-Key", "X-Pusher-Signature"] {
        assert!(webhook.head.contains(&format!("\r\n{name}: ")), "{}", webhook.head);
    }
    assert_eq!(webhook.path, "/webhooks");
    let body = webhook.json();
    assert_eq!(crate::keys(&body), ["events", "time_ms"]);
    assert!(body["time_ms"].is_u64());
    assert_eq!(webhook.event(), json!({ "name": "channel_occupied", "channel": channel }));
}

/// Of several pairs of credentials the oldest signs. Headers of the configuration are sent as well.
///
/// Proves: 213, 214.
#[test]
fn the_oldest_key_signs() {
    let sink = Sink::start(&Credentials::new("1003", "old-key", "old-secret"));
    let config = format!(
        "[[apps]]\nid = \"1003\"\nkeys = [{{ key = \"old-key\", secret = \"old-secret\" }}, \
         {{ key = \"new-key\", secret = \"new-secret\" }}]\n\
         [[apps.webhooks]]\nurl = \"{}?who=me\"\nheaders = {{ Authorization = \"Bearer token\", X-Tenant = \"t\" }}\n",
        sink.url()
    );
    let Some(target) = Target::own(&config) else { return };
    let target = target.with_credentials(Credentials::new("1003", "new-key", "new-secret"));
    target.connect().subscribe(&unique("room-"));
    let webhook = sink.webhook();
    assert_eq!(webhook.header("authorization"), Some("Bearer token"));
    assert_eq!(webhook.header("x-tenant"), Some("t"));
    assert_eq!(webhook.path, "/webhooks?who=me");
}

/// The first subscriber occupies a channel at once, and the last one vacates it, which is told about three seconds
/// later. Those between change nothing.
///
/// Proves: 218, 219.
#[test]
fn the_first_subscriber_occupies_and_the_last_one_vacates() {
    const DELAY: Duration = Duration::from_secs(3);
    const DELIVERY: Duration = Duration::from_secs(1);
    let sink = sink();
    let Some(target) = broker("", &sink) else { return };
    let channel = unique("room-");
    let (mut first, mut second) = (target.connect(), target.connect());
    let subscribed = Instant::now();
    first.subscribe(&channel);
    let webhook = sink.webhook();
    assert_eq!(webhook.event(), json!({ "name": "channel_occupied", "channel": channel }));
    assert!(webhook.at - subscribed < DELIVERY);
    second.subscribe(&channel);
    first.unsubscribe(&channel);
    first.assert_silence();
    let left = Instant::now();
    second.vanish();
    let webhook = sink.webhook();
    assert_eq!(webhook.event(), json!({ "name": "channel_vacated", "channel": channel }));
    let waited = webhook.at - left;
    assert!(waited > DELAY - DELIVERY && waited < DELAY + DELIVERY, "after {waited:?}");
}

/// Who returns within the delay has never been away: neither the leaving nor the return is told, for channels and for
/// members alike. Each further absence has a delay of its own.
///
/// Proves: 220, 222.
#[test]
fn a_quick_return_is_not_told() {
    let sink = sink();
    let Some(target) = broker("[apps.webhook_delivery]\nremoval_delay_seconds = 1.0\n", &sink) else {
        return;
    };
    let (room, meeting) = (unique("room-"), unique("presence-"));
    let mut socket = target.connect();
    for round in 0..3 {
        socket.subscribe(&room);
        socket.subscribe_presence(&meeting, "ann", &json!(null));
        match round {
            // A page is reloaded.
            0 => {
                socket.vanish();
                socket = target.connect();
            }
            _ => {
                socket.unsubscribe(&room);
                socket.unsubscribe(&meeting);
                socket.assert_silence();
            }
        }
    }
    let mut events = sink.events_until(is("channel_vacated", &room));
    if !events.iter().any(is("channel_vacated", &meeting)) {
        events.extend(sink.events_until(is("channel_vacated", &meeting)));
    }
    assert_eq!(names(&events, &room), ["channel_occupied", "channel_vacated"]);
    let expected = ["channel_occupied", "member_added", "member_removed", "channel_vacated"];
    assert_eq!(names(&events, &meeting), expected, "once each, in their order");
}

/// Members are told of once per user, however many connections a user has. An id that was a number is a string.
///
/// Proves: 221.
#[test]
fn members_come_and_go_as_users() {
    let sink = sink();
    let Some(target) = broker(SHORT, &sink) else { return };
    let channel = unique("presence-");
    let mut sockets: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    sockets[0].join(&channel, r#"{"user_id":7}"#);
    sockets[1].join(&channel, r#"{"user_id":"7"}"#);
    sockets[2].join(&channel, r#"{"user_id":"bob","user_info":{"name":"Bob"}}"#);
    sockets.iter_mut().for_each(|socket| {
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    });
    let member = |name: &str, id: &str| json!({ "name": name, "channel": channel, "user_id": id });
    let bob = member("member_added", "bob");
    let events = sink.events_until(|event| *event == bob);
    assert_eq!(events[1..], [member("member_added", "7"), bob]);
    sockets[0].vanish();
    sockets[2].unsubscribe(&channel);
    let gone = sink.webhook().event();
    assert_eq!(gone, member("member_removed", "bob"), "7 is still there");
    sockets[1].vanish();
    assert_eq!(sink.webhook().event(), member("member_removed", "7"));
    assert_eq!(sink.webhook().event(), json!({ "name": "channel_vacated", "channel": channel }));
}

/// A client event is told with its payload as a string, and with the sender's user id on presence channels and nowhere
/// else. What was refused is not told, and neither is what a backend publishes.
///
/// Proves: 223, 224.
#[test]
fn client_events_are_told_as_they_were_delivered() {
    let sink = sink();
    let types = format!("[[apps.webhooks]]\nurl = \"{}\"\nevents = [\"client_event\"]\n", sink.url());
    let limits = "limits = { client_event_payload_bytes = 100, client_events_per_second = 1 }\n";
    let Some(target) = Target::own(&format!("{MAIN_APP}{limits}{types}")) else { return };
    let (private, presence, public) = (unique("private-"), unique("presence-"), unique("room-"));
    let refused = [
        json!({ "event": "client-no", "channel": public, "data": 1 }),
        json!({ "event": "client-no", "channel": unique("private-"), "data": 1 }),
        json!({ "event": "client-no", "channel": private, "data": "x".repeat(101) }),
        json!({ "event": "client-no", "channel": private }),
    ];
    for event in &refused {
        let mut socket = target.connect();
        socket.subscribe(&public);
        socket.subscribe_private(&private);
        socket.send(event);
        socket.expect("pusher:error");
    }
    let accepted = [
        (&private, r#"{ "on": [true, null] }"#, r#"{"on":[true,null]}"#),
        (&presence, r#""a \"string\"""#, r#"a "string""#),
        (&private, "7", "7"),
        (&presence, "null", "null"),
    ];
    for (channel, data, delivered) in accepted {
        let mut socket = target.connect();
        socket.subscribe_private(&private);
        socket.subscribe_presence(&presence, "ann", &json!(null));
        let event = |name: &str| {
            format!(r#"{{"event":"{name}","channel":"{channel}","data":{data},"user_id":"forged"}}"#)
        };
        // The second one is too many for this second.
        let (yes, no) = (event("client-yes"), event("client-no"));
        socket.send_together([yes.as_str(), no.as_str()]);
        socket.expect_some_error(Some(4301));
        target.publish(channel, "client-no", "1");
        let mut expected = json!({
            "name": "client_event", "channel": channel, "event": "client-yes", "data": delivered,
            "socket_id": socket.id,
        });
        if channel == &presence {
            expected["user_id"] = json!("ann");
        }
        assert_eq!(sink.webhook().event(), expected);
    }
}

/// The first subscriber of a cache channel that remembers nothing reports it, and nobody after it, also when the channel
/// was empty meanwhile; until it has remembered something and lost it again.
///
/// Proves: 225.
#[test]
fn a_cache_miss_is_told_once_per_empty_period() {
    let sink = sink();
    let endpoint = format!("[[apps.webhooks]]\nurl = \"{}\"\nevents = [\"cache_miss\"]\n", sink.url());
    let config = format!("{MAIN_APP}limits = {{ cached_channels = 1 }}\n{endpoint}");
    let Some(target) = Target::own(&config) else { return };
    let (channel, other) = (unique("cache-"), unique("private-cache-"));
    let miss = |channel: &str| json!({ "name": "cache_miss", "channel": channel });
    let subscribe = |channel: &str| {
        let mut socket = target.connect();
        if channel.starts_with("private-") {
            socket.subscribe_private(channel)
        } else {
            socket.subscribe(channel)
        }
        socket
    };
    {
        let mut crowd: Vec<Socket> = (0..5).map(|_| subscribe(&channel)).collect();
        crowd.iter_mut().for_each(|socket| drop(socket.expect_on(&channel, "pusher:cache_miss")));
        assert_eq!(sink.webhook().event(), miss(&channel));
    }
    crate::eventually("everybody has left", || {
        let answer = target.get(&format!("/channels/{channel}")).send().json();
        (answer["occupied"] == false).then_some(())
    });
    subscribe(&channel).expect_on(&channel, "pusher:cache_miss");
    subscribe(&other).expect_on(&other, "pusher:cache_miss");
    assert_eq!(sink.webhook().event(), miss(&other), "nothing of the first channel came before it");
    target.publish(&channel, "price", "1");
    subscribe(&channel).expect_on(&channel, "price");
    // There is room for one: the first channel forgets.
    target.publish(&other, "price", "1");
    subscribe(&channel).expect_on(&channel, "pusher:cache_miss");
    assert_eq!(sink.webhook().event(), miss(&channel));
}

/// Subscription counts are told as integers, where the app has them and not of presence channels; with every change
/// while subscribers are few, also the last.
///
/// Proves: 226.
#[test]
fn subscription_counts_are_integers() {
    let sink = sink();
    let endpoint =
        |types: &str| format!("[[apps.webhooks]]\nurl = \"{}\"\nevents = [\"{types}\"]\n", sink.url());
    let config = format!("{MAIN_APP}subscription_count = true\n{}", endpoint("subscription_count"));
    let Some(target) = Target::own(&config) else { return };
    let (room, meeting) = (unique("private-"), unique("presence-"));
    let mut socket = target.connect();
    socket.subscribe_presence(&meeting, "ann", &json!(null));
    let told =
        |count: u64| json!({ "name": "subscription_count", "channel": room, "subscription_count": count });
    let mut crowd: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    for (socket, count) in crowd.iter_mut().zip(1..) {
        let auth = socket.auth(&room, None);
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": room, "auth": auth } }));
        assert_eq!(sink.webhook().event(), told(count));
    }
    for (socket, count) in crowd.iter_mut().zip([2, 1, 0]) {
        socket.vanish();
        assert_eq!(sink.webhook().event(), told(count));
    }

    let off = format!("{MAIN_APP}{}{}", endpoint("subscription_count"), endpoint("channel_occupied"));
    let target = Target::own(&off).expect("the suite runs its own brokers");
    target.connect().subscribe_private(&room);
    let first = sink.webhook().event();
    assert_eq!(first["name"], "channel_occupied", "the app has no counts: {first}");
}

/// Above a hundred subscribers the count is told as seldom as subscribers are told it, with the latest number.
///
/// Proves: 226.
#[test]
fn the_count_of_a_crowd_is_told_seldom() {
    let sink = sink();
    let endpoint =
        format!("[[apps.webhooks]]\nurl = \"{}\"\nevents = [\"subscription_count\"]\n", sink.url());
    let Some(target) = Target::own(&format!("{MAIN_APP}subscription_count = true\n{endpoint}")) else {
        return;
    };
    let room = unique("room-");
    let subscribe = |_| {
        let mut socket = target.connect();
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": room } }));
        socket
    };
    let counted = || sink.webhook_within(Duration::from_secs(8)).map(|webhook| webhook.event());
    let told =
        |count: u64| json!({ "name": "subscription_count", "channel": room, "subscription_count": count });
    let _few: Vec<Socket> = (0..100).map(subscribe).collect();
    let counts: Vec<Option<Value>> = (0..100).map(|_| counted()).collect();
    assert_eq!(counts.last(), Some(&Some(told(100))));
    let _more: Vec<Socket> = (0..10).map(subscribe).collect();
    assert_eq!(counted(), Some(told(110)), "the latest number, and no number before it");
    assert!(sink.webhook_within(Duration::from_millis(300)).is_none(), "nothing has changed since");
}

/// An endpoint is told what it asked for, of the channels that it asked for, and nothing else; what others are told does
/// not change what it is sent.
///
/// Proves: 229.
#[test]
fn an_endpoint_is_told_what_it_asked_for() {
    let (everything, presence, vacated) = (sink(), sink(), sink());
    let config = format!(
        "{MAIN_APP}{SHORT}[[apps.webhooks]]\nurl = \"{}\"\n\
         [[apps.webhooks]]\nurl = \"{}\"\nevents = [\"presence\", \"client_event\"]\nchannels = \"presence-vip-*\"\n\
         [[apps.webhooks]]\nurl = \"{}\"\nevents = [\"channel_vacated\"]\n",
        everything.url(),
        presence.url(),
        vacated.url()
    );
    let Some(target) = Target::own(&config) else { return };
    let (vip, common) = (unique("presence-vip-"), unique("presence-"));
    let mut socket = target.connect();
    for channel in [&common, &vip] {
        socket.subscribe_presence(channel, "ann", &json!(null));
        // It comes back in time, which matters to who is told of vacated channels only.
        socket.unsubscribe(channel);
        socket.subscribe_presence(channel, "ann", &json!(null));
    }
    socket.trigger(&common, "client-x", &json!(1));
    socket.trigger(&vip, "client-x", &json!(1));
    socket.vanish();
    let events = presence.events_until(is("member_removed", &vip));
    assert_eq!(names(&events, &vip), ["member_added", "client_event", "member_removed"]);
    assert_eq!(names(&events, &common), [""; 0]);
    let mut events = vacated.events_until(is("channel_vacated", &vip));
    if events.len() < 2 {
        events.extend(vacated.webhook().events());
    }
    assert_eq!(
        (names(&events, &vip), names(&events, &common)),
        (vec!["channel_vacated"], vec!["channel_vacated"])
    );
    let mut events = everything.events_until(is("channel_vacated", &vip));
    if !events.iter().any(is("channel_vacated", &common)) {
        events.extend(everything.events_until(is("channel_vacated", &common)));
    }
    let all = ["channel_occupied", "member_added", "client_event", "member_removed", "channel_vacated"];
    assert_eq!((names(&events, &vip), names(&events, &common)), (all.to_vec(), all.to_vec()));
}

/// The channel of a signed-in user is nobody else's business.
///
/// Proves: 218, 226.
#[test]
fn the_channels_of_users_are_not_told() {
    let sink = sink();
    let Some(target) = broker("subscription_count = true\n", &sink) else { return };
    let mut socket = target.connect();
    let user = json!({ "id": "u1" }).to_string();
    let auth = user_auth(&target.credentials, &socket.id, &user);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user } }));
    socket.expect("pusher:signin_success");
    socket.subscribe("#server-to-user-u1");
    target.publish("#server-to-user-u1", "greet", "1");
    socket.expect_on("#server-to-user-u1", "greet");
    let room = unique("room-");
    let mut other = target.connect();
    other.send(&json!({ "event": "pusher:subscribe", "data": { "channel": room } }));
    let told = sink.webhook().event();
    assert_eq!(told["channel"], room, "it is the first thing that is told");
    fence(&target, "#server-to-user-u1", [&mut socket]);
}

/// What happened has one id, whoever is told and how often, and no other happening has it: not the same thing of another
/// time, nor of before a restart.
///
/// Proves: 212.
#[test]
fn what_happened_has_an_id() {
    let (here, there) = (sink(), sink());
    let endpoints =
        [&here, &there].map(|sink| format!("[[apps.webhooks]]\nurl = \"{}\"\n", sink.url())).concat();
    let config = format!(
        "{MAIN_APP}subscription_count = true\n[apps.webhook_delivery]\nremoval_delay_seconds = 0\n{endpoints}"
    );
    let (presence, cache) = (unique("presence-"), unique("cache-"));
    let mut all: std::collections::HashMap<String, Value> = std::collections::HashMap::new();
    for _ in 0..2 {
        let Some(target) = Target::own(&config) else { return };
        // The same, over and over.
        for _ in 0..3 {
            let mut ann = target.connect();
            ann.subscribe_presence(&presence, "ann", &json!(null));
            ann.subscribe(&cache);
            for _ in 0..2 {
                ann.trigger(&presence, "client-a", &json!("b"));
            }
            ann.unsubscribe(&presence);
            ann.close();
            let told = |sink: &Sink| {
                let mut told = std::collections::BTreeMap::new();
                // The removal is told last of its channel, and the channels may be told in any order.
                let gone = |told: &std::collections::BTreeMap<String, Value>| {
                    told.values().filter(|event| event["name"] == "channel_vacated").count()
                };
                while gone(&told) < 2 {
                    let webhook = sink.webhook();
                    for (id, event) in webhook.ids().into_iter().zip(webhook.events()) {
                        assert_eq!(told.insert(id, event), None, "twice the same id");
                    }
                }
                told
            };
            let (one, other) = (told(&here), told(&there));
            assert_eq!(one, other);
            let names: std::collections::BTreeSet<&str> =
                one.values().filter_map(|event| event["name"].as_str()).collect();
            assert!(names.len() >= 6, "{names:?}");
            for (id, event) in one {
                assert_eq!(all.insert(id, event), None);
            }
        }
    }
}
