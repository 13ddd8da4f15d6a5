//! The two processes of an upgrade as nodes of one broker: the one before hosts an engine to the one after, by a Unix socket.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::hub::Hub;

use super::adapter::{Adapter, Link, Subject};
use super::config::ClusterConfig;
use super::inbox::Inbox;
use super::link::{LinkAdapter, serve};
use super::local::LocalEngine;
use super::running::{NodeNotStarted, RunningNode, start_as};
use super::shared_settings::SharedSettings;
use super::standing::Standing;

/// How long the process before may take to host its engine. It tells it first what is true of its connections, which may be many.
const HOSTED_WITHIN: Duration = Duration::from_secs(30);

/// Makes the hub's node the one that is succeeded, by an engine that it hosts to whoever is at the other end.
///
/// # Errors
/// If the system does not let it.
pub(crate) async fn before(
    hub: &Arc<Hub>,
    config: ClusterConfig,
    stream: StdStream,
) -> Result<RunningNode, NodeNotStarted<io::Error>> {
    let bounds = (config.inbox_words, config.inbox_bytes);
    let join = async move |inbox: Inbox| {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let engine = LocalEngine::between_two();
        let adapter = engine.join(inbox);
        let hosting = tokio::spawn(async move {
            if let Err(error) = serve(&engine, stream, bounds).await {
                tracing::warn!(%error, "the link to the other process has ended");
            }
            // Whoever is left knows that the other one has gone.
            engine.close();
        });
        Ok((adapter, Some(hosting)))
    };
    start_as(Standing::Before, hub, of_two(config), SharedSettings::default(), join).await
}

/// Makes the hub's node the one that succeeds another, by the engine that is hosted at the other end.
///
/// # Errors
/// If none is hosted there.
pub(crate) async fn after(
    hub: &Arc<Hub>,
    config: ClusterConfig,
    stream: StdStream,
) -> Result<RunningNode, NodeNotStarted<io::Error>> {
    let max_bytes = config.outgoing_bytes;
    let join = async move |inbox: Inbox| {
        stream.set_nonblocking(true)?;
        let adapter = LinkAdapter::join(UnixStream::from_std(stream)?, inbox, max_bytes);
        // The other one begins when it hears this.
        adapter.subscribe(&Subject::State, None);
        let mut link = adapter.link();
        let is_up = |link: &Link| matches!(link, Link::Up { .. });
        let told = link.wait_for(|link| is_up(link) || adapter.has_ended());
        match timeout(HOSTED_WITHIN, told).await {
            Ok(Ok(link)) if is_up(&link) => {}
            _ => return Err(io::Error::other("the process before does not say what it has")),
        }
        Ok((adapter, None))
    };
    start_as(Standing::After, hub, of_two(config), SharedSettings::default(), join).await
}

/// What is for networks, the two do without: each knows when it has heard all of the other.
fn of_two(config: ClusterConfig) -> ClusterConfig {
    let node_name = format!("process {}", std::process::id()).into();
    ClusterConfig { node_name, address: None, settle_listen: Duration::ZERO, ..config }
}
