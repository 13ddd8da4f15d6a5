//! The crate `pushers`, a server library: publishing, asking, signing, and reading refusals.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

use std::collections::BTreeMap;
use std::future::Future;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Shared, Sink, Socket, Target, compatibility, unique};
use pushers::events::{BatchEvent, TriggerParams};
use pushers::webhook::WebhookEvent;
use pushers::{Channel, Config, Pusher, PusherError};
use serde_json::{Value, json};
use sonic_rs::json as own_json;

const VERSION: &str = "1.5";

fn shown(features: &[&str]) {
    for feature in features {
        compatibility::shown("Rust pushers", VERSION, feature);
    }
}

/// The library with the target's credentials.
fn library(target: &Target) -> Pusher {
    let app = &target.credentials;
    let config = Config::builder()
        .app_id(&app.app_id)
        .key(&app.key)
        .secret(&app.secret)
        .host(&target.host)
        .port(target.port)
        .use_tls(false)
        .enable_retry(false);
    Pusher::new(config.build().unwrap()).unwrap()
}

/// Waits for one call of the library.
fn call<T>(call: impl Future<Output = Result<T, PusherError>>) -> Result<T, PusherError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call)
}

fn channels(names: &[&str]) -> Vec<Channel> {
    names.iter().map(|name| Channel::from_string(*name).unwrap()).collect()
}

/// Publishes with the library, and answers what came back.
#[track_caller]
fn trigger(
    pusher: &Pusher,
    names: &[&str],
    event: &str,
    data: Value,
    params: Option<TriggerParams>,
) -> Value {
    let channels = channels(names);
    call(async {
        let answer = pusher.trigger(&channels, event, data.to_string(), params).await?;
        Ok(answer.json::<Value>().await.expect("a body of JSON"))
    })
    .unwrap()
}

#[track_caller]
fn get(pusher: &Pusher, path: &str, params: &[(&str, &str)]) -> Result<Value, PusherError> {
    let params: BTreeMap<_, _> = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    call(async {
        let answer = pusher.get(path, Some(&params)).await?;
        Ok(answer.json::<Value>().await.expect("a body of JSON"))
    })
}

/// Signs a connection in with the library, and joins the user's own channel.
#[track_caller]
fn signed_in(target: &Target, pusher: &Pusher, id: &str) -> Socket {
    let mut socket = target.connect();
    let signed = pusher.authenticate_user(&socket.id, &own_json!({ "id": id })).unwrap();
    socket.send(
        &json!({ "event": "pusher:signin", "data": { "auth": signed.auth, "user_data": signed.user_data } }),
    );
    socket.expect("pusher:signin_success");
    let own = format!("#server-to-user-{id}");
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": own } }));
    socket.expect_on(&own, "pusher_internal:subscription_succeeded");
    socket
}

/// One event on several channels, once on each, and not to the socket that caused it.
///
/// Proves: clients, 178, 182, 183.
#[test]
fn events_reach_the_subscribers_of_their_channels() {
    let target = Target::main();
    let pusher = library(&target);
    let (one, other) = (unique("news-"), unique("private-room-"));
    let (mut author, mut reader) = (target.connect(), target.connect());
    for socket in [&mut author, &mut reader] {
        socket.subscribe(&one);
        socket.subscribe_private(&other);
    }
    assert_eq!(trigger(&pusher, &[&one, &other], "greet", json!({ "hi": "ünï" }), None), json!({}));
    for socket in [&mut author, &mut reader] {
        for channel in [&one, &other] {
            assert_eq!(socket.expect_on(channel, "greet").decoded(), json!({ "hi": "ünï" }));
        }
    }
    let params = TriggerParams::builder().socket_id(&author.id).build();
    trigger(&pusher, &[&one], "edited", json!({}), Some(params));
    trigger(&pusher, &[&one], "last", json!({}), None);
    reader.expect_on(&one, "edited");
    reader.expect_on(&one, "last");
    author.expect_on(&one, "last");
    shown(&["trigger", "many channels", "exclude"]);
}

/// A batch in its order, answered with the counts that its items ask for; and the same for one event.
///
/// Proves: clients, 190, 193, 195.
#[test]
fn batches_and_counts() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let pusher = library(&target);
    let room = unique("presence-room-");
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let info = TriggerParams::builder().info("user_count,subscription_count").build();
    let counted = trigger(&pusher, &[&room], "greet", json!({}), Some(info));
    assert_eq!(counted["channels"][&room], json!({ "user_count": 1, "subscription_count": 1 }));
    socket.expect_on(&room, "greet");
    let batch = vec![
        BatchEvent::new("tick", &*room, own_json!({ "n": 1 })).with_info("user_count"),
        BatchEvent::new("tick", &*room, own_json!({ "n": 2 })),
    ];
    let answer =
        call(async { Ok(pusher.trigger_batch(batch).await?.json::<Value>().await.unwrap()) }).unwrap();
    assert_eq!(answer, json!({ "batch": [{ "user_count": 1 }, {}] }));
    for n in [1, 2] {
        assert_eq!(socket.expect_on(&room, "tick").decoded(), json!({ "n": n }));
    }
    shown(&["batch", "batch info", "info"]);
}

/// The questions of a backend, and the words in which one is refused.
///
/// Proves: clients, 192, 197, 198, 199, 202.
#[test]
fn questions_and_refusals() {
    let target = Target::main();
    let pusher = library(&target);
    let room = unique("presence-room-");
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    let listed = get(&pusher, "/channels", &[("filter_by_prefix", &room), ("info", "user_count")]).unwrap();
    assert_eq!(listed, json!({ "channels": { (room.clone()): { "user_count": 1 } } }));
    let described = get(&pusher, &format!("/channels/{room}"), &[("info", "user_count")]).unwrap();
    assert_eq!(described, json!({ "occupied": true, "user_count": 1 }));
    let users = get(&pusher, &format!("/channels/{room}/users"), &[]).unwrap();
    assert_eq!(users, json!({ "users": [{ "id": "ann" }] }));
    let refused = get(&pusher, "/channels", &[("info", "user_count")]).unwrap_err();
    let PusherError::Request(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.status, Some(400));
    assert!(refused.body.unwrap().starts_with("user_count may only be requested for presence channels"));
    shown(&["channels", "channel", "users", "refusals"]);
}

/// What it signs lets connections join; the data of a member are signed as they are sent.
///
/// Proves: clients, 69, 78.
#[test]
fn its_signatures_open_channels() {
    let target = Target::main();
    let pusher = library(&target);
    let (private, presence) = (unique("private-"), unique("presence-"));
    let mut socket = target.connect();
    let member = own_json!({ "user_id": "ann", "user_info": { "name": "Ann \"ünï\"" } });
    for (channel, data) in [(&private, None), (&presence, Some(&member))] {
        let signed = pusher.authorize_channel_with_name(&socket.id, channel, data).unwrap();
        let mut data = json!({ "channel": channel, "auth": signed.auth });
        if let Some(channel_data) = signed.channel_data {
            data["channel_data"] = channel_data.into();
        }
        socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
        socket.expect_on(channel, "pusher_internal:subscription_succeeded");
    }
    shown(&["authorize", "authorize presence"]);
}

/// It takes the broker's webhooks for genuine, reads what happened out of them, and takes a forged one for what it is.
///
/// Proves: clients, 212, 213, 214, 218.
#[test]
fn webhooks() {
    let sink = Sink::start(&Shared::Main.credentials());
    let config = format!("{MAIN_APP}[[apps.webhooks]]\nurl = \"{}\"\n", sink.url());
    let Some(target) = Target::own(&config) else { return };
    let pusher = library(&target);
    let room = unique("presence-room-");
    let mut socket = target.connect();
    socket.subscribe_presence(&room, "ann", &json!(null));
    socket.trigger(&room, "client-wave", &json!({ "to": "all" }));
    let mut events = Vec::new();
    while events.len() < 3 {
        let webhook = sink.webhook();
        let headers: BTreeMap<_, _> = webhook.headers.iter().cloned().collect();
        let read = pusher.webhook(&headers, &webhook.body);
        assert!(read.is_valid(None), "{}", webhook.body);
        assert!(!pusher.webhook(&headers, &format!("{} ", webhook.body)).is_valid(None));
        events.extend(read.get_events().unwrap());
    }
    let channel = room;
    assert_eq!(
        events,
        [
            WebhookEvent::ChannelOccupied { channel: channel.clone() },
            WebhookEvent::MemberAdded { channel: channel.clone(), user_id: "ann".to_owned() },
            WebhookEvent::ClientEvent {
                channel,
                event: "client-wave".to_owned(),
                data: r#"{"to":"all"}"#.to_owned(),
                socket_id: socket.id.clone(),
                user_id: Some("ann".to_owned()),
            },
        ]
    );
    shown(&["webhook"]);
}

/// It signs a user in and ends the user's connections. Its `send_to_user` refuses the name of a user's channel before it
/// sends anything, as of 1.5.0.
///
/// Proves: clients, 143, 148, 151, 209.
#[test]
fn users() {
    let target = Target::main();
    let pusher = library(&target);
    let id = unique("ann-");
    let mut socket = signed_in(&target, &pusher, &id);
    call(pusher.terminate_user_connections(&id)).unwrap();
    let _ = socket.expect_close_with(4009);
    shown(&["authenticate user", "terminate"]);
}
