//! The hot paths: each a piece of work that the broker does all day, set up once and done many times.
//!
//! Every path checks that its work succeeded, so that none can be fast because it does nothing.

use std::hint::black_box;
use std::time::Instant;

use serde_json::value::RawValue;

use heliostat::app::AppRegistry;
use heliostat::tools::auth::channel::authorise;
use heliostat::tools::auth::request::{Query, SignedRequest, authenticate, check_body};
use heliostat::tools::connection::Action;
use heliostat::tools::protocol::client_message::ClientMessage;
use heliostat::tools::protocol::frame_reader::{FrameEvent, FrameReader};
use heliostat::tools::protocol::json::Data;
use heliostat::tools::protocol::server_message::channel_event;

use super::audience::{Audience, Hearers};
use super::client;

/// Local subscribers of the channel in `deliver-broadcast`.
const AUDIENCE: usize = 1000;

/// A piece of work whose instructions are counted.
#[derive(Clone, Copy, Debug)]
pub struct HotPath {
    /// How it is called, in the table and in `budgets.toml`.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Operations in one repetition.
    pub operations: usize,
    /// Repetitions that are enough for a steady figure.
    pub repetitions: usize,
    /// Sets up, and does the work as often as it is told.
    pub run: fn(usize),
}

/// All of them.
pub const HOT_PATHS: [HotPath; 10] = [
    HotPath {
        name: "decode-client-frame",
        operation: "unmask one frame with a client event of 115 bytes, and read its envelope",
        operations: 1,
        repetitions: 10_000,
        run: decode_client_frame,
    },
    HotPath {
        name: "receive-client-event",
        operation: "everything that a connection does about that event: from its text to what is broadcast",
        operations: 1,
        repetitions: 10_000,
        run: receive_client_event,
    },
    HotPath {
        name: "authorise-subscription",
        operation: "check the signature of a subscription to a private channel",
        operations: 1,
        repetitions: 1_000,
        run: authorise_subscription,
    },
    HotPath {
        name: "subscribe",
        operation: "subscribe to a private channel that others are on, and leave it: messages, hub and confirmation",
        operations: 1,
        repetitions: 1_000,
        run: subscribe,
    },
    HotPath {
        name: "relay-payload",
        operation: "check and measure the data of a published event, a JSON string of 1 KB that is itself JSON",
        operations: 1,
        repetitions: 10_000,
        run: relay_payload,
    },
    HotPath {
        name: "encode-broadcast",
        operation: "make the one frame that all subscribers share, around 1 KB of data",
        operations: 1,
        repetitions: 10_000,
        run: encode_broadcast,
    },
    HotPath {
        name: "deliver-broadcast",
        operation: "per local subscriber of 1000: queue the frame and hand it to the transport",
        operations: AUDIENCE,
        repetitions: 50,
        run: deliver_broadcast,
    },
    HotPath {
        name: "deliver-with-history",
        operation: "the same on a channel with a history: keep the event, and hand it to the transports",
        operations: AUDIENCE,
        repetitions: 50,
        run: deliver_with_history,
    },
    HotPath {
        name: "deliver-to-named",
        operation: "the same, to clients that have given themselves a name: what they are sent is followed",
        operations: AUDIENCE,
        repetitions: 50,
        run: deliver_to_named,
    },
    HotPath {
        name: "verify-http-signature",
        operation: "read the query of a published event and check its signature and the hash of its body of 200 bytes",
        operations: 1,
        repetitions: 1_000,
        run: verify_http_signature,
    },
];

/// The path of this name.
#[must_use]
pub fn path(name: &str) -> Option<&'static HotPath> {
    HOT_PATHS.iter().find(|path| path.name == name)
}

fn decode_client_frame(repetitions: usize) {
    let frame = client::masked(client::CLIENT_EVENT);
    let mut reader = FrameReader::new(client::app().limits.inbound_message_bytes(false));
    let mut input = frame.clone();
    let mut read = 0;
    for _ in 0..repetitions {
        // Reading takes the mask off in place.
        input.copy_from_slice(&frame);
        let outcome = reader.feed(black_box(&mut input), |event| {
            let FrameEvent::Text(text) = event else { return false };
            read += usize::from(black_box(ClientMessage::parse(text)).is_ok());
            true
        });
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(read, repetitions);
}

fn receive_client_event(repetitions: usize) {
    let now = Instant::now();
    let mut connection = client::subscribed_connection(now);
    for _ in 0..repetitions {
        let action = connection.receive(black_box(client::CLIENT_EVENT), now, &|_, _| false);
        assert!(matches!(black_box(action), Some(Action::Accept(_))));
    }
}

fn authorise_subscription(repetitions: usize) {
    let (app, channel) = (client::app(), client::channel(client::CHANNEL));
    let auth = client::auth(&channel);
    for _ in 0..repetitions {
        let outcome = authorise(black_box(&app), client::SOCKET_ID, &channel, Some(black_box(&auth)), None);
        assert_eq!(black_box(outcome), Ok(()));
    }
}

fn subscribe(repetitions: usize) {
    let channel = client::channel(client::CHANNEL);
    let audience = Audience::of(20, &channel);
    let newcomer = audience.admit();
    let now = Instant::now();
    let mut connection = client::connection(now);
    let (asks, leaves) = (client::subscribe(&channel), client::unsubscribe(&channel));
    audience.run(async {
        for _ in 0..repetitions {
            let action = connection.receive(black_box(&asks), now, &|_, _| false);
            let Some(Action::Join(join)) = action else { panic!("refused: {action:?}") };
            let result = audience.worker().join(&newcomer, &join).expect("no bus to wait for");
            let answered = connection.joined(&join.channel, join.number, result);
            assert!(answered.action.is_none(), "refused: {answered:?}");
            audience.written(1).await;
            let action = connection.receive(black_box(&leaves), now, &|_, _| false);
            let Some(Action::Leave(channel)) = action else { panic!("refused: {action:?}") };
            audience.worker().leave(&newcomer, &channel);
        }
    });
}

fn relay_payload(repetitions: usize) {
    let value = payload();
    for _ in 0..repetitions {
        let data = Data::relay(black_box(&value));
        assert!(black_box(data).is_ok());
    }
}

fn encode_broadcast(repetitions: usize) {
    let (value, channel) = (payload(), client::channel("presence-room-7"));
    let data = Data::relay(&value).expect("a payload that may be relayed");
    for _ in 0..repetitions {
        let frame = channel_event("message", black_box(&data), &channel, None);
        assert!(black_box(frame).websocket().len() > 1000);
    }
}

fn deliver_broadcast(repetitions: usize) {
    let audience = Audience::of(AUDIENCE, &client::channel("news"));
    audience.broadcast(repetitions, &audience.event("message", Data::of_text("42")));
}

fn deliver_with_history(repetitions: usize) {
    deliver_kept(repetitions, Hearers::Nameless);
}

fn deliver_to_named(repetitions: usize) {
    deliver_kept(repetitions, Hearers::Named);
}

fn deliver_kept(repetitions: usize, hearers: Hearers) {
    let audience = Audience::of_kept(AUDIENCE, &client::channel("news"), hearers);
    audience.broadcast(repetitions, &audience.event("message", Data::of_text("42")));
}

fn verify_http_signature(repetitions: usize) {
    const NOW: u64 = 1_700_000_000;
    /// Of the body below.
    const BODY_MD5: &str = "9e8b9cdf30dccc78d207d7df197b40ff";
    let registry = AppRegistry::new([client::app()]).expect("one app");
    let body = format!(r#"{{"name":"message","channels":["news"],"data":"{}"}}"#, "x".repeat(152));
    assert_eq!(body.len(), 200);
    let paths = ["/apps/1001/events".into()];
    let signed = format!("auth_key=app-key&auth_timestamp={NOW}&auth_version=1.0&body_md5={BODY_MD5}");
    let signature = client::signature(&format!("POST\n{}\n{signed}", paths[0]));
    let text = format!("{signed}&auth_signature={signature}");
    for _ in 0..repetitions {
        let query = Query::parse(black_box(&text));
        let request = SignedRequest { method: "POST", paths: &paths, query: &query };
        assert!(black_box(authenticate(&registry, &request, NOW)).is_ok());
        assert!(black_box(check_body(&query, black_box(body.as_bytes()))).is_ok());
    }
}

/// The data of an event as most backends send it: a JSON string of 1 KB that is itself JSON.
fn payload() -> Box<RawValue> {
    let inner: Vec<_> =
        (0..16).map(|n| serde_json::json!({ "id": n, "name": "a name", "words": "x".repeat(20) })).collect();
    let inner = serde_json::to_string(&inner).unwrap_or_default();
    let literal = serde_json::to_string(&inner).unwrap_or_default();
    RawValue::from_string(literal).expect("a JSON string")
}
