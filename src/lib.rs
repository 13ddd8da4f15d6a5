//! heliostat: a self-hosted broker that speaks the Pusher Channels protocol, with a server-side pipe.
//!
//! A program that embeds a broker needs a [`Config`] and a [`Server`], and for more than that:
//!
//! * [`config`], [`app`]: every setting, and what an app is;
//! * [`pipe`]: rules and hooks, which hear events and send others;
//! * [`webhook`]: what becomes of webhooks;
//! * [`metrics`]: what Prometheus scrapes;
//! * [`testing`]: a real broker inside a test.
//!
//! The rest is the broker's own. `docs/architecture.md` is its map.
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

mod admin;
pub mod app;
mod app_admin;
mod auth;
mod channel;
#[doc(hidden)]
pub mod cli;
mod cluster;
pub mod config;
mod connection;
mod console;
mod development;
mod diagnosis;
mod event;
mod exec;
mod feed;
mod files;
mod http;
mod hub;
mod import;
pub mod metrics;
mod net;
mod node;
mod outbound;
pub mod pipe;
mod protocol;
mod recovery;
mod relay;
#[cfg(test)]
mod rooms;
pub mod server;
mod telemetry;
mod test_mode;
pub mod testing;
#[doc(hidden)]
pub mod tools;
mod transport;
mod usage;
mod video;
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
