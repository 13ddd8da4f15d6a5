//! The keys of encrypted channels, which an application and its clients share and the broker has no use for.
//!
//! An application holds one master key; each channel's key is the SHA-256 of the channel's name followed by the master
//! key. The broker derives them only where it stands in for an application, in development mode.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::sign;
use crate::app::Secret;

/// What the derived master key is signed for; any fixed text would do.
const DERIVATION: &str = "heliostat: encryption master key of development mode";

/// An application's master key. Never printed, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptionMasterKey([u8; EncryptionMasterKey::BYTES]);

impl EncryptionMasterKey {
    /// Its length, which the cipher of the client libraries (NaCl's secretbox) asks for.
    pub const BYTES: usize = 32;

    /// Reads the key in the form that the server libraries take as `encryption_master_key_base64`: standard Base64 with
    /// its padding. `None` if the text is no such thing, or holds another number of bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(EncryptionMasterKey)
    }

    /// A key for an app that was given none, the same at every start.
    pub fn derived_from(secret: &Secret) -> Self {
        let mut bytes = [0; Self::BYTES];
        // The signature is exactly as long as the key, so this cannot fail.
        let _ = hex::decode_to_slice(sign(secret, DERIVATION), &mut bytes);
        EncryptionMasterKey(bytes)
    }

    /// The key in the form that the server libraries take.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The `shared_secret` of one channel, as an auth endpoint answers it: Base64 of 32 bytes.
    pub fn shared_secret(&self, channel: &str) -> String {
        STANDARD.encode(Sha256::new().chain_update(channel).chain_update(self.0).finalize())
    }
}

impl fmt::Debug for EncryptionMasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionMasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thirty-two times the letter "a", and what an independent SHA-256 makes of it.
    const KEY: &str = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";

    #[test]
    fn a_channel_has_the_key_that_the_server_libraries_derive() {
        let key = EncryptionMasterKey::from_base64(KEY).unwrap();
        assert_eq!(
            key.shared_secret("private-encrypted-room"),
            "I8GUYysEDnHjdtqfHYostsOzdpPq4ahhI/NhTFsRuJM="
        );
        assert_ne!(key.shared_secret("private-encrypted-hall"), key.shared_secret("private-encrypted-room"));
        assert_eq!(key.to_base64(), KEY);
    }

    #[test]
    fn a_key_is_thirty_two_bytes_of_base64() {
        for wrong in ["", "abc", "YWFh", "…", &KEY[1..], &format!("{KEY} "), &KEY.replace('=', "")] {
            assert_eq!(EncryptionMasterKey::from_base64(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_derived_key_belongs_to_its_secret_and_is_not_printed() {
        let [one, same, other] =
            ["one", "one", "other"].map(|text| EncryptionMasterKey::derived_from(&Secret::new(text)));
        assert_eq!(one, same);
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "EncryptionMasterKey(…)");
    }
}
