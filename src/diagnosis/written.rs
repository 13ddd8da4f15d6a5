//! A signature as it was written, and what is wrong with its form.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::cause::Cause;
use super::json_forms::unquoted;

/// The `auth` of a client, read as it was meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenAuth {
    /// What stands before the signature, if anything does.
    pub(super) key: Option<String>,
    /// The digest, if what came can be read as one.
    pub(super) digest: Option<[u8; 32]>,
    /// What is wrong with the form.
    pub(super) fault: Option<Cause>,
}

impl WrittenAuth {
    pub(super) fn read(auth: &str) -> Self {
        if let Some(inner) = within_json(auth) {
            let WrittenAuth { key, digest, .. } = Self::read(&inner);
            return WrittenAuth { key, digest, fault: Some(Cause::AuthIsJson) };
        }
        let (key, signature) = match auth.split_once(':') {
            None => (None, auth),
            Some(("", signature)) => (None, signature),
            Some((key, signature)) => (Some(key), signature),
        };
        if let Some(key) = key {
            let named_twice = format!("{key}:");
            let doubled = signature.strip_prefix(&named_twice).map(|rest| (rest, Cause::KeyTwice));
            let of_user = || signature.strip_prefix(":user::").map(|rest| (rest, Cause::UserWordsInAuth));
            if let Some((rest, fault)) = doubled.or_else(of_user) {
                let (digest, _) = digest_of(rest);
                return WrittenAuth { key: Some(key.to_owned()), digest, fault: Some(fault) };
            }
        }
        let (digest, fault) = digest_of(signature);
        let fault = match key {
            None if digest.is_some() => Some(Cause::KeyMissing),
            _ => fault,
        };
        WrittenAuth { key: key.map(str::to_owned), digest, fault }
    }
}

/// The `auth` within a whole answer of an endpoint, or within a JSON string.
fn within_json(auth: &str) -> Option<String> {
    if let Some(inner) = unquoted(auth) {
        return Some(inner);
    }
    let object = auth.trim_start().starts_with('{');
    let parsed = object.then(|| serde_json::from_str::<serde_json::Value>(auth).ok()).flatten()?;
    parsed["auth"].as_str().map(str::to_owned)
}

/// The bytes of a signature, and what is wrong with how it is written.
pub(super) fn digest_of(text: &str) -> (Option<[u8; 32]>, Option<Cause>) {
    let trimmed = text.trim();
    let mut digest = [0; 32];
    if hex::decode_to_slice(trimmed, &mut digest).is_ok() {
        let upper_case = trimmed.bytes().any(|byte| byte.is_ascii_uppercase());
        let fault = match (trimmed.len() == text.len(), upper_case) {
            (false, _) => Some(Cause::SpaceAround),
            (true, true) => Some(Cause::UpperCase),
            (true, false) => None,
        };
        return (Some(digest), fault);
    }
    let decoded = STANDARD.decode(trimmed).or_else(|_| URL_SAFE_NO_PAD.decode(trimmed.trim_end_matches('=')));
    match decoded.ok().and_then(|bytes| bytes.try_into().ok()) {
        Some(digest) => (Some(digest), Some(Cause::Base64)),
        None => (None, Some(Cause::NoDigest { chars: text.chars().count() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_is_meant_is_read_and_what_is_wrong_is_named() {
        let base64 = STANDARD.encode(hex::decode(HEX).unwrap());
        for (auth, key, fault) in [
            (format!("k:{HEX}"), Some("k"), None),
            (HEX.to_owned(), None, Some(Cause::KeyMissing)),
            (format!(":{HEX}"), None, Some(Cause::KeyMissing)),
            (format!("k:k:{HEX}"), Some("k"), Some(Cause::KeyTwice)),
            (format!("k::user::{HEX}"), Some("k"), Some(Cause::UserWordsInAuth)),
            (format!("k:{}", HEX.to_uppercase()), Some("k"), Some(Cause::UpperCase)),
            (format!("k:{HEX}\n"), Some("k"), Some(Cause::SpaceAround)),
            (format!("k:{base64}"), Some("k"), Some(Cause::Base64)),
            (format!("\"k:{HEX}\""), Some("k"), Some(Cause::AuthIsJson)),
            (
                format!("{{\"auth\":\"k:{HEX}\",\"channel_data\":\"{{}}\"}}"),
                Some("k"),
                Some(Cause::AuthIsJson),
            ),
        ] {
            let read = WrittenAuth::read(&auth);
            assert_eq!((read.key.as_deref(), &read.fault), (key, &fault), "{auth}");
            assert_eq!(read.digest.map(hex::encode).as_deref(), Some(HEX), "{auth}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not_taken_for_it() {
        for (auth, fault) in [
            ("00".to_owned(), Some(Cause::NoDigest { chars: 2 })),
            (format!("k:k2:{HEX}"), Some(Cause::NoDigest { chars: 67 })),
            (format!("k:{}", &HEX[..63]), Some(Cause::NoDigest { chars: 63 })),
            ("{\"auth\":7}".to_owned(), Some(Cause::NoDigest { chars: 2 })),
        ] {
            let read = WrittenAuth::read(&auth);
            assert_eq!((read.digest, read.fault), (None, fault), "{auth}");
        }
    }
}
