//! Relays: what backends publish here is published on another server of the protocol as well, while a running app moves
//! from one to the other.
//!
//! [`Relays`] makes a listener for each app that has relays. It is handed each request of a backend as a whole, puts it into
//! the bounded queue of each relay, and does nothing else; so no publisher waits for a relay. One task per relay, on a
//! thread that all of them share, sends what is in its queue in its order, one request at a time. A request is sent again
//! only if nothing of it was written, or if the answer says that nothing was done (`verdict`).
//!
//! A request that was relayed says so in a header, and is not relayed again by anybody who knows the header; nor is it
//! accepted by the broker that has sent it.
//!
//! `item`, `queue` and `verdict` are pure: the time is an argument.

mod connection;
mod counts;
mod item;
mod listener;
mod losses;
mod queue;
mod sender;
mod service;
mod settings;
mod verdict;

pub(crate) use counts::RelayFigures;
pub(crate) use service::{RelayMark, Relays, check};
pub use settings::{BadRelay, RelaySettings, RelayUrl};

/// The header that a relayed request has. Its value tells the relay that has sent it, and nobody else, that it has.
pub(crate) const RELAY_HEADER: &str = "x-heliostat-relay";
