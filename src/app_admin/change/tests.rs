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
    let (_, rest) = BY_HAND.split_once("\n# The second.").unwrap();
    assert_eq!(deleted, format!("# Ours.\n\n# The second.{rest}"), "the head of the file is not the app's");
    let none = edited(&deleted, |file| file.delete(0));
    assert_eq!(none, "# Ours.\n\n# The end.\n");
    let again = edited(&none, |file| {
        file.create(&settings(json!({ "id": "1", "key": "k", "secret": "s" }))).map(drop)
    });
    assert_eq!(again, format!("{none}[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n"));
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
    let one = "secret = \"s\"  # hush\nkey = \"k\"\n";
    let two =
        "# hush\nkeys = [\n    { key = \"n\", secret = \"m\" },\n    { key = \"k\", secret = \"s\" },\n]\n";
    assert_eq!(first, BY_HAND.replace(one, two));
    let second = edited(BY_HAND, |file| file.rotate(1, &new));
    let old = "    { key = \"a\", secret = \"x\" }, # old\n";
    assert_eq!(second, BY_HAND.replace(old, &format!("    {{ key = \"n\", secret = \"m\" }},\n{old}")));
    let without = edited(&second, |file| file.revoke(1, "a"));
    assert_eq!(without, second.replace(old, ""));
    let without = edited(&second, |file| file.revoke(1, "b"));
    assert_eq!(without, second.replace("    { key = \"b\", secret = \"y\" },\n", ""));
    let commented = "[[apps]]\nid = \"1\"\n# Of both.\nkeys = [ # two\n    # the first\n    { key = \"a\", secret = \"x\" },\n]\nenabled = true\n";
    let rotated = edited(commented, |file| file.rotate(0, &new));
    let expected = commented.replace("two\n", "two\n    { key = \"n\", secret = \"m\" },\n");
    assert_eq!(rotated, expected);
    assert_eq!(edited(&rotated, |file| file.revoke(0, "n")), commented);
    let listed = "[[apps]]\nid = \"1\"\n[[apps.keys]]\nkey = \"k\"\nsecret = \"s\"\n";
    let rotated = edited(listed, |file| file.rotate(0, &new));
    let both = "\n[[apps.keys]]\nkey = \"n\"\nsecret = \"m\"\n[[apps.keys]]\nkey = \"k\"\n";
    assert_eq!(rotated, listed.replace("[[apps.keys]]\nkey = \"k\"\n", both));
    let one = edited(&rotated, |file| file.revoke(0, "k"));
    let mut file = AppsText::parse(&one).unwrap();
    assert!(matches!(file.revoke(0, "x"), Err(AppsError::NoSuchKey(_))));
    assert!(matches!(file.revoke(0, "n"), Err(AppsError::LastKey(_))));
    let keys = settings(json!({ "keys": [{ "key": "v", "secret": "w" }] }));
    let replaced = edited(BY_HAND, |file| file.set(0, &keys));
    let given = "# hush\nkeys = [{ key = \"v\", secret = \"w\" }]\n";
    assert_eq!(replaced, BY_HAND.replace("secret = \"s\"  # hush\nkey = \"k\"\n", given));
}

/// What TOML does not speak of, and comments around what takes another form.
#[test]
fn line_ends_the_mark_and_comments_stay() {
    let long = format!("\u{feff}{}", BY_HAND.replace('\n', "\r\n"));
    let set = |file: &mut AppsText| file.set(0, &settings(json!({ "enabled": false })));
    let short = edited(BY_HAND, set);
    assert_eq!(short, BY_HAND.replace("connections = 5\n", "connections = 5\nenabled = false\n"));
    assert_eq!(edited(&long, set), format!("\u{feff}{}", short.replace('\n', "\r\n")));
    let mixed = "# Ours.\r\n[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";
    assert_eq!(
        edited(mixed, set).replace("\r\n", "\n"),
        format!("{}enabled = false\n", mixed.replace("\r\n", "\n"))
    );
    let none = "# Ours.\napps = [] # none yet\n# The end.\n";
    let one = edited(none, |file| {
        file.create(&settings(json!({ "id": "1", "key": "k", "secret": "s" }))).map(drop)
    });
    assert_eq!(one, "# Ours.\n# none yet\n# The end.\n[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n");
    let inline = "# Ours.\napps = [{ id = \"1\", key = \"k\", secret = \"s\" }]\n";
    let tables = edited(inline, set);
    assert_eq!(tables, "# Ours.\n[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\nenabled = false\n");
    let limited =
        "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n\n# How many.\n[apps.limits]\nconnections = 1\n";
    let unset = edited(limited, |file| file.set(0, &settings(json!({ "limits": { "connections": null } }))));
    assert_eq!(unset, limited.replace("connections = 1\n", ""));
    let listed = format!("{}\n# Whom.\n[[apps.webhooks]]\nurl = \"http://127.0.0.1:1/\"\n", &limited[..40]);
    let other = edited(&listed, |file| {
        file.set(0, &settings(json!({ "webhooks": [{ "url": "http://127.0.0.1:2/" }] })))
    });
    assert_eq!(other, listed.replace(":1/", ":2/"));
}

#[test]
fn what_toml_cannot_say_is_refused_with_its_place() {
    let mut file = AppsText::parse(BY_HAND).unwrap();
    let refused = file.set(0, &settings(json!({ "pipe": [{ "from": "a", "add": { "b": [null] } }] })));
    assert_eq!(refused.unwrap_err().to_string(), "pipe.add.b must not hold null");
    assert!(matches!(file.set(7, &Map::new()), Err(AppsError::Gone)));
}
