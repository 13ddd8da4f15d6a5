//! What the tools of the workspace use of the interior: the fuzz targets of `protocol-tests/fuzz` and the counts of
//! `protocol-tests/instructions`. No part of the interface; anything here may change.

/// What reads the bytes of strangers and is private to its module.
pub mod fuzzing {
    pub use crate::cluster::fuzzing as cluster;
    pub use crate::http::fuzzing as http;
    pub use crate::pipe::fuzzing as pipe;
    pub use crate::recovery::fuzzing as recovery;
    pub use crate::test_mode::fuzzing as control;
    pub use crate::transport::fallback::fuzzing as fallback;
    pub use crate::transport::websocket::fuzzing as websocket;
}

/// Signed strings.
pub mod auth {
    pub use crate::auth::*;
}

/// The wire, as values.
pub mod protocol {
    pub use crate::protocol::*;
}

/// One client's life.
pub mod connection {
    pub use crate::connection::{Action, Connection, Join, JoinNumber, Probe};
}

/// An event on its way.
pub mod event {
    pub use crate::event::{AcceptedEvent, Destination, Source};
}

/// Carries events to subscribers.
pub mod hub {
    pub use crate::hub::{AppState, Bounds, Client, Hub, Outbox, Transport, Worker, Written};
}

/// The backends on the wire.
pub mod pipe {
    pub use crate::pipe::wire::Dialect;
}

/// The conditions and faults of tests.
pub mod test_mode {
    pub use crate::test_mode::faults;
    pub use crate::test_mode::{Condition, Count, Filter, JsonPath};
}
