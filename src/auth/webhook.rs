//! Signing webhooks: HMAC-SHA256 over the body, byte for byte as it is sent.

use crate::app::{App, Key};

/// The header that names the key which signed.
pub const KEY_HEADER: &str = "x-pusher-key";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-pusher-signature";

/// The pair of credentials that signs an app's webhooks: the oldest one, so that a backend which has not learned of a
/// newer one yet can still check them.
pub fn signing_key(app: &App) -> Option<&Key> {
    app.keys.first()
}

/// The header with the number of the attempt, from 1. No signature covers it.
pub const ATTEMPT_HEADER: &str = "x-heliostat-attempt";

/// The signature of a body.
pub fn sign(key: &Key, body: &str) -> String {
    super::sign(&key.secret, body)
}

/// Whether a webhook comes from a broker of this app: `key` and `signature` are the values of the two headers. All keys
/// of the app are accepted.
pub fn is_valid(app: &App, key: &str, signature: &str, body: &str) -> bool {
    app.secret_of(key).is_some_and(|secret| super::verify(secret, body, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"time_ms":1700000000000,"events":[{"name":"channel_occupied","channel":"room"}]}"#;

    #[test]
    fn the_known_vector_holds() {
        let app = App::new("1", "app-key", "app-secret");
        let signature = sign(signing_key(&app).unwrap(), BODY);
        assert_eq!(signature, "27b995379d7621764869864886bf9eff0ef0c389e9648c508f7cb0611357e81f");
        assert!(is_valid(&app, "app-key", &signature, BODY));
        assert!(!is_valid(&app, "app-key", &signature, &format!("{BODY} ")));
        assert!(!is_valid(&app, "other-key", &signature, BODY));
    }

    #[test]
    fn the_oldest_key_signs() {
        let mut app = App::new("1", "old", "s1");
        app.keys.extend(App::new("", "new", "s2").keys);
        assert_eq!(signing_key(&app).unwrap().key, "old");
    }
}
