//! A real broker inside a test: on a free port, stopped when it is dropped.
//!
//! ```
//! use heliostat::config::Config;
//! use heliostat::testing::Broker;
//!
//! let broker = Broker::start(Config::development()).unwrap();
//! let url = format!("ws://{}/app/app-key?protocol=7", broker.address());
//! assert!(url.starts_with("ws://127.0.0.1:"));
//! ```

mod broker;
#[cfg(test)]
mod storm;

pub use broker::{Broker, BrokerBuilder};
