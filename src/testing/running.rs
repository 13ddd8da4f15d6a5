//! A broker that runs, as its handle and its apps share it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::test_mode::TestMode;

/// What its apps need of it. It does not keep the broker running.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) test_mode: Arc<TestMode>,
    /// That of the broker's own thread.
    pub(super) runtime: Handle,
    pub(super) tls: bool,
    pub(super) path_prefix: String,
}
