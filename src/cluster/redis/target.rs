//! Which engine is joined, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

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
    /// What is read of one value: a message, or all documents. An engine that sends more is one that is away.
    pub(crate) message_bytes: usize,
    /// What waits to be published at most, and how many words.
    pub(crate) outgoing_bytes: usize,
    pub(crate) outgoing_words: usize,
}

/// The largest message of a node is a part of a snapshot or an event with the largest payload that can be configured, and
/// an app's document has some kilobytes, so that ten thousand of them fit.
const MESSAGE_BYTES: usize = 32 * 1024 * 1024;

impl RedisTarget {
    /// The engine of a URL, with everything else as it is if nothing is said. TLS has to be set where the URL asks for it.
    pub(crate) fn new(url: &EngineUrl, tls: Option<Arc<ClientConfig>>) -> Self {
        RedisTarget {
            place: url.place.clone(),
            tls: tls.filter(|_| url.tls),
            login: url.login.clone(),
            sentinel_login: EngineLogin::default(),
            database: url.database,
            prefix: "heliostat".into(),
            connect_timeout: Duration::from_secs(5),
            message_bytes: MESSAGE_BYTES,
            outgoing_bytes: 64 * 1024 * 1024,
            outgoing_words: 65_536,
        }
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
