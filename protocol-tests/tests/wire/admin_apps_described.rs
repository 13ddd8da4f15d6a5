//! The API of the apps does what its description says of it: each list of an app is taken and shown, and whoever guesses
//! credentials is told when he is listened to again.

use serde_json::{Value, json};

use crate::admin::{TOKEN, bearer};
use crate::admin_apps::{Api, document, json_of};

/// One of each of the lists of tables that an app can have is taken, shown, written to the file and read again.
#[test]
fn every_list_that_is_described_is_taken_and_shown() {
    let Some(api) = Api::start() else { return };
    let lists = json!({
        "channels": [{ "pattern": "cam-*", "delivery": "latest" }],
        "keys": [{ "key": "k7", "secret": "s7" }],
        "pipe": [{ "from": "a", "event": "b", "to": "c" }],
        "relay": [{ "url": "http://127.0.0.1:9", "app_id": "1", "key": "k", "secret": "s", "channels": ["a-*"] }],
        "webhooks": [{ "url": "http://127.0.0.1:9/", "events": ["channel_occupied"] }],
    });
    let described = document()["components"]["schemas"]["Settings"]["properties"].as_object().unwrap();
    let of_tables = described.iter().filter(|(name, schema)| {
        *name == "keys" || schema["items"]["type"] == "object" || schema["items"].get("$ref").is_some()
    });
    let names: Vec<_> = of_tables.map(|(name, _)| name).collect();
    assert_eq!(names, lists.as_object().unwrap().keys().collect::<Vec<_>>(), "there is one of each here");
    let mut app = lists.clone();
    app["id"] = "7".into();
    let shown = json_of(&api.ask("POST", "/api/apps", &app), 201);
    for (name, list) in lists.as_object().unwrap() {
        let shown = shown["app"][name].as_array().unwrap_or_else(|| panic!("{name} is shown: {shown}"));
        assert_eq!(shown.len(), 1, "{name}");
        for (member, value) in list[0].as_object().unwrap() {
            assert_eq!(&shown[0][member], value, "{name}.{member}");
        }
    }
    for name in ["channels", "pipe", "relay", "webhooks"] {
        assert!(api.text().contains(&format!("[[apps.{name}]]")), "{}", api.text());
        let none = json_of(&api.ask("PATCH", "/api/apps/7", &json!({ name: null })), 200);
        assert!(none["app"].get(name).is_none_or(|list| *list == json!([])), "{name}: {none}");
    }
}

/// Whoever shows wrong credentials again and again is told so, with the right ones, too.
///
/// Proves: bad input.
#[test]
fn who_guesses_is_told_when_he_is_listened_to_again() {
    let Some(api) = Api::start_with("[server]\nmax_refusals_per_address_per_minute = 2") else { return };
    let ask = |token: &str| api.ask_as(&bearer(token), "GET", "/api/apps", "", "");
    for _ in 0..2 {
        let _ = ask("wrong").error(401);
    }
    let _ = ask(TOKEN).error(429);
    let _ = api.ask("POST", "/api/apps", &Value::Null).error(429);
}
