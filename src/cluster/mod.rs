//! Several nodes as one broker: what one accepts, the subscribers of all are sent, and what one knows of its connections,
//! all know. Between them is an engine that hands on what they say.
//!
//! The engine is behind [`adapter::Adapter`]; what nodes say is bytes by `envelope`, and untrusted.

pub(crate) mod adapter;
mod arriving;
mod asked_names;
mod asking;
mod awaited;
mod awaiting;
mod backends;
mod carried;
pub(crate) mod chain;
mod chains;
mod claims;
mod client_names;
pub(crate) mod config;
#[cfg(test)]
pub(crate) mod contract;
pub(crate) mod counts;
pub(crate) mod documents;
mod engine_time;
mod engine_url;
pub(crate) mod envelope;
mod event_numbers;
pub(crate) mod failure;
mod feed_words;
mod fetches;
mod following;
pub mod fuzzing;
mod handing_over;
#[cfg(test)]
mod histories;
pub(crate) mod inbox;
mod intake;
mod keeping;
pub(crate) mod kept_before;
mod link;
mod listening;
#[cfg_attr(not(test), allow(dead_code, reason = "what goes wrong in it, tests want"))]
pub(crate) mod local;
mod loss_log;
mod lost_here;
#[cfg(test)]
mod memory;
mod node;
mod node_status;
mod owed;
mod parked;
mod paying;
mod peer_log;
pub(crate) mod peers;
mod plain_events;
mod publishes;
pub(crate) mod questions;
mod reading;
mod recent;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod remembering;
pub(crate) mod replica;
mod report;
mod running;
mod settings;
pub(crate) mod shared_settings;
mod speaking;
mod standing;
pub(crate) mod status;
mod taken;
mod taking_over;
mod telling;
#[cfg(test)]
mod tests;
mod turns;
mod two;
mod view;
mod views;

pub use engine_url::EngineUrl;
#[cfg(feature = "redis")]
pub(crate) use engine_url::{EngineHost, EngineLogin, EnginePlace};
pub(crate) use report::{report, short_id};
pub(crate) use running::RunningNode;
#[cfg(feature = "redis")]
pub(crate) use running::{NodeNotStarted, start};
pub use settings::{ClusterSettings, StartWithoutBus};
pub(crate) use two::{after, before};
pub(crate) use view::ClusterView;
