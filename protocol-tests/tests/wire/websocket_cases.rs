//! RFC 6455 and RFC 7692, case by case: what public conformance suites try on a server (text, fragments, UTF-8, control
//! frames, closes, reserved bits and opcodes, masks, limits, compression), and what it has to answer.
//!
//! The cases are in `websocket_cases.json`. `clients/node/websocket-cases.test.mjs` tries them on another
//! implementation; a case in which that one differs says how, and why the broker is right.

use std::collections::HashMap;

use heliostat_protocol_tests::frame::{header, masked};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Socket, Target, unique};
use serde_json::{Value, json};

const CASES: &str = include_str!("websocket_cases.json");

/// What the broker says to an event of a name that it does not know, before the name.
const UNSUPPORTED: &str = "Unsupported event received on socket: ";

/// Every case is answered as the RFC wants it, and by nothing else.
///
/// Proves: bad input.
#[test]
fn every_case_is_answered_as_the_rfc_wants() {
    let plain = Target::main();
    let compressing = Target::own(&format!("[connection]\ncompression = true\n{MAIN_APP}"));
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut differing = HashMap::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let offer = case["offer"].as_str();
        let target = if offer.is_some() { compressing.as_ref() } else { Some(&plain) };
        let Some(target) = target else { continue };
        let (agreed, heard) = converse(target, offer, case);
        let wanted = case["expect"].as_array().unwrap();
        let answered = heard.len() == wanted.len()
            && heard.iter().zip(wanted).all(|(heard, wanted)| matches(heard, wanted));
        let agreed_as_wanted = match case.get("agreed") {
            None => agreed.is_some() == offer.is_some(),
            Some(Value::String(parameter)) => {
                agreed.as_ref().is_some_and(|agreed| agreed.contains(parameter))
            }
            Some(wanted) => *wanted == json!(agreed.is_some()),
        };
        if !answered || !agreed_as_wanted {
            differing.insert(name, (agreed, heard));
        }
    }
    assert!(
        cases.len() > 150 && differing.is_empty(),
        "{} of {}: {differing:#?}",
        differing.len(),
        cases.len()
    );
}

/// Says what the case says, then a ping of its own; answers the extension that was agreed on, and what was heard before
/// the answer to that ping, or before the end.
fn converse(target: &Target, offer: Option<&str>, case: &Value) -> (Option<String>, Vec<Value>) {
    let offer: Vec<String> = offer.iter().map(|offer| format!("Sec-WebSocket-Extensions: {offer}")).collect();
    let headers: Vec<&str> = offer.iter().map(String::as_str).collect();
    let mut socket = Socket::upgrade(target, &target.socket_path("protocol=7"), &headers);
    let agreed = socket.response_header("sec-websocket-extensions");
    socket.await_established();
    let last = unique("last-");
    if case["send"].as_array().unwrap().iter().any(|sent| sent["head"] == "88") {
        socket.will_close();
    }
    let mut bytes: Vec<u8> = case["send"].as_array().unwrap().iter().flat_map(written).collect();
    bytes.extend(masked(0x89, last.as_bytes()));
    let piece = case["cut"].as_u64().map_or(bytes.len(), |cut| usize::try_from(cut).unwrap());
    bytes.chunks(piece).for_each(|piece| socket.send_bytes(piece));
    let mut heard = Vec::new();
    loop {
        match socket.receive() {
            Incoming::Pong(payload) if payload == last.as_bytes() => return (agreed, heard),
            Incoming::Pong(payload) => heard.push(json!({ "pong": hex::encode(payload) })),
            Incoming::Close(closed) => heard.push(json!({ "close": closed.code })),
            Incoming::End => return (agreed, heard),
            Incoming::Message(message) => {
                let text = message.data["message"].as_str().unwrap_or_default();
                heard.push(json!({ "heard": text.strip_prefix(UNSUPPORTED) }));
            }
            Incoming::Ping(_) => {}
        }
    }
}

fn matches(heard: &Value, wanted: &Value) -> bool {
    match wanted["close"].as_array() {
        Some(codes) => codes.contains(&heard["close"]),
        None => heard == wanted,
    }
}

/// The bytes of one thing that a case sends: `raw` as it is, or a frame with `text` (padded up to `pad` bytes) or `hex`.
fn written(sent: &Value) -> Vec<u8> {
    let text = |member: &str| sent[member].as_str();
    if let Some(raw) = text("raw") {
        return hex::decode(raw).unwrap();
    }
    let mut payload = match (text("hex"), text("text")) {
        (Some(hex), _) => hex::decode(hex).unwrap(),
        (None, text) => text.unwrap().as_bytes().to_vec(),
    };
    if let Some(bytes) = sent["pad"].as_u64() {
        let padding = "p".repeat(usize::try_from(bytes).unwrap() - payload.len());
        payload = text("text").unwrap().replace(r#""p":"""#, &format!(r#""p":"{padding}""#)).into_bytes();
    }
    let head = u8::from_str_radix(text("head").unwrap(), 16).unwrap();
    let length = payload.len() as u64;
    match sent.get("mask") {
        None => masked(head, &payload),
        Some(Value::Null) => [header(head, length, false), payload].concat(),
        Some(mask) => {
            let mask = hex::decode(mask.as_str().unwrap()).unwrap();
            let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            [header(head, length, true), mask.clone(), payload].concat()
        }
    }
}
