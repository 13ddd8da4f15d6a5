//! What binary messages gain: sends the same pictures through a broker as data URLs and as binary messages, and prints
//! bytes on the wire and the broker's CPU time per frame delivered.
//!
//! `cargo run --release -p heliostat-protocol-tests --bin camera-gain`; `PROTOCOL_TESTS_BIN` names the broker to measure,
//! which should be a release build. Linux only: it reads `/proc`.
#![allow(clippy::unwrap_used, reason = "a panic is how the harness reports a failure")]

use std::time::Duration;

use heliostat_protocol_tests::frame::{BINARY, FIN};
use heliostat_protocol_tests::{Socket, Target};
use serde_json::json;

const SUBSCRIBERS: usize = 20;
const FRAMES: usize = 400;
const CHANNEL: &str = "private-camera";
const EVENT: &str = "client-frame";

/// How pictures travel.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    DataUrl,
    Binary,
}

/// What one frame to one subscriber cost.
struct Cost {
    bytes: f64,
    cpu: Duration,
}

fn main() {
    println!("{FRAMES} pictures to {SUBSCRIBERS} subscribers; per frame delivered:\n");
    println!("{:>8}  {:>20}  {:>20}  {:>16}", "picture", "data URL", "binary", "saved");
    for picture_bytes in [10_000, 40_000, 150_000] {
        let [url, binary] = [Form::DataUrl, Form::Binary].map(|form| measure(form, picture_bytes));
        let line = |cost: &Cost| format!("{:.0} B {:6.1} µs", cost.bytes, cost.cpu.as_secs_f64() * 1e6);
        let saved = |url: f64, binary: f64| (1.0 - binary / url) * 100.0;
        println!(
            "{picture_bytes:>8}  {:>20}  {:>20}  {:>4.0} % {:>4.0} % CPU",
            line(&url),
            line(&binary),
            saved(url.bytes, binary.bytes),
            saved(url.cpu.as_secs_f64(), binary.cpu.as_secs_f64()),
        );
    }
}

fn measure(form: Form, picture_bytes: usize) -> Cost {
    let config = "[connection]\noutbox_bytes = 16777216\n[[apps]]\nid = \"1001\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
                  client_events = true\n[apps.limits]\nclient_event_payload_bytes = 1048576\nclient_events_per_second = 0\n";
    let target = Target::own(config).expect("a broker of its own");
    let connect = || {
        let mut socket = match form {
            Form::DataUrl => target.connect(),
            Form::Binary => target.connect_as("protocol=7&binary=1"),
        };
        socket.takes_binary = form == Form::Binary;
        socket.subscribe_private(CHANNEL);
        socket
    };
    let mut sender = connect();
    let mut subscribers: Vec<Socket> = (0..SUBSCRIBERS).map(|_| connect()).collect();
    // A camera's bytes are as good as random.
    let mut seed = 1_u64;
    let picture: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(picture_bytes)
    .collect();
    let mut deliver = |times: usize| {
        let mut bytes = 0;
        for n in 0..times {
            match form {
                Form::DataUrl => {
                    sender.trigger(CHANNEL, EVENT, &json!({ "dataUrl": data_url(&picture), "n": n }))
                }
                Form::Binary => sender.send_frame(FIN | BINARY, &message(&picture, n)),
            }
            for subscriber in &mut subscribers {
                bytes += match form {
                    Form::DataUrl => subscriber.expect_on(CHANNEL, EVENT).whole.to_string().len(),
                    Form::Binary => subscriber.receive_binary().len(),
                };
            }
        }
        bytes
    };
    deliver(FRAMES / 10);
    let broker = target.broker().expect("a broker of its own");
    let before = broker.cpu_time().expect("/proc");
    let bytes = deliver(FRAMES);
    let cpu = broker.cpu_time().expect("/proc") - before;
    let delivered = FRAMES * SUBSCRIBERS;
    Cost { bytes: bytes as f64 / delivered as f64, cpu: cpu / u32::try_from(delivered).unwrap() }
}

fn data_url(picture: &[u8]) -> String {
    use base64::Engine;
    format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(picture))
}

/// A binary message as `docs/binary.md` lays it out.
fn message(picture: &[u8], n: usize) -> Vec<u8> {
    let members = format!("{{\"n\":{n}}}");
    let texts = [CHANNEL, EVENT, "image/jpeg", "", &members];
    let lengths = texts.iter().flat_map(|text| (text.len() as u16).to_be_bytes());
    let head = [1, 0].into_iter().chain(lengths).chain(texts.iter().flat_map(|text| text.bytes()));
    head.chain(picture.iter().copied()).collect()
}
