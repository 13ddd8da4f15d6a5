//! heliostat: a self-hosted broker that speaks the Pusher Channels protocol, with a server-side pipe.
//!
//! Read the modules in this order and the broker is explained:
//!
//! * [`protocol`], [`auth`], [`app`]: the words on the wire, the signatures, the apps. Pure values.
//! * [`event`], [`channel`], [`connection`]: an event on its way, one channel and one client's life, as values.
//! * [`hub`]: carries events to subscribers, across worker threads.
//! * [`transport`], [`http`], [`pipe`], [`webhook`], [`development`], [`test_mode`]: the edges. They know the hub; it
//!   does not know them.
//! * [`config`], [`server`], [`telemetry`], [`cli`], [`exec`]: the whole, put together.
//! * [`testing`]: a real broker inside a test.
//!
//! To embed a broker, make a [`Config`], add pipes, and run it:
//!
//! ```no_run
//! use heliostat::{Config, Server};
//!
//! let bound = Server::new(Config::development()).bind()?;
//! println!("listening on {}", bound.url());
//! actix_web::rt::System::new().block_on(bound.run(std::future::pending()))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// A test may list its cases one after the other.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod app;
pub mod auth;
pub mod channel;
pub mod cli;
pub mod config;
pub mod connection;
pub mod development;
pub mod event;
pub mod exec;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod hub;
pub mod net;
pub mod pipe;
pub mod protocol;
#[cfg(test)]
mod rooms;
pub mod server;
pub mod telemetry;
pub mod test_mode;
pub mod testing;
pub mod transport;
pub mod webhook;

pub use config::Config;
pub use server::{BoundServer, Server, StartError};

/// The example of the pipe's documentation, so that it is compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/pipe.md")]
struct PipeDocumentation;

/// The example of the webhooks' documentation, so that it is run.
#[cfg(doctest)]
#[doc = include_str!("../docs/webhooks.md")]
struct WebhookDocumentation;
