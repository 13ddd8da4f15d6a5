use serde_json::json;

use super::*;
use crate::app::Secret;

/// What somebody has written by hand, in several forms.
const BY_HAND: &str = "\
# Ours.

[[apps]]   # the first
id = \"1\"
secret = \"s\"  # hush
key = \"k\"
limits.connections = 5

# The second.
[[apps]]
id = \"2\"
keys = [
    { key = \"a\", secret = \"x\" }, # old
    { key = \"b\", secret = \"y\" },
]
limits = { connections = 7 } # seven
# The end.
";

fn edited(text: &str, edit: impl FnOnce(&mut AppsText) -> Result<(), AppsError>) -> String {
    let mut file = AppsText::parse(text).unwrap();
    edit(&mut file).unwrap();
    let text = file.into_text();
    assert_eq!(crate::config::app_complaints(&text), [""; 0], "{text}");
    text
}

fn settings(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

#[test]
fn nothing_but_the_change_is_changed() {
    assert_eq!(edited(BY_HAND, |_| Ok(())), BY_HAND);
    let set = edited(BY_HAND, |file| {
        file.set(0, &settings(json!({ "secret": "t", "limits": { "connections": 6 } })))
    });
    let expected = BY_HAND.replace("\"s\"  #", "\"t\"  #").replace("connections = 5", "connections = 6");
    assert_eq!(set, expected);
    let set = edited(BY_HAND, |file| file.set(1, &settings(json!({ "limits": { "connections": null } }))));
    assert_eq!(set, BY_HAND.replace("limits = { connections = 7 } # seven\n", ""));
    let unchanged = edited(BY_HAND, |file| file.set(1, &settings(json!({ "enabled": null }))));
    assert_eq!(unchanged, BY_HAND);
    let deleted = edited(BY_HAND, |file| file.delete(0));
    assert!(
        deleted.starts_with("\n# The second.\n[[apps]]\nid = \"2\"") && deleted.ends_with("# The end.\n")
    );
}

#[test]
fn an_app_is_added_with_all_that_it_can_have() {
    let app = json!({
        "client_events": true,
        "id": "3",
        "limits": { "connections": 9, "message_bytes": 2048 },
        "key": "c",
        "secret": "z",
        "cache_ttl_seconds": 0.5,
        "allowed_origins": ["localhost:*"],
        "channels": [{ "pattern": "cam-*", "delivery": "latest" }],
        "webhooks": [{ "url": "http://127.0.0.1:1/", "headers": { "x-a": "b" } }],
        "relay": [{ "url": "http://127.0.0.1:2", "app_id": "7", "key": "k", "secret": "z", "channels": ["a-*"] }],
        "pipe": [{ "from": "a", "event": "b", "to": ["c", "d"], "add": { "deep": { "er": [1, null_free()] } } }],
    });
    let text = edited(BY_HAND, |file| file.create(&settings(app)).map(|place| assert_eq!(place, 2)));
    let added = text.strip_prefix(BY_HAND.strip_suffix("# The end.\n").unwrap()).unwrap();
    assert!(added.starts_with("\n[[apps]]\nid = \"3\"\nkey = \"c\"\nsecret = \"z\"\n"), "{added}");
    let empty =
        edited("", |file| file.create(&settings(json!({ "id": "1", "key": "k", "secret": "s" }))).map(drop));
    assert_eq!(empty, "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n");
    let inline = "apps = [{ id = \"1\", key = \"k\", secret = \"s\" }]\n";
    let both = edited(inline, |file| {
        file.create(&settings(json!({ "id": "2", "key": "l", "secret": "s" }))).map(drop)
    });
    assert_eq!(both.matches("[[apps]]").count(), 2, "{both}");
}

fn null_free() -> Json {
    json!({ "a": true, "b": 1.5 })
}

#[test]
fn pairs_come_and_go_whatever_form_they_have() {
    let new = Key { key: "n".to_owned(), secret: Secret::new("m") };
    let first = edited(BY_HAND, |file| file.rotate(0, &new));
    assert!(
        first.contains(
            "keys = [\n    { key = \"n\", secret = \"m\" },\n    { key = \"k\", secret = \"s\" },\n]\n"
        ),
        "{first}"
    );
    let second = edited(BY_HAND, |file| file.rotate(1, &new));
    let expected =
        "keys = [\n    { key = \"n\", secret = \"m\" },\n    { key = \"a\", secret = \"x\" }, # old\n";
    assert!(second.contains(expected), "{second}");
    let without = edited(&second, |file| file.revoke(1, "a"));
    assert!(
        !without.contains("\"a\"") && without.contains("\"b\"") && without.contains("\"n\""),
        "{without}"
    );
    let listed = "[[apps]]\nid = \"1\"\n[[apps.keys]]\nkey = \"k\"\nsecret = \"s\"\n";
    let rotated = edited(listed, |file| file.rotate(0, &new));
    let one = edited(&rotated, |file| file.revoke(0, "k"));
    let mut file = AppsText::parse(&one).unwrap();
    assert!(matches!(file.revoke(0, "x"), Err(AppsError::NoSuchKey(_))));
    assert!(matches!(file.revoke(0, "n"), Err(AppsError::LastKey(_))));
    let keys = settings(json!({ "keys": [{ "key": "v", "secret": "w" }] }));
    let replaced = edited(BY_HAND, |file| file.set(0, &keys));
    assert!(!replaced.contains("key = \"k\"") && replaced.contains("key = \"v\""), "{replaced}");
}

#[test]
fn what_toml_cannot_say_is_refused_with_its_place() {
    let mut file = AppsText::parse(BY_HAND).unwrap();
    let refused = file.set(0, &settings(json!({ "pipe": [{ "from": "a", "add": { "b": [null] } }] })));
    assert_eq!(refused.unwrap_err().to_string(), "pipe.add.b must not hold null");
    assert!(matches!(file.set(7, &Map::new()), Err(AppsError::Gone)));
}
