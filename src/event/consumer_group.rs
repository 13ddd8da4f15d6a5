//! Chooses the backend of a group that is sent a notification.

use std::sync::Arc;

/// Clients that share the work: each notification goes to one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerGroup {
    /// The name that they have in common.
    pub(crate) name: Arc<str>,
    /// What stays together.
    pub(crate) by: GroupBy,
}

/// What the notifications of one member of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GroupBy {
    /// The connection that they are about; where they are about none, the channel.
    Socket,
    /// The channel that they are about; where they are about none, the connection.
    Channel,
}

impl GroupBy {
    /// The name on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            GroupBy::Socket => "socket",
            GroupBy::Channel => "channel",
        }
    }
}

/// The weight of a member of a group for a key, by rendezvous hashing: the member with the highest weight is sent what
/// has this key. So the work is spread evenly, and where a member comes or goes only its own share moves.
///
/// It is the first eight bytes, the most significant one first, of the SHA-256 of the key, a byte 0xff (which no text
/// holds), and the member: all workers and all nodes agree, whatever release of this program or its compiler they are.
pub(crate) fn rendezvous_weight(key: &str, member: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(key).chain_update([0xff]).chain_update(member).finalize();
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another program.
    const VECTORS: [(&str, &str, u64); 4] = [
        ("", "", 0xa810_0ae6_aa19_40d0),
        ("123.456", "789.12", 0xcc67_1607_b308_e4a6),
        ("camera-1", "1.1", 0x66ee_cb1e_1d80_58c4),
        ("camera-é", "18446744073709551615.1", 0x7bd5_f688_5445_750b),
    ];

    #[test]
    fn weights_are_the_same_in_every_release() {
        for (key, member, expected) in VECTORS {
            assert_eq!(rendezvous_weight(key, member), expected, "{key} {member}");
        }
    }

    #[test]
    fn work_is_spread_evenly_and_moves_only_with_its_member() {
        let members = ["1.1", "2.2", "3.3"];
        let of = |key: &str, members: &[&str]| {
            (0..members.len())
                .max_by_key(|n| rendezvous_weight(key, members[*n]))
                .map(|n| members[n].to_owned())
                .unwrap()
        };
        let mut shares = [0; 3];
        for n in 0..3000 {
            let key = format!("{n}.7");
            let member = of(&key, &members);
            shares[members.iter().position(|m| *m == member).unwrap()] += 1;
            if member != "3.3" {
                assert_eq!(of(&key, &members[..2]), member, "only the share of the one that left moves");
            }
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }
}
