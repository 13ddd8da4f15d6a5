//! The HTTP API: publishing events and asking for the state of channels, for backends.
//!
//! It knows the hub, and the hub does not know it. A request is read whole, authenticated, checked in every part,
//! and only then carried out.

pub(crate) mod body;
mod channels;
mod error;
mod event;
mod events;
mod expectation;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod long_list;
mod routes;
mod stream;
mod tidy;
mod users;

pub use body::{BodyBounds, Unfinished};
pub use error::ApiError;
pub(crate) use event::channel_name;
pub use expectation::{Answering, before_the_body, resume};
pub use routes::{Context, handle, pipes_only};
pub(crate) use routes::{close_if_stopping, segments};
pub use tidy::tidy;
