//! What nodes say, for the fuzz targets.

use bytes::Bytes;

use super::envelope::{Content, Envelope, FactBatch};
use super::replica::{Replica, ReplicaBounds};
use super::status::ReplicaSize;

/// What was read of a message of a node.
#[derive(Debug)]
pub struct ReadEnvelope {
    /// As this node would say it.
    pub again: Vec<u8>,
    /// Whether the same is read of that.
    pub again_is_equal: bool,
    /// Bytes that a replica takes to hold its facts.
    pub replica_bytes: usize,
    /// Members and users in it.
    pub entries: usize,
    /// What a replica told when it was removed.
    pub removals: usize,
}

/// Reads a message of another node, if it is one.
pub fn read(bytes: &[u8]) -> Option<ReadEnvelope> {
    let envelope = Envelope::decode(&Bytes::copy_from_slice(bytes)).ok()?;
    let again = envelope.encode();
    let again_is_equal = Envelope::decode(&again).as_ref() == Ok(&envelope);
    let mut replica = Replica::new(ReplicaBounds::default(), 0);
    match envelope.content {
        Content::Facts(FactBatch { facts, .. }) => {
            replica.heard_of(0);
            replica.apply(FactBatch { first: 1, facts }, &mut |_| {});
        }
        Content::SnapshotPart(part) => {
            replica.ask(part.request);
            replica.part(&part, &mut |_| {});
        }
        _ => {}
    }
    let ReplicaSize { members, users, bytes: replica_bytes, .. } = replica.size();
    let mut removals = 0;
    replica.remove(&mut |_| removals += 1);
    Some(ReadEnvelope {
        again: again.to_vec(),
        again_is_equal,
        replica_bytes,
        entries: members + users,
        removals,
    })
}
