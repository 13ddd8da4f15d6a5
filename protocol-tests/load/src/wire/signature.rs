//! The signatures of Pusher's HTTP API and of private subscriptions.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;

/// An app as its backend knows it.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// Signs for one app. Keeps the keyed state, so that a signature costs only its text.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    app: App,
    keyed: Hmac<Sha256>,
}

impl Signer {
    pub(crate) fn new(app: App) -> Self {
        let keyed = Hmac::new_from_slice(app.secret.as_bytes()).expect("an HMAC key has any length");
        Signer { app, keyed }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The `auth` of a subscription; `channel_data` for presence channels, exactly as it will be sent.
    pub(crate) fn channel(&self, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
        let signature = match channel_data {
            Some(data) => self.hmac(&[socket_id, ":", channel, ":", data]),
            None => self.hmac(&[socket_id, ":", channel]),
        };
        format!("{}:{signature}", self.app.key)
    }

    /// The `auth` of signing in as a user; `user_data` exactly as it will be sent.
    pub(crate) fn user(&self, socket_id: &str, user_data: &str) -> String {
        format!("{}:{}", self.app.key, self.hmac(&[socket_id, "::user::", user_data]))
    }

    /// The path and query of a signed request. Of one without a body the query names no hash.
    pub(crate) fn target(&self, method: &str, path: &str, body: &[u8], unix_seconds: u64) -> String {
        let mut query = format!("auth_key={}&auth_timestamp={unix_seconds}&auth_version=1.0", self.app.key);
        if !body.is_empty() {
            query += &format!("&body_md5={}", hex::encode(Md5::digest(body)));
        }
        let signature = self.hmac(&[method, "\n", path, "\n", &query]);
        format!("{path}?{query}&auth_signature={signature}")
    }

    /// Whether a request is signed as [`Signer::target`] signs: that query's order, no other, and the hash of this body.
    pub(crate) fn verifies(&self, method: &str, target: &[u8], body: &[u8]) -> bool {
        let Ok(target) = std::str::from_utf8(target) else { return false };
        let Some((path, query)) = target.split_once('?') else { return false };
        let Some((query, signature)) = query.split_once("&auth_signature=") else { return false };
        let Some((_, hash)) = query.split_once("&body_md5=") else { return false };
        hash == hex::encode(Md5::digest(body)) && signature == self.hmac(&[method, "\n", path, "\n", query])
    }

    fn hmac(&self, parts: &[&str]) -> String {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(part.as_bytes());
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(id: &str, key: &str, secret: &str) -> Signer {
        Signer::new(App { id: id.into(), key: key.into(), secret: secret.into() })
    }

    #[test]
    fn the_documented_subscription_comes_out() {
        let signer = signer("1", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        assert_eq!(
            signer.channel("1234.1234", "private-foobar", None),
            "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let signer = signer("3", "key", "secret");
        let target = signer.target("POST", "/apps/3/events", b"{}", 1_353_088_179);
        assert!(signer.verifies("POST", target.as_bytes(), b"{}"));
        assert!(!signer.verifies("POST", target.as_bytes(), b"{ }"));
        assert!(!signer.verifies("POST", target.replace("/3/", "/4/").as_bytes(), b"{}"));
        assert!(!signer.verifies("GET", target.as_bytes(), b"{}"));
    }

    #[test]
    fn the_documented_request_comes_out() {
        let signer = signer("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let target = signer.target("POST", "/apps/3/events", body, 1_353_088_179);
        assert!(
            target.ends_with(
                "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
            )
        );
    }
}
