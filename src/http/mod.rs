//! The HTTP API: publishing events and asking for the state of channels, for backends.
//!
//! It knows the hub, and the hub does not know it. A request is read whole, authenticated, checked in every part,
//! and only then carried out.

mod answer;
mod arrival;
mod authentication;
pub(crate) mod body;
pub(crate) mod channels;
mod error;
mod event;
pub(crate) mod events;
mod expectation;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod long_list;
mod path;
mod settings;
mod tidy;
pub(crate) mod users;

pub(crate) use answer::{chosen_answer, close_if_stopping, moved, not_allowed, preflight, text_response};
pub(crate) use arrival::Arrival;
pub(crate) use authentication::{Authenticated, authenticated, unix_seconds};
pub use body::{BodyBounds, Unfinished};
pub use error::ApiError;
pub(crate) use event::channel_name;
pub use expectation::{Answering, before_the_body, resume};
pub(crate) use path::segments;
pub use settings::ListenerSettings;
pub use tidy::tidy;
