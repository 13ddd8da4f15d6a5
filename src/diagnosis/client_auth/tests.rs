//! Each cause is named where it is one, and not where it only looks like it.

use super::super::told_in_auth;
use super::*;
use crate::app::Key;
use crate::auth::sign;

const SOCKET: SocketId = SocketId::new(111, 222);
const STALE: SocketId = SocketId::new(333, 444);

fn apps() -> AppRegistry {
    let mut app = App::new("1", "app-key", "app-secret");
    app.keys.push(Key { key: "new-key".into(), secret: Secret::new("new-secret") });
    AppRegistry::new([app, App::new("2", "other-key", "other-secret")]).unwrap()
}

fn cause(auth: &str, of: &SignedFor) -> Option<Cause> {
    let apps = apps();
    let app = apps.by_id("1").unwrap();
    let others = [(SocketId::new(5, 6), true), (STALE, false), (SOCKET, true)];
    let context = SigningContext { app, apps: &apps, socket_id: SOCKET, others: &others };
    let disputed = DisputedAuth { auth: auth.to_owned(), of: of.clone() };
    told_in_auth(&apps, auth).or_else(|| cause_of_auth(context, &disputed))
}

fn room(data: Option<&str>) -> SignedFor {
    let channel = ChannelName::parse("private-room", 164).unwrap();
    SignedFor::Subscription { channel, channel_data: data.map(str::to_owned) }
}

fn user(data: &str) -> SignedFor {
    SignedFor::SignIn { user_data: data.to_owned() }
}

/// The app's first key, and a signature with its secret.
fn signed(text: &str) -> String {
    signed_with("app-key", "app-secret", text)
}

fn signed_with(key: &str, secret: &str, text: &str) -> String {
    format!("{key}:{}", sign(&Secret::new(secret), text))
}

const RIGHT: &str = "111.222:private-room";

#[test]
fn what_was_signed_for_something_else_is_named() {
    let other = |name: &str| Some(Cause::OtherChannel { signed: name.to_owned() });
    for (text, expected) in [
        ("333.444:private-room", Some(Cause::OtherSocket { socket_id: STALE, is_open: false })),
        ("111.222:room", other("room")),
        ("111.222:presence-room", other("presence-room")),
        // Near misses: of a connection that nobody knows, of another channel, and of nothing at all.
        ("333.445:private-room", None),
        ("111.222:private-root", None),
        ("111.222:rooms", None),
        ("", None),
    ] {
        assert_eq!(cause(&signed(text), &room(None)), expected, "{text}");
    }
}

#[test]
fn what_was_signed_with_something_else_is_named() {
    let app = || "2".to_owned();
    for (key, secret, expected) in [
        ("app-key", "other-secret", Some(Cause::SecretOfOtherApp { app: app() })),
        ("other-key", "other-secret", Some(Cause::CredentialsOfOtherApp { app: app() })),
        ("other-key", "app-secret", Some(Cause::KeyOfOtherApp { app: app(), is_signed_here: true })),
        ("other-key", "new-secret", Some(Cause::KeyOfOtherApp { app: app(), is_signed_here: true })),
        ("other-key", "guessed", Some(Cause::KeyOfOtherApp { app: app(), is_signed_here: false })),
        ("app-key", "new-secret", Some(Cause::OtherSecretOfApp { key: "new-key".into() })),
        ("app-key", "app-key", Some(Cause::KeyAsSecret)),
        ("app-key", "app-secret\n", Some(Cause::SecretWithSpace)),
        ("app-secret", "app-key", Some(Cause::SecretTold { app: "1".into() })),
        ("1", "app-secret", Some(Cause::IdAsKey { app: "1".into() })),
        (" App-Key", "app-secret", Some(Cause::AlmostKey { key: "app-key".into() })),
        // Near misses.
        ("app-key", "app-secret\n\n", None),
        ("app-key", "App-Secret", None),
        ("app-key", "guessed", None),
        ("app-keys", "app-secret", None),
        ("3", "app-secret", None),
    ] {
        assert_eq!(cause(&signed_with(key, secret, RIGHT), &room(None)), expected, "{key} {secret:?}");
    }
    assert_eq!(cause("app-key:new-secret ", &room(None)), Some(Cause::SecretTold { app: "1".into() }));
    assert_eq!(cause("app-key:new-secrets", &room(None)), Some(Cause::NoDigest { chars: 11 }));
    let told = cause(&signed_with("app-secret", "x", RIGHT), &room(None)).unwrap().to_string();
    assert!(!told.contains("app-secret"), "{told}");
}

#[test]
fn the_form_is_named_where_all_else_is_right() {
    let auth = signed(RIGHT);
    let signature = auth.strip_prefix("app-key:").unwrap();
    let base64 =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hex::decode(signature).unwrap());
    for (auth, expected) in [
        (signature.to_owned(), Some(Cause::KeyMissing)),
        (format!(":{signature}"), Some(Cause::KeyMissing)),
        (format!("\"{signature}\""), Some(Cause::AuthIsJson)),
        (format!("app-key:{auth}"), Some(Cause::KeyTwice)),
        (format!("app-key:{}", signature.to_uppercase()), Some(Cause::UpperCase)),
        (format!("{auth}\n"), Some(Cause::SpaceAround)),
        (format!("app-key:{base64}"), Some(Cause::Base64)),
        (format!("{{\"auth\":\"{auth}\"}}"), Some(Cause::AuthIsJson)),
        (format!("\"{auth}\""), Some(Cause::AuthIsJson)),
        (format!("app-key:{}", &signature[1..]), Some(Cause::NoDigest { chars: 63 })),
        // Near misses: what is right needs no cause, and another key is not the same one twice.
        (auth.clone(), None),
        (format!("app-key:new-key:{signature}"), Some(Cause::NoDigest { chars: 72 })),
        ("nonsense".to_owned(), Some(Cause::NoDigest { chars: 8 })),
    ] {
        assert_eq!(cause(&auth, &room(None)), expected, "{auth}");
    }
    // What is upper-case and something else besides is named by that: it has to be mended first.
    let stale = signed("333.444:private-room").to_uppercase().replace("APP-KEY", "app-key");
    assert!(matches!(cause(&stale, &room(None)), Some(Cause::OtherSocket { .. })));
}

#[test]
fn data_that_is_the_same_and_written_otherwise_is_told_from_other_data() {
    let what = "channel_data";
    let reencoded = |form| Some(Cause::Reencoded { what, form });
    let data = r#"{"user_id":"a/b","user_info":{"name":"Zoë"}}"#;
    let text = |signed: &str| signed_for(&format!(":{signed}"));
    for (signed, came, expected) in [
        (None, data, Some(Cause::DataNotSigned)),
        (Some("{ \"user_id\":\"a/b\",\"user_info\":{\"name\":\"Zoë\"}}"), data, None),
        (Some(r#"{"user_id":"a\/b","user_info":{"name":"Zo\u00eb"}}"#), data, reencoded(JsonForm::Php)),
        (Some(r#"{"user_id": "a/b", "user_info": {"name": "Zo\u00eb"}}"#), data, reencoded(JsonForm::Python)),
        (Some(data), r#"{"user_id": "a/b", "user_info": {"name": "Zoë"}}"#, reencoded(JsonForm::Compact)),
        (Some(&serde_json::to_string(data).unwrap()), data, Some(Cause::SignedEncodedTwice { what })),
        (Some(data), &serde_json::to_string(data).unwrap(), Some(Cause::SentEncodedTwice { what })),
        // Near misses: another user, and members in another order.
        (Some(r#"{"user_id":"a/c","user_info":{"name":"Zoë"}}"#), data, None),
        (Some(r#"{"user_info":{"name":"Zoë"},"user_id":"a/b"}"#), data, None),
        (Some("no JSON"), "no  JSON", None),
    ] {
        let auth = signed.map_or_else(|| signed_for(""), text);
        assert_eq!(cause(&auth, &room(Some(came))), expected, "{signed:?} {came}");
    }
    let of_user = signed(&format!("111.222::user::{data}"));
    assert_eq!(cause(&of_user, &room(Some(data))), Some(Cause::SignedForUser));
    assert_eq!(cause(&of_user, &room(Some(&data.replace("a/b", "a/c")))), None, "of another user");
}

fn signed_for(behind: &str) -> String {
    signed(&format!("{RIGHT}{behind}"))
}

#[test]
fn sign_ins_have_causes_of_their_own() {
    let data = r#"{"id":"a/b"}"#;
    let what = "user_data";
    for (auth, expected) in [
        (signed(&format!("111.222:user:{data}")), Some(Cause::UserWithoutColons)),
        (
            signed(&format!("333.444::user::{data}")),
            Some(Cause::OtherSocket { socket_id: STALE, is_open: false }),
        ),
        (signed(r#"111.222::user::{"id":"a\/b"}"#), Some(Cause::Reencoded { what, form: JsonForm::Php })),
        (
            signed(&format!("111.222::user::{data}")).replacen(':', "::user::", 1),
            Some(Cause::UserWordsInAuth),
        ),
        (signed(&format!("111.222::user::{data} ")), None),
        (signed(&format!("111.222:users:{data}")), None),
    ] {
        assert_eq!(cause(&auth, &user(data)), expected, "{auth}");
    }
}

#[test]
fn what_is_too_long_is_not_examined() {
    let data = |length: usize| format!("\"{}\"", "x".repeat(length));
    let (short, long) = (data(MOST_BYTES - 200), data(MOST_BYTES));
    let unsigned = signed(RIGHT);
    assert_eq!(cause(&unsigned, &room(Some(&short))), Some(Cause::DataNotSigned));
    assert_eq!(cause(&unsigned, &room(Some(&long))), None);
    assert!(DisputedAuth { auth: unsigned, of: user(&long) }.is_too_long());
}

#[test]
fn no_cause_tells_a_secret_or_the_right_signature() {
    let data = r#"{"user_id":"a"}"#;
    let right = signed(&format!("{RIGHT}:{data}"));
    let right = right.strip_prefix("app-key:").unwrap();
    for auth in [
        signed("333.444:private-room"),
        signed_with("app-key", "other-secret", &format!("{RIGHT}:{data}")),
        signed_with("app-secret", "x", RIGHT),
        format!("app-key:{}", right.to_uppercase()),
        right.to_owned(),
    ] {
        let told =
            cause(&auth, &room(Some(data))).map(|cause| format!("{cause} {cause:?}")).unwrap_or_default();
        assert!(!told.contains("-secret") && !told.contains(right), "{told}");
    }
}
