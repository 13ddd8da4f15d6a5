//! One connection in detail, for whoever asks: told by the thread that owns it, when it has a turn.

use std::borrow::Cow;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::protocol::CloseStatus;

/// What somebody asks of the driver of a connection.
#[derive(Debug)]
pub enum DriverRequest {
    /// To end it, with this code and reason.
    Close(CloseStatus, Cow<'static, str>),
    /// To tell of it.
    Describe(DetailsReply),
}

/// Where what there is of a connection is told. Dropped, nothing is told.
#[derive(Clone, Debug)]
pub struct DetailsReply(Sender<ConnectionDetails>);

impl DetailsReply {
    /// Where one connection tells of itself, and where that is heard.
    pub(super) fn new() -> (Self, Receiver<ConnectionDetails>) {
        let (reply, answer) = mpsc::channel(1);
        (DetailsReply(reply), answer)
    }

    /// Tells it.
    pub(crate) fn tell(&self, details: ConnectionDetails) {
        // There is room for the one answer; whoever asked may have gone.
        let _ = self.0.try_send(details);
    }
}

/// What there is of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionDetails {
    /// What carries it: `websocket`, `fallback` or `stream`.
    pub(crate) transport: &'static str,
    /// The version of the protocol.
    pub(crate) protocol: u8,
    /// Whom it is signed in as.
    pub(crate) user_id: Option<String>,
    /// Its library, as it has named itself, and its version.
    pub(crate) client: Option<String>,
    pub(crate) client_version: Option<String>,
    /// Where it comes from, the proxy that it came by, and the page.
    pub(crate) address: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) origin: Option<String>,
    /// Whether it came over TLS, as far as that is known and believed.
    pub(crate) tls: bool,
    /// For how long it has been there, by whole seconds, and has said nothing.
    pub(crate) age: Option<Duration>,
    pub(crate) silent: Option<Duration>,
    /// How long it took to answer the last ping that it has answered.
    pub(crate) round_trip: Option<Duration>,
    /// For how long a ping has waited to be answered.
    pub(crate) pinged: Option<Duration>,
    /// Bytes and frames that wait for it; the most that may; and whether its socket takes no more for now.
    pub(crate) owed: (usize, usize),
    pub(crate) bounds: (usize, usize),
    pub(crate) is_blocked: bool,
    /// The channels that it is subscribed to, some of them, and how many they are.
    pub(crate) channels: Vec<String>,
    pub(crate) channel_count: usize,
}
