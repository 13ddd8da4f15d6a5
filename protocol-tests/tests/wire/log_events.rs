//! What the log tells of accepted events, so that "no events arrive" can be told from "nobody is subscribed". A broker's own
//! concern.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Pipe, Socket, Target, unique};
use serde_json::{Value, json};

use crate::eventually;

/// A rule that sends on what comes on one channel.
const RULE: &str = "[[apps.pipe]]\nfrom = \"private-in\"\nevent = \"client-in\"\nto = \"out\"\n";

fn broker() -> Option<Target> {
    Target::own_with(Some(&format!("{MAIN_APP}{RULE}")), &["--log-level", "debug"], &[])
}

/// The only line about the accepted event of this name, on this channel or on none.
#[track_caller]
fn told(broker: &Broker, event: &str, channel: Option<&str>) -> String {
    let (event, channel) = (format!("event={event} "), channel.map(|channel| format!("channel={channel} ")));
    let lines = || -> Vec<String> {
        let log = broker.log();
        let lines = log.lines().filter(|line| line.contains("event accepted") && line.contains(&event));
        lines
            .filter(|line| channel.as_ref().map_or(!line.contains("channel="), |named| line.contains(named)))
            .map(str::to_owned)
            .collect()
    };
    let found = eventually(&format!("{event} is told"), || lines().pop());
    assert_eq!(lines().len(), 1, "{:#?}", lines());
    found
}

#[track_caller]
fn assert_parts(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.split(' ').any(|word| word == *part), "no {part}: {line}");
    }
}

/// Three subscribers of the channel.
fn three(target: &Target, channel: &str) -> [Socket; 3] {
    std::array::from_fn(|_| {
        let mut socket = target.connect();
        socket.subscribe_private(channel);
        socket
    })
}

/// Whoever sends an event to a channel with three subscriptions but for one, by whatever door, is told to have sent it to
/// two.
#[test]
fn an_event_is_told_with_how_many_subscriptions_it_goes_to() {
    let Some(target) = broker() else { return };
    let (channel, broker) = (unique("private-"), target.broker().unwrap());
    let mut sockets = three(&target, &channel);
    let except = sockets[0].id.clone();
    let event =
        |name: &str| json!({ "name": name, "channel": channel, "data": "12345", "socket_id": except });

    assert_eq!(target.events(&event("single")).status, 200);
    let mut several = event("several");
    several["channels"] = json!([channel, "nobody-here"]);
    several.as_object_mut().unwrap().remove("channel");
    assert_eq!(target.events(&several).status, 200);
    let elsewhere = told(broker, "several", Some("nobody-here"));
    assert_parts(&elsewhere, &["source=http", "subscriptions=0", "bytes=5"]);
    assert_eq!(target.batch_events(&[event("batched"), event("batched-too")]).status, 200);
    let legacy = target.post_bytes(&format!("/channels/{channel}/events"), "12345").query("name", "legacy");
    assert_eq!(legacy.query("socket_id", &except).send().status, 202);
    for name in ["single", "several", "batched", "batched-too", "legacy"] {
        let line = told(broker, name, Some(&channel));
        assert_parts(&line, &["app=1001", "source=http", "bytes=5", "subscriptions=2"]);
    }

    sockets[0].trigger(&channel, "client-said", &json!("12345"));
    let line = told(broker, "client-said", Some(&channel));
    let sender = format!("socket_id={except}");
    assert_parts(&line, &["app=1001", "source=client", "subscriptions=2", &sender]);

    for (name, version) in [("old", Some("0.2")), ("older", None), ("modern", Some("1.0"))] {
        let mut pipe = Pipe::connect_as(&target, version);
        let params = json!({ "channel": channel, "event": name, "data": "12345", "socket_id": except });
        pipe.request("send_to_channel", &params);
        let line = told(broker, name, Some(&channel));
        assert_parts(&line, &["app=1001", "source=pipe", "bytes=5", "subscriptions=2"]);
        let params = json!({ "event": format!("{name}-alone"), "data": "12345", "socket_id": except });
        pipe.request("send_to_socket", &params);
        let line = told(broker, &format!("{name}-alone"), None);
        assert_parts(&line, &["app=1001", "source=pipe", "bytes=5", &format!("to={except}")]);
    }
}

/// What a rule makes of an event is told beside the event itself, and what is for a user with how many connections hear it.
#[test]
fn what_follows_from_an_event_is_told_too() {
    let Some(target) = broker() else { return };
    let broker = target.broker().unwrap();
    let mut sender = target.connect();
    sender.subscribe_private("private-in");
    let mut hearers: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    hearers.iter_mut().for_each(|hearer| hearer.subscribe("out"));
    sender.trigger("private-in", "client-in", &json!("x"));
    assert_parts(&told(broker, "client-in", Some("private-in")), &["source=client", "subscriptions=0"]);
    assert_parts(&told(broker, "client-in", Some("out")), &["source=pipe", "subscriptions=3"]);

    // It is told when it is accepted, and may be on its way yet.
    hearers.iter_mut().for_each(|hearer| drop(hearer.expect("client-in")));
    for hearer in &mut hearers[..2] {
        let user_data = json!({ "id": "ann" }).to_string();
        let auth = heliostat_protocol_tests::signature::user_auth(&hearer.app, &hearer.id, &user_data);
        hearer.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
        hearer.expect("pusher:signin_success");
        hearer.subscribe("#server-to-user-ann");
    }
    let mut pipe = Pipe::connect_as(&target, Some("1.0"));
    let done: Value =
        pipe.request("send_to_user", &json!({ "user_id": "ann", "event": "hello", "data": "x" }));
    assert_eq!(done["connections"], 2);
    let line = told(broker, "hello", Some("#server-to-user-ann"));
    assert_parts(&line, &["source=pipe", "subscriptions=2"]);
}

/// What was not accepted is told as refused, and as nothing else.
#[test]
fn what_was_not_accepted_is_not_told_as_accepted() {
    let Some(target) = broker() else { return };
    let broker = target.broker().unwrap();
    let mut pipe = Pipe::connect_as(&target, Some("1.0"));
    pipe.refused("send_to_socket", &json!({ "socket_id": "1.2", "event": "nobody", "data": "x" }));
    pipe.refused("send_to_channel", &json!({ "channel": "b d", "event": "nobody", "data": "x" }));
    assert_eq!(target.events(&json!({ "name": "nobody", "channel": "b d", "data": "x" })).status, 400);
    let mut socket = target.connect();
    socket.trigger("private-a", "client-nobody", &json!("x"));
    socket.expect("pusher:error");
    target.publish("news", "somebody", "x");
    told(broker, "somebody", Some("news"));
    let log = broker.log();
    assert!(!log.lines().any(|line| line.contains("event accepted") && line.contains("nobody")), "{log}");
}
