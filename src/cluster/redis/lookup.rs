//! What tells the addresses of names, and whether a name still has the one that was connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::refusal::StartRefusal;
use crate::cluster::EngineHost;

/// How often a name is looked up while it is connected to, and how long that may take.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How often in a row it has to have others, for servers of names tell many addresses in turn.
const OTHERS_IN_A_ROW: u32 = 2;

/// Addresses, once they are known.
pub(super) type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// What tells the addresses of names: the system, but in tests.
#[derive(Clone)]
pub(crate) struct NameLookup(Arc<dyn Fn(&EngineHost) -> Looking + Send + Sync>);

impl Default for NameLookup {
    fn default() -> Self {
        NameLookup::by(|host| {
            let host = (host.host.clone(), host.port);
            Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) })
        })
    }
}

impl NameLookup {
    pub(super) fn by(lookup: impl Fn(&EngineHost) -> Looking + Send + Sync + 'static) -> Self {
        NameLookup(Arc::new(lookup))
    }

    /// The addresses of a host; at least one.
    pub(super) async fn addresses(&self, host: &EngineHost) -> io::Result<Vec<SocketAddr>> {
        let found = (self.0)(host).await?;
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found)
    }

    /// Looks a name up as long as it has the address that was connected to. While nobody tells, it has.
    pub(super) async fn until_moved(
        &self,
        host: Option<&EngineHost>,
        connected: Option<SocketAddr>,
    ) -> StartRefusal {
        let (Some(host), Some(connected)) = (host, connected) else {
            return std::future::pending().await;
        };
        if host.host.parse::<IpAddr>().is_ok() {
            return std::future::pending().await;
        }
        let is_it = |found: &SocketAddr| (found.ip(), found.port()) == (connected.ip(), connected.port());
        let mut others = 0;
        while others < OTHERS_IN_A_ROW {
            sleep(LOOK_EVERY).await;
            match timeout(LOOK_EVERY, self.addresses(host)).await {
                Ok(Ok(found)) if found.iter().any(is_it) => others = 0,
                Ok(Ok(_)) => others += 1,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        StartRefusal::Changed(format!("the name of the engine at {host} stands for another address now"))
    }
}
