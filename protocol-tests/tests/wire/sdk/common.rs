//! What several families do alike, one row each: how their auth endpoints write what they sign, how their servers read
//! webhooks, and what their clients are told of an event that is too large.

use heliostat_protocol_tests::signature::hmac_hex;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Shared, Sink, Target, unique};
use serde_json::{Value, json};

use super::{CIPHERTEXT, Sdk, auth, hears, sign_in_auth, succeeded};
use super::{dotnet, go, java, php, ruby, swift};

/// How each server library writes the name "Ünï <b>" and the link "https://x/?a=b": the text that its signature covers.
const WRITTEN: [(Sdk, &str); 6] = [
    (ruby::SERVER, r#"{"name":"Ünï <b>","link":"https://x/?a=b"}"#),
    (php::SEVEN, r#"{"name":"\u00dcn\u00ef <b>","link":"https:\/\/x\/?a=b"}"#),
    (go::SERVER, r#"{"link":"https://x/?a=b","name":"Ünï \u003cb\u003e"}"#),
    (java::SERVER, r#"{"name":"Ünï \u003cb\u003e","link":"https://x/?a\u003db"}"#),
    (dotnet::SERVER, r#"{"name":"Ünï <b>","link":"https://x/?a=b"}"#),
    (swift::SERVER, r#"{"link":"https:\/\/x\/?a=b","name":"Ünï <b>"}"#),
];

/// Whatever escapes an auth endpoint writes, the signature is of the text as it stands, and the members read the same.
///
/// Proves: clients, 69, 77, 78.
#[test]
fn what_auth_endpoints_sign_is_taken_as_it_is_written() {
    let target = Target::main();
    let info = json!({ "name": "Ünï <b>", "link": "https://x/?a=b" });
    for (sdk, written) in WRITTEN {
        let (private, presence) = (unique("private-"), unique("presence-"));
        let mut socket = target.connect();
        let data = json!({ "channel": private, "auth": auth(&socket, &private, None) });
        socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
        succeeded(&mut socket, &private);
        socket.join(&presence, &format!(r#"{{"user_id":"ann","user_info":{written}}}"#));
        let roster = socket.expect_on(&presence, "pusher_internal:subscription_succeeded").decoded();
        assert_eq!(roster["presence"]["hash"], json!({ "ann": info }), "{written}");
        sdk.shown(&["authorize", "authorize presence"]);
    }
}

/// The same of those that sign users in.
///
/// Proves: clients, 142, 143.
#[test]
fn what_user_endpoints_sign_is_taken_as_it_is_written() {
    let target = Target::main();
    let signing = [php::SEVEN, go::SERVER, dotnet::SERVER];
    for (sdk, written) in WRITTEN.into_iter().filter(|(sdk, _)| signing.contains(sdk)) {
        let mut socket = target.connect();
        let user_data = format!(r#"{{"id":"{}","user_info":{written}}}"#, unique("ann-"));
        let data = json!({ "auth": sign_in_auth(&socket, &user_data), "user_data": user_data });
        socket.send(&json!({ "event": "pusher:signin", "data": data }));
        let told = socket.expect("pusher:signin_success").decoded();
        assert_eq!(told["user_data"], json!(user_data));
        sdk.shown(&["authenticate user"]);
    }
}

/// An encrypted event goes out as it came in, in whatever escapes its library writes the slashes of Base64.
///
/// Proves: clients, 131.
#[test]
fn what_server_libraries_encrypt_is_delivered_untouched() {
    let target = Target::main();
    for (sdk, slash) in [(java::SERVER, "/"), (dotnet::SERVER, "/"), (swift::SERVER, r"\/")] {
        let channel = unique("private-encrypted-");
        let mut socket = target.connect();
        socket.subscribe_private(&channel);
        let data = CIPHERTEXT.replace('"', r#"\""#).replace('/', slash);
        let body = format!(r#"{{"channels":["{channel}"],"name":"secret","data":"{data}"}}"#);
        target.post_bytes("/events", body).send().assert_empty_object();
        hears(&mut socket, &channel, "secret", CIPHERTEXT);
        sdk.shown(&["encrypted"]);
    }
}

/// A webhook as the strictest of its readers want it: the key in a header of its own, the signature lower-case
/// hexadecimal over the bytes, a content type without parameters, a date that is a whole number, and, for the one that
/// decodes into typed members, strings wherever a member is read as one.
///
/// Proves: clients, 212, 213, 214, 215, 223.
#[test]
fn webhooks_are_what_the_strictest_readers_want() {
    let sink = Sink::start(&Shared::Main.credentials());
    let config = format!(
        "{MAIN_APP}[apps.webhook_delivery]\nremoval_delay_seconds = 0.2\n[[apps.webhooks]]\nurl = \"{}\"\n",
        sink.url()
    );
    let Some(target) = Target::own(&config) else { return };
    let room = unique("presence-");
    let mut ann = target.connect();
    ann.subscribe_presence(&room, "ann", &json!(null));
    ann.trigger(&room, "client-wave", &json!({ "to": ["all", 7] }));
    ann.assert_silence();
    ann.close();
    let Credentials { key, secret, .. } = target.credentials.clone();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|name| name != "channel_vacated") {
        let webhook = sink.webhook();
        assert_eq!(webhook.header("content-type"), Some("application/json"));
        assert_eq!(webhook.header("x-pusher-key"), Some(&*key));
        assert_eq!(webhook.header("x-pusher-signature"), Some(&*hmac_hex(&secret, &webhook.body)));
        assert!(webhook.json()["time_ms"].is_u64());
        for event in webhook.events() {
            for (member, value) in event.as_object().expect("an object") {
                assert!(value.is_string(), "{member} is a string in {event}");
            }
            seen.extend(event["name"].as_str().map(str::to_owned));
        }
    }
    assert!(
        seen.contains(&"client_event".to_owned()) && seen.contains(&"member_removed".to_owned()),
        "{seen:?}"
    );
    for sdk in [ruby::SERVER, php::SEVEN, go::SERVER, java::SERVER, dotnet::SERVER, swift::SERVER] {
        sdk.shown(&["webhook"]);
    }
}

/// A client event that is too large is told by an error with a code, to each in its protocol, and the next one goes out.
///
/// Proves: clients, 127.
#[test]
fn a_client_event_that_is_too_large_is_told() {
    let target = Target::main();
    for (sdk, query) in [
        (swift::CLIENT, swift::QUERY),
        (java::CLIENT, java::QUERY),
        (dotnet::CLIENT, dotnet::QUERY),
        (ruby::CLIENT, ruby::QUERY),
    ] {
        let channel = unique("private-");
        let (mut socket, mut reader) = (target.connect_as(query), target.connect());
        for socket in [&mut socket, &mut reader] {
            socket.subscribe_private(&channel);
        }
        socket.trigger(&channel, "client-picture", &Value::from("x".repeat(10_241)));
        socket.expect_some_error(Some(4301));
        socket.trigger(&channel, "client-picture", &Value::from("x"));
        hears(&mut reader, &channel, "client-picture", "x");
        sdk.shown(&["payload too large"]);
    }
}
