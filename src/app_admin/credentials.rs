//! Credentials that are drawn for an app because nobody has given others.

use serde_json::{Map, Value as Json};

use crate::app::{Key, Secret};

/// A pair that nobody can guess.
pub(crate) fn draw_key() -> Key {
    let (key, secret) = (hex::encode(rand::random::<[u8; 10]>()), hex::encode(rand::random::<[u8; 32]>()));
    Key { key, secret: Secret::new(secret) }
}

/// The settings of a new app with what they lack of an id, a key and a secret. The id is a number: some libraries insist.
pub(crate) fn with_credentials(mut settings: Map<String, Json>) -> Map<String, Json> {
    // Null stands for the default, and here for what is drawn.
    settings
        .retain(|name, value| !value.is_null() || !["id", "key", "secret", "keys"].contains(&name.as_str()));
    let id = || rand::random_range(100_000_000..1_000_000_000u32).to_string().into();
    settings.entry("id").or_insert_with(id);
    if !settings.contains_key("keys") {
        let Key { key, secret } = draw_key();
        settings.entry("key").or_insert_with(|| key.into());
        settings.entry("secret").or_insert_with(|| secret.text().into());
    }
    settings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(settings: Json) -> Map<String, Json> {
        with_credentials(settings.as_object().unwrap().clone())
    }

    #[test]
    fn only_what_is_missing_is_drawn() {
        let (one, other) = (completed(json!({ "id": null })), completed(json!({})));
        for name in ["id", "key", "secret"] {
            assert_ne!(one[name], other[name], "{name}");
        }
        assert!(one["id"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
        let given = json!({ "id": "a", "key": "k", "secret": "s", "enabled": false });
        assert_eq!(Json::Object(completed(given.clone())), given);
        let listed = completed(json!({ "id": "a", "keys": [] }));
        assert_eq!(Json::Object(listed), json!({ "id": "a", "keys": [] }));
    }
}
