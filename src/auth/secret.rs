//! Compares a text that somebody shows, such as a token, with the one that it has to be.

use sha2::{Digest, Sha256};

/// Whether what was `shown` is the `secret`. Takes a time that tells nothing of the secret: not where the two differ, and
/// not how long it is.
pub fn is_secret(shown: &[u8], secret: &[u8]) -> bool {
    let [shown, secret] = [shown, secret].map(Sha256::digest);
    shown.iter().zip(&secret).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        assert!(is_secret(b"abc", b"abc"));
        for shown in ["abd", "ab", "abcd", "", "ABC"] {
            assert!(!is_secret(shown.as_bytes(), b"abc"), "{shown}");
        }
    }
}
