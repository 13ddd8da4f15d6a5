//! The pipe: server-side code that hears what clients say and sends events itself.
//!
//! A pipe in Rust implements [`Pipe`]: it is asynchronous, hears through a bounded queue on a thread of its own, and
//! does things through a [`Context`]. The rules of the configuration are [`Tap`]s, which are called on the spot. Pipes in
//! other languages connect over the `wire`. What a pipe sends is heard by no pipe, so that no loop can arise.
//!
//! ```
//! use heliostat::pipe::{Context, Failure, OwnedMessage, Pipe};
//!
//! /// Sends every camera frame on to the channel `mirror`, as it came.
//! struct Mirror;
//!
//! impl Pipe for Mirror {
//!     fn listens(&self, channel: Option<&str>, event: &str) -> bool {
//!         channel == Some("stream") && event == "frame"
//!     }
//!
//!     async fn hear(&self, message: OwnedMessage, context: Context<'static>) -> Result<(), Failure> {
//!         context.trigger(&context.channel("mirror")?, &message.event, &message.data);
//!         Ok(())
//!     }
//! }
//!
//! let mut config = heliostat::config::Config::development();
//! config.server.port = 0;
//! let broker = heliostat::testing::Broker::builder(config).pipe("1001", Mirror).start().unwrap();
//! assert!(broker.url().starts_with("http://127.0.0.1:"));
//! ```

mod config;
mod context;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod hook;
mod pace;
mod rule;
mod rule_book;
mod rule_counts;
mod spec;
mod tap;
mod target;
mod target_pace;
mod trial;
pub(crate) mod wire;

pub use crate::event::{AcceptedEvent, Destination, Source};
pub use crate::protocol::json::Data;
pub use crate::protocol::pattern::{BadPattern, Pattern};
pub use config::PipeConfig;
pub use context::Context;
pub use hook::{Failure, OwnedMessage, Pipe, PipeCounts, PipeSettings, WhenFull};
pub(crate) use hook::{Hook, HookFigures, RunningHook};
pub use pace::{INTERVAL_EXPECTED, Period, Rate, parse_interval, write_interval};
pub use rule::Rule;
pub(crate) use rule_book::{CountedRule, RuleBook};
pub(crate) use rule_counts::{RuleDrop, RuleNote, RuleRates, RuleTotals};
pub use spec::{BadRule, RuleSpec};
pub use tap::Tap;
pub(crate) use tap::TapListener;
pub(crate) use trial::{RuleTrial, TriedEvent};
