//! Channel names: which characters and lengths they have, and what their prefixes mean.

use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::json;

/// All the characters a name may have.
///
/// Proves: 59.
#[test]
fn every_allowed_character_is_accepted() {
    let mut socket = Target::main().connect();
    socket.subscribe("foo-bar_1234@=,.;");
    socket.subscribe("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=@,.;");
    for character in "Az09_-=@,.;".chars() {
        socket.subscribe(&character.to_string());
    }
    socket.assert_silence();
}

/// The longest name has 164 characters, prefixes included.
///
/// Proves: 60.
#[test]
fn a_name_has_at_most_164_characters() {
    let mut socket = Target::main().connect();
    let longest = padded(&unique("room-"), 164);
    socket.subscribe(&longest);
    expect_invalid(&mut socket, &format!("{longest}x"));
    let longest = padded(&unique("private-"), 164);
    socket.subscribe_private(&longest);
    expect_invalid(&mut socket, &format!("{longest}x"));
    let longest = padded(&unique("presence-"), 164);
    socket.subscribe_presence(&longest, "u", &json!(null));
    expect_invalid(&mut socket, &format!("{longest}x"));
    expect_invalid(&mut socket, &"x".repeat(100_000));
    socket.assert_silence();
}

/// Every other character is refused, wherever it stands.
///
/// Proves: 61.
#[test]
pub(crate) fn every_forbidden_character_is_refused() {
    let mut socket = Target::main().connect();
    let ascii =
        (0..=127_u8).map(char::from).filter(|c| !c.is_ascii_alphanumeric() && !"_-=@,.;".contains(*c));
    let others = "éßЖ中\u{200B}\u{202E}\u{1F4F7}\u{FF0E}\u{FEFF}\u{7F}\u{80}\u{FFFD}".chars();
    for character in ascii.chain(others) {
        for name in [format!("a{character}b"), format!("{character}"), format!("presence-{character}")] {
            expect_invalid(&mut socket, &name);
        }
    }
    for name in ["#server-to-user", "a b", "a/b", "a:b", "#room", "private-a#b", " room", "room\n"] {
        expect_invalid(&mut socket, name);
    }
    socket.assert_silence();
}

/// A channel has a name.
///
/// Proves: 62.
#[test]
fn an_empty_name_is_refused() {
    let mut socket = Target::main().connect();
    expect_invalid(&mut socket, "");
}

/// Upper and lower case are different names, and a type's prefix is in lower case.
///
/// Proves: 63.
#[test]
fn names_are_case_sensitive() {
    let target = Target::main();
    let lower = unique("room-");
    let upper = lower.to_uppercase();
    let mut socket = target.connect();
    socket.subscribe(&lower);
    socket.subscribe(&upper);
    target.publish(&upper, "greet", "");
    socket.expect_on(&upper, "greet");
    for public in ["Private-x", "PRIVATE-x", "Presence-x", "pRESENCE-", "Cache-x", "Private-Encrypted-x"] {
        socket.subscribe(&format!("{public}{lower}"));
    }
    socket.assert_silence();
}

/// Without its hyphen a prefix is the beginning of an ordinary name.
///
/// Proves: 64.
#[test]
fn a_prefix_ends_with_its_hyphen() {
    let mut socket = Target::main().connect();
    for public in [
        "privatex",
        "private",
        "presence",
        "presencex",
        "cachefoo",
        "cache",
        "private_x",
        "x-private-",
        "-private-",
    ] {
        socket.subscribe(public);
    }
    socket.assert_silence();
}

/// A prefix alone is a name of its type, and each type asks for what its type needs.
///
/// Proves: 64, 75, 130.
#[test]
pub(crate) fn each_type_asks_for_its_authorisation() {
    let mut socket = Target::main().connect();
    let tag = unique("t");
    let needing = [
        "private-",
        "private-encrypted-",
        "private-cache-",
        "private-encrypted-cache-",
        "presence-",
        "presence-cache-",
    ];
    for prefix in needing {
        for channel in [prefix.to_owned(), format!("{prefix}{tag}")] {
            socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }));
            expect_failure(&mut socket, &channel, &format!("Auth info required to subscribe to {channel}"));
        }
    }
    for prefix in ["private-", "private-encrypted-"] {
        socket.subscribe_private(prefix);
        socket.subscribe_private(&format!("{prefix}{tag}"));
    }
    // The one whose name others have, too, comes last: from then on their members may be told of.
    for channel in [format!("presence-encrypted-{tag}"), "presence-".to_owned()] {
        let roster = socket.subscribe_presence(&channel, &tag, &json!(null));
        assert!(roster["presence"]["ids"].as_array().unwrap().contains(&json!(tag)), "{roster}");
    }
}

/// Subscribes to a name that must be refused as no name.
#[track_caller]
fn expect_invalid(socket: &mut Socket, name: &str) {
    socket.send(
        &json!({ "event": "pusher:subscribe", "data": { "channel": name, "auth": socket.auth(name, None) } }),
    );
    let answers = socket.drain();
    let errors: Vec<_> = answers.iter().filter(|m| m.event == "pusher:error").collect();
    let [error] = errors[..] else { socket.fail(&format!("{name:?} was answered by {answers:?}")) };
    let message = error.data["message"].as_str().unwrap_or_default();
    // It may go on to say why, and need not repeat a hundred kilobytes.
    let quoted: String = name.chars().take(150).collect();
    assert!(message.starts_with(&format!("Invalid channel name: {quoted}")), "{name:?}: {message:?}");
    assert!(answers.iter().all(|m| m.event.ends_with("error")), "{name:?}: {answers:?}");
}

/// Reads the two frames of a failed subscription.
#[track_caller]
pub(crate) fn expect_failure(socket: &mut Socket, channel: &str, message: &str) {
    let mut next = socket.message();
    // Both are sent by default; a server that is exactly like the original sends the second one only.
    if next.event == "pusher:subscription_error" {
        assert_eq!(next.channel.as_deref(), Some(channel));
        assert_eq!(next.decoded()["error"], json!(message));
        next = socket.message();
    }
    if next.event != "pusher:error" || next.data != json!({ "code": null, "message": message }) {
        socket.fail(&format!("expected the error {message:?}, got {}", next.whole));
    }
}

fn padded(name: &str, characters: usize) -> String {
    format!("{name}{}", "x".repeat(characters - name.len()))
}
