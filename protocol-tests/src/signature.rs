//! The signed strings an application server hands to its clients, computed independently of the broker.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Credentials;

/// The lower-case hexadecimal HMAC-SHA256 of `text` under `secret`.
#[must_use]
pub fn hmac_hex(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("an HMAC key has any length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The string that a subscription's signature covers; `channel_data` exactly as the client will send it.
#[must_use]
pub fn channel_payload(socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
    match channel_data {
        Some(data) => format!("{socket_id}:{channel}:{data}"),
        None => format!("{socket_id}:{channel}"),
    }
}

/// The `auth` of a subscription to a private or presence channel.
#[must_use]
pub fn channel_auth(app: &Credentials, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
    format!("{}:{}", app.key, hmac_hex(&app.secret, &channel_payload(socket_id, channel, channel_data)))
}

/// The `auth` of a sign-in with this `user_data`.
#[must_use]
pub fn user_auth(app: &Credentials, socket_id: &str, user_data: &str) -> String {
    format!("{}:{}", app.key, hmac_hex(&app.secret, &format!("{socket_id}::user::{user_data}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_comes_out() {
        let app = Credentials::new("1", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        assert_eq!(
            channel_auth(&app, "1234.1234", "private-foobar", None),
            "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
        let data = r#"{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#;
        assert_eq!(
            hmac_hex(&app.secret, &channel_payload("1234.1234", "presence-foobar", Some(data))),
            "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80"
        );
    }
}
