//! The HTTP API: who may ask. Signatures, clocks, keys, and the oddities of libraries that must be let in.

mod admission;
mod tolerances;

use heliostat_protocol_tests::http::{Call, now_seconds, within_one_second};
use heliostat_protocol_tests::{Credentials, Target, signature, unique};
use serde_json::json;

/// The MD5 of nothing.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn event(channel: &str) -> serde_json::Value {
    json!({ "name": "greet", "channel": channel, "data": "hi" })
}

/// Asserts that the request passed authentication and found a list of channels.
#[track_caller]
fn assert_let_in(call: Call<'_>) {
    let answer = call.send().json();
    assert!(answer["channels"].is_object(), "a list of channels expected, {answer} came");
}

/// A request without a key is told which parameter is missing, whatever else is missing with it.
///
/// Proves: 167.
#[test]
fn a_request_without_a_key_is_refused() {
    let target = Target::main();
    target.get("/channels").without("auth_key").send().assert_error(401, "Missing parameter: auth_key");
    let bare = target.get("/channels").without("auth_key").without("auth_timestamp").without("auth_version");
    bare.without("auth_signature").send().assert_error(401, "Missing parameter: auth_key");
    let nested = target.get("/channels").without("auth_key").query("auth_key[]", "app-key");
    nested.send().assert_error(401, "Missing parameter: auth_key");
}

/// A key that no app has is a 400, however it is signed.
///
/// Proves: 168.
#[test]
fn an_unknown_key_is_refused() {
    let target = Target::main();
    for key in ["no-such-key", "APP-KEY", "app-key ", "é"] {
        target.get("/channels").auth("auth_key", key).send().assert_error(400, "Unknown auth_key");
    }
    let body = event("room");
    target
        .post("/events", &body)
        .auth("auth_key", "no-such-key")
        .send()
        .assert_error(400, "Unknown auth_key");
}

/// Version 1.0 of the scheme is the only one, and must be named.
///
/// Proves: 169.
#[test]
fn another_version_of_the_scheme_is_refused() {
    let target = Target::main();
    for version in ["2.0", "1", "1.00", "one"] {
        let call = target.get("/channels").auth("auth_version", version);
        call.send().assert_error(401, "Version not supported");
    }
    target.get("/channels").without("auth_version").send().assert_error(401, "Version required");
}

/// A timestamp is due, and no text counts as one.
///
/// Proves: 170.
#[test]
fn a_request_without_a_time_is_refused() {
    let target = Target::main();
    target.get("/channels").without("auth_timestamp").send().assert_error(401, "Timestamp required");
    for text in ["yesterday", "", "-", "1e9", "99999999999999999999999999", "-99999999999999999999999999"] {
        target.get("/channels").auth("auth_timestamp", text).send().assert_error_beginning(401, "Timestamp ");
    }
}

/// Ten minutes either way are too much, a second less is not. The bound is checked to the second: a request
/// during which the second changed is repeated.
///
/// Proves: 170.
#[test]
fn the_clocks_may_differ_by_just_under_ten_minutes() {
    let target = Target::main();
    for offset in [-599, -1, 0, 1, 599] {
        let answer = within_one_second(|now| target.get("/channels").timestamp(now, offset).send());
        assert_eq!(answer.status, 200, "at {offset} s the answer was {answer}");
    }
    for offset in [-86_400, -601, -600, 600, 601, 86_400] {
        let answer = within_one_second(|now| target.get("/channels").timestamp(now, offset).send());
        answer.assert_error_beginning(401, "Timestamp expired: Given timestamp (");
    }
}

/// The refusal tells both times, so that a wrong clock is noticed; and it comes before the signature is looked
/// at. The request is the documentation's own example of 2012, once as published and once with a changed digit.
///
/// Proves: 170.
#[test]
fn an_expired_request_is_told_both_times() {
    let config = "[[apps]]\nid = \"3\"\nkey = \"278d425bdf160c739803\"\nsecret = \"7ad3773142a6692b25b8\"\n";
    let Some(target) = Target::own(config) else { return };
    let app = Credentials::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
    let target = target.with_credentials(app);
    let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    let published = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
    let example = target.post_bytes("/events", body).auth("auth_timestamp", "1353088179");
    assert!(example.url().ends_with(&format!("&auth_signature={published}")), "{}", example.url());
    let changed = published.replace('c', "d");
    for call in [example.clone(), example.auth("auth_signature", &changed)] {
        let answer = call.send();
        let text = answer.error(401);
        let given =
            "Timestamp expired: Given timestamp (2012-11-16T17:49:39Z) not within 600s of server time (";
        let rest = text.strip_prefix(given).and_then(|rest| rest.split_once(')'));
        assert!(rest.is_some_and(|(now, _)| is_utc_time(now)), "the text was {text}");
    }
}

/// Whether `text` looks like `2024-01-01T00:20:00Z`.
fn is_utc_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z"
}

/// The refusal of a wrong signature shows the text that should have been signed, in which line breaks are
/// written `\n`, and what was sent instead; it does not show the signature that would have been right.
///
/// Proves: 171.
#[test]
fn a_wrong_signature_is_told_what_to_sign() {
    let target = Target::main();
    let wrong = "0".repeat(64);
    let now = now_seconds().to_string();
    let call = target.post("/events", &event("room")).auth("auth_timestamp", &now);
    let call = call.query("zone", "a b").auth("auth_signature", &wrong);
    let signed = call.signed_text();
    let answer = call.send();
    let shown = signed.replace('\n', "\\n");
    let sentence = format!(
        "Invalid signature: you should have sent HmacSHA256Hex(\"{shown}\", your_secret_key), \
         but you sent \"{wrong}\""
    );
    answer.assert_error(401, &sentence);
    let right = signature::hmac_hex(&target.credentials.secret, &signed);
    assert!(!answer.text().contains(&right), "the refusal reveals the signature");
}

/// Signatures of every wrong kind are refused alike.
///
/// Proves: 171.
#[test]
fn no_wrong_signature_is_let_in() {
    let target = Target::main();
    let now = now_seconds().to_string();
    let call = target.get("/channels").auth("auth_timestamp", &now);
    let text = call.signed_text();
    let right = signature::hmac_hex(&target.credentials.secret, &text);
    let last = if right.ends_with('0') { "1" } else { "0" };
    let wrong = [
        String::new(),
        right.to_uppercase(),
        right[..63].to_owned(),
        format!("{}{last}", &right[..63]),
        format!("{right}0"),
        format!(" {right}"),
        format!("{right}\n"),
        "g".repeat(64),
        "é".repeat(32),
        "\0".repeat(64),
        signature::hmac_hex("other-secret", &text),
        signature::hmac_hex("", &text),
        signature::hmac_hex(&target.credentials.secret, &text.to_lowercase()),
        signature::hmac_hex(&target.credentials.secret, &text.replacen("GET", "POST", 1)),
        signature::hmac_hex(&target.credentials.secret, &text.replacen("/channels", "/events", 1)),
    ];
    for signature in wrong {
        if signature == right {
            continue; // a digest without letters has no other case
        }
        call.clone()
            .auth("auth_signature", &signature)
            .send()
            .assert_error_beginning(401, "Invalid signature");
    }
    call.clone().without("auth_signature").send().assert_error_beginning(401, "Invalid signature");
    assert_let_in(call.auth("auth_signature", &right));
}

/// A parameter that was added, removed or changed after signing breaks the signature.
///
/// Proves: 171.
#[test]
fn the_signature_covers_every_parameter() {
    let target = Target::main();
    let added = target.get("/channels").unsigned_query("filter_by_prefix=x");
    added.send().assert_error_beginning(401, "Invalid signature");
    let removed = target.get("/channels").raw_query("", "filter_by_prefix", "x");
    removed.send().assert_error_beginning(401, "Invalid signature");
    let changed = target.get("/channels").raw_query("filter_by_prefix=x", "filter_by_prefix", "y");
    changed.send().assert_error_beginning(401, "Invalid signature");
    let other_path =
        target.get("/channels/room").signed_path(&format!("/apps/{}/channels", target.credentials.app_id));
    other_path.send().assert_error_beginning(401, "Invalid signature");
}

/// The signature covers only the body's MD5, so a body that does not have it is refused.
///
/// Proves: 172.
#[test]
fn a_body_changed_after_signing_is_refused() {
    let target = Target::main();
    let channel = unique("room-");
    let mut subscriber = target.connect();
    subscriber.subscribe(&channel);
    let call = target.post("/events", &event(&channel));
    let changed = json!({ "name": "greet", "channel": channel, "data": "ho" }).to_string();
    call.clone().sent_body(changed).send().assert_error_beginning(401, "Invalid body_md5");
    call.clone().sent_body(" ").send().assert_error_beginning(401, "Invalid body_md5");
    for md5 in ["", "0", MD5_OF_NOTHING] {
        call.clone().auth("body_md5", md5).send().assert_error_beginning(401, "Invalid body_md5");
    }
    target.assert_nothing_published(&mut subscriber, &channel);
}

/// A body without its MD5 in the query is not covered by the signature at all.
///
/// Proves: 173.
#[test]
fn a_body_without_its_md5_is_refused() {
    let target = Target::main();
    target
        .post("/events", &event("room"))
        .without("body_md5")
        .send()
        .assert_error_beginning(401, "Invalid body_md5");
    let spare = target.post("/channels/room/events", &json!("x")).query("name", "greet").without("body_md5");
    spare.send().assert_error_beginning(401, "Invalid body_md5");
}
