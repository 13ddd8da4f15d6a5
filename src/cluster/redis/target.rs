//! Which engine is joined, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use super::lookup::NameLookup;
use super::refusal::StartRefusal;
use crate::cluster::config::ClusterConfig;
use crate::cluster::{EngineLogin, EnginePlace, EngineUrl};

/// Which engine is joined, and how.
#[derive(Clone)]
pub(crate) struct RedisTarget {
    pub(crate) place: EnginePlace,
    /// Whom to trust, where TLS is spoken.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) login: EngineLogin,
    /// Who this node is to the sentinels.
    pub(crate) sentinel_login: EngineLogin,
    pub(crate) database: u32,
    /// What all names begin with.
    pub(crate) prefix: Arc<str>,
    /// How long the engine has for a connection, and for an answer while it is being made.
    pub(crate) connect_timeout: Duration,
    /// What is read of one value. An engine that sends more is one that is away, and nothing longer is said.
    pub(crate) message_bytes: usize,
    /// What waits to be published at most, and how many words.
    pub(crate) outgoing_bytes: usize,
    pub(crate) outgoing_words: usize,
    /// What tells the addresses of names.
    pub(crate) lookup: NameLookup,
}

/// What surrounds the bytes that a node says, or has the engine keep, when they come back: names, numbers, lengths.
const BYTES_AROUND: usize = 4096;

impl RedisTarget {
    /// The engine of a URL, with everything else as it is if nothing is said.
    ///
    /// # Errors
    /// If it asks for TLS, and there is none.
    pub(crate) fn new(url: &EngineUrl, tls: Option<Arc<ClientConfig>>) -> Result<Self, StartRefusal> {
        if url.tls && tls.is_none() {
            return Err(StartRefusal::NoTls { url: url.to_string() });
        }
        Ok(RedisTarget {
            place: url.place.clone(),
            tls: tls.filter(|_| url.tls),
            login: url.login.clone(),
            sentinel_login: EngineLogin::default(),
            database: url.database,
            prefix: "heliostat".into(),
            connect_timeout: Duration::from_secs(5),
            message_bytes: ClusterConfig::default().message_bytes,
            outgoing_bytes: ClusterConfig::default().outgoing_bytes,
            outgoing_words: 65_536,
            lookup: NameLookup::default(),
        })
    }

    /// The longest bytes that a node says, or reads of what the engine keeps.
    pub(super) fn most_bytes(&self) -> usize {
        self.message_bytes.saturating_sub(BYTES_AROUND)
    }

    /// Whether it is a Redis Cluster, whose names have to say where they are.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.place, EnginePlace::Cluster(_))
    }
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTarget").field("place", &self.place).field("prefix", &self.prefix).finish()
    }
}
