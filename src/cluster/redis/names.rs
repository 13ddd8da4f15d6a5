//! What subjects and keys are called at the engine. Each name has a tag, which in a Redis Cluster says where it is.

use crate::channel::NodeId;
use crate::cluster::adapter::{NoteName, Subject};

/// The tags. In a Redis Cluster each is on one of its nodes, and what belongs together has one; there are so many that they
/// spread evenly, and so few that their places are asked for at once.
pub(super) const TAGS: usize = 128;

/// The tag of what concerns all.
const COMMON: usize = 0;

/// The names of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: std::sync::Arc<str>,
}

impl Names {
    pub(super) fn new(prefix: std::sync::Arc<str>) -> Self {
        Names { prefix }
    }

    /// The channel of publications that a subject is.
    pub(super) fn channel(&self, subject: &Subject) -> String {
        match subject {
            Subject::State => self.name(COMMON, "state"),
            Subject::Documents => self.name(COMMON, "changed"),
            Subject::Node(node) => self.name(tag(subject), &format!("node:{node}")),
            Subject::Channel { app, channel } => {
                self.name(tag(subject), &format!("event:{app}:{}", channel.as_str()))
            }
            Subject::Pipe { app } => self.name(tag(subject), &format!("pipe:{app}")),
        }
    }

    /// The key under which a subject's event is remembered.
    pub(super) fn remembered(&self, subject: &Subject) -> String {
        format!("{}:remembered", self.channel(subject))
    }

    /// The key under which it is known that somebody misses it.
    pub(super) fn missed(&self, subject: &Subject) -> String {
        format!("{}:missed", self.channel(subject))
    }

    /// The key of a subject's stream.
    pub(super) fn kept(&self, subject: &Subject) -> String {
        format!("{}:kept", self.channel(subject))
    }

    /// The key of the last number of a subject's stream.
    pub(super) fn last(&self, subject: &Subject) -> String {
        format!("{}:last", self.channel(subject))
    }

    /// The key of the number that was given last to what has this tag.
    pub(super) fn number(&self, tag: usize) -> String {
        self.name(tag, "number")
    }

    /// The key of what makes a set of data known again.
    pub(super) fn marker(&self, tag: usize) -> String {
        self.name(tag, "engine")
    }

    /// The channel on which a node hears itself.
    pub(super) fn probe(&self, tag: usize, of: NodeId) -> String {
        self.name(tag, &format!("probe:{of}"))
    }

    /// The key of all documents.
    pub(super) fn documents(&self) -> String {
        self.name(COMMON, "documents")
    }

    /// The tag and the key of a note.
    pub(super) fn note(&self, note: &NoteName) -> (usize, String) {
        let tag = hashed(&[note.app.as_bytes(), &note.number]);
        (tag, self.name(tag, &format!("note:{}:{}", note.app, hex::encode(note.number))))
    }

    /// What is only there to see that the commands are allowed.
    pub(super) fn trial(&self, tag: usize) -> String {
        self.name(tag, "trial")
    }

    /// The permissions that a user needs.
    pub(super) fn acl_rule(&self, is_cluster: bool) -> String {
        let prefix = &self.prefix;
        let publishing = if is_cluster {
            "+spublish +ssubscribe +sunsubscribe +cluster|slots +cluster|keyslot"
        } else {
            "+publish +subscribe +unsubscribe"
        };
        format!(
            "{publishing} +evalsha +script|load +get +set +del +pexpire +pttl +time +hget +hset +hdel +xadd +xdel +xlen +xrange +info \
             ~{prefix}:* &{prefix}:*"
        )
    }

    /// What a tag looks like. In a Redis Cluster only what is in braces says where a name is.
    fn name(&self, tag: usize, rest: &str) -> String {
        format!("{}:{{{tag:02x}}}:{rest}", self.prefix)
    }
}

/// The tag of a subject.
pub(super) fn tag(subject: &Subject) -> usize {
    match subject {
        Subject::State | Subject::Documents => COMMON,
        Subject::Node(node) => hashed(&[&node.bits().to_be_bytes()]),
        Subject::Channel { app, channel } => hashed(&[app.as_bytes(), channel.as_str().as_bytes()]),
        Subject::Pipe { app } => hashed(&[app.as_bytes()]),
    }
}

/// The tag of what has these parts: FNV-1a, so that every version computes the same.
fn hashed(parts: &[&[u8]]) -> usize {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, step);
    usize::try_from((hash ^ (hash >> 32)) % TAGS as u64).unwrap_or(COMMON)
}
