//! HMAC-SHA256 in lower-case hexadecimal.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::app::Secret;

fn mac(secret: &Secret, message: &str) -> Hmac<Sha256> {
    let mut mac = secret.hmac();
    mac.update(message.as_bytes());
    mac
}

/// Signs `message`.
pub fn sign(secret: &Secret, message: &str) -> String {
    hex::encode(mac(secret, message).finalize().into_bytes())
}

/// Whether `signature` is the one of `message`: 64 lower-case hexadecimal digits, compared in constant time.
pub fn verify(secret: &Secret, message: &str, signature: &str) -> bool {
    // Looked for in all of them, which takes fewer instructions than to stop at the first.
    let upper_case = signature.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase());
    let mut digest = [0; 32];
    let decoded = hex::decode_to_slice(signature, &mut digest).is_ok();
    !upper_case && decoded && mac(secret, message).verify_slice(&digest).is_ok()
}

/// The two parts of `key:signature`, neither of them empty.
pub fn split(auth: &str) -> Option<(&str, &str)> {
    auth.split_once(':').filter(|(key, signature)| !key.is_empty() && !signature.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked examples of the public documentation, and some of our own.
    #[test]
    fn known_signatures_verify() {
        let documentation = Secret::new("7ad3773142a6692b25b8");
        let ours = Secret::new("app-secret");
        let table = [
            (
                &documentation,
                "1234.1234:private-foobar",
                "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
            ),
            (
                &documentation,
                r#"1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Channels"}}"#,
                "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80",
            ),
            (
                &documentation,
                r#"1234.1234::user::{"id":"12345"}"#,
                "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
            ),
            (
                &ours,
                "111.222:private-room",
                "383bdeb99976476085391ef62e2b622e71e721afdbdd147f163bfed5e267ac74",
            ),
            (
                &ours,
                r#"111.222:private-room:{"note":"x"}"#,
                "71a2e3bd086b4bf1c119ccb21d8b96e096e0e719aeca9c7e9f9148e1d6f8fe4e",
            ),
        ];
        for (secret, message, signature) in table {
            assert_eq!(sign(secret, message), signature, "{message}");
            assert!(verify(secret, message, signature));
        }
    }

    #[test]
    fn anything_else_does_not() {
        let secret = Secret::new("s");
        let right = sign(&secret, "message");
        assert!(verify(&secret, "message", &right));
        let wrong = [
            String::new(),
            right.to_uppercase(),
            right[..62].to_owned(),
            format!("{right}00"),
            right.replace(&right[..1], if right.starts_with('0') { "1" } else { "0" }),
            "zz".repeat(32),
            "é".repeat(32),
        ];
        for signature in wrong {
            assert!(!verify(&secret, "message", &signature), "{signature}");
        }
    }
}
