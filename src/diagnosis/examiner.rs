//! Puts guesses to the proof, a bounded number of them.

use hmac::Mac;

use crate::app::Secret;

/// Signatures that are computed for one refusal.
pub(crate) const MOST_SIGNATURES: usize = 16;

/// Bytes of what was to be signed; what is longer is not examined.
pub(crate) const MOST_BYTES: usize = 16 * 1024;

/// A signature that came, and how many may still be compared with it.
#[derive(Debug)]
pub(super) struct Examiner {
    came: [u8; 32],
    left: usize,
}

impl Examiner {
    pub(super) fn new(came: [u8; 32]) -> Self {
        Examiner { came, left: MOST_SIGNATURES }
    }

    /// Whether what came is the signature of this text; no, where no more may be computed.
    pub(super) fn is_of(&mut self, secret: &Secret, text: &str) -> bool {
        if self.left == 0 || text.len() > 2 * MOST_BYTES {
            return false;
        }
        self.left -= 1;
        let mut mac = secret.hmac();
        mac.update(text.as_bytes());
        mac.verify_slice(&self.came).is_ok()
    }

    /// How many may still be computed.
    pub(super) fn left(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_are_computed() {
        let (secret, mut examiner) = (Secret::new("s"), Examiner::new([0; 32]));
        let right = hex::decode(crate::auth::sign(&secret, "text")).unwrap();
        assert!((0..MOST_SIGNATURES).all(|_| !examiner.is_of(&secret, "text")));
        examiner.came = right.try_into().unwrap();
        assert!(!examiner.is_of(&secret, "text"), "the last one was computed before");
        examiner.left = 1;
        assert!(!examiner.is_of(&secret, &"x".repeat(3 * MOST_BYTES)) && examiner.left() == 1);
        assert!(examiner.is_of(&secret, "text") && examiner.left() == 0);
    }
}
