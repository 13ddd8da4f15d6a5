//! A real broker inside a test: on a free port, stopped when it is dropped; as many of them in one process as are wanted.
//!
//! A test knows when the broker has *seen* something, instead of sleeping; it can drop frames, refuse connections, have
//! the HTTP API fail, and let half an hour pass in a millisecond. Tests in other languages have the same over the
//! control API (`docs/testing.md`), in the same words.
//!
//! ```
//! use std::time::Duration;
//! use heliostat::testing::{Broker, Fault, connections, event, nothing, refused};
//! # use std::io::{Read, Write};
//! # use std::net::TcpStream;
//! # struct Program(TcpStream);
//! # impl Program {
//! #     fn start(app: &heliostat::testing::TestApp) -> Program {
//! #         let mut socket = TcpStream::connect((app.credentials().host.as_str(), app.credentials().port)).unwrap();
//! #         write!(socket, "GET /app/{}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
//! #             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
//! #             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", app.key()).unwrap();
//! #         Program(socket)
//! #     }
//! # }
//!
//! let broker = Broker::new()?;
//! let app = broker.new_app()?; // for this test alone
//!
//! let program = Program::start(&app); // a program under test, which connects to the broker
//! app.until(connections(1)).within(Duration::from_secs(2)).blocking()?;
//! app.until(nothing(Duration::from_millis(20), event().name("message"))).blocking()?;
//!
//! app.fault(Fault::refuse_connections(4100).times(1))?;
//! let refused_one = Program::start(&app);
//! app.until(refused().code(4100)).blocking()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In an asynchronous test the same is awaited: `app.until(connections(1)).await?`. What is not met says what was
//! expected, what was found, and what the broker saw; so `unwrap` and `?` make a readable failure.

mod advance;
mod app;
#[cfg(test)]
mod backends_elsewhere;
mod broker;
mod conditions;
#[cfg(test)]
mod filming;
#[cfg(test)]
mod lost_worker;
#[cfg(test)]
mod metrics_churn;
#[cfg(test)]
mod other_nodes;
mod running;
#[cfg(test)]
mod storm;
mod wait;

pub use crate::hub::{Timed, Totals};
pub use crate::protocol::SocketId;
pub use crate::test_mode::faults::Fault;
pub use crate::test_mode::{
    Condition, ConnectionSummary, Count, Counts, Credentials, Cut, Entry, EventSource, Kind, NextDue,
    Outcome, Sockets, TestError, TestMode, config_for_tests as config,
};
pub use advance::AdvanceToNext;
pub use app::TestApp;
pub use broker::{Broker, BrokerBuilder, NewAppError};
pub use conditions::{
    Entries, anything, connections, delivered, event, logged, members, members_are, nothing, refused,
    resumed, signed_in, subscribers, webhook,
};
pub use wait::{NotMet, Wait};
