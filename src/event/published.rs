//! What a backend has asked for over the HTTP API, as a whole and in its own words: for whoever hands it on.

use indexmap::IndexSet;

use crate::protocol::ChannelName;
use crate::protocol::json::Data;

/// A request of a backend that was carried out.
#[derive(Clone, Copy, Debug)]
pub enum BackendCall<'a> {
    /// Events were published, in this order.
    Publish(&'a [PublishedEvent<'a>]),
    /// All connections of a user were ended.
    TerminateUser(&'a str),
}

/// An event as it was published: once for all its channels.
#[derive(Clone, Copy, Debug)]
pub struct PublishedEvent<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its payload.
    pub data: &'a Data<'a>,
    /// The channels that it is for.
    pub channels: &'a IndexSet<ChannelName>,
    /// The connection that is not to be sent it, as the backend wrote it: it may be one of another server.
    pub except: Option<&'a str>,
}
