//! The HTTP API: publishing events and asking for the state of channels, for backends.
//!
//! It knows the hub, and the hub does not know it. A request is read whole, authenticated, checked in every part,
//! and only then carried out.

mod answer;
mod arrival;
mod authentication;
pub(crate) mod batch_events;
pub(crate) mod body;
mod channel_list;
pub(crate) mod channels;
mod client_address;
mod error;
#[cfg(test)]
mod error_page;
mod event;
pub(crate) mod events;
mod expect_continue;
mod foreign;
mod forwarded;
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod history;
mod host;
mod idempotency;
mod info;
mod lost_upgrade;
mod operator;
mod path;
mod request_counts;
mod settings;
mod slashes;
mod stranger;
mod unauthenticated;
pub(crate) mod users;

pub(crate) use answer::{
    chosen_answer, close_if_stopping, content_type_of, json_answer, moved, not_allowed, preflight,
    state_response, text_response,
};
pub(crate) use arrival::Arrival;
pub(crate) use authentication::{Authenticated, authenticated, unix_seconds};
pub(crate) use body::{BodyBounds, UnfinishedBodies};
pub(crate) use error::ApiError;
pub(crate) use event::channel_name;
pub(crate) use expect_continue::{answer_before_body, resume_answer};
pub(crate) use foreign::{foreign_origin, proxied};
pub(crate) use history::event_json as history_event_json;
pub(crate) use host::{host, is_local, names_this_machine, split_host};
pub(crate) use lost_upgrade::how_it_came;
pub(crate) use operator::publish_for_operator;
pub(crate) use path::segments;
pub(crate) use request_counts::{RequestCounts, WorkerRequests};
pub(crate) use settings::ListenerSettings;
pub(crate) use slashes::collapse_slashes;
pub(crate) use stranger::is_close_of_a_stranger;
pub(crate) use unauthenticated::{Unauthenticated, check_signed_body};
