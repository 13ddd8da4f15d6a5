//! Streams of bytes to an engine: TCP, TLS over it, or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::refusal::StartRefusal;
use super::target::RedisTarget;
use crate::cluster::{EngineHost, EnginePlace};

/// A stream of bytes, both ways.
pub(super) trait EngineStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> EngineStream for S {}

/// Where one server of an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAddress {
    Host(EngineHost),
    Socket(Arc<Path>),
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Host(host) => fmt::Display::fmt(host, f),
            ServerAddress::Socket(path) => fmt::Display::fmt(&path.display(), f),
        }
    }
}

impl ServerAddress {
    /// The server of a place that has one.
    pub(super) fn only(place: &EnginePlace) -> Option<Self> {
        match place {
            EnginePlace::Server(host) => Some(ServerAddress::Host(host.clone())),
            EnginePlace::Socket(path) => Some(ServerAddress::Socket(path.as_path().into())),
            EnginePlace::Sentinel { .. } | EnginePlace::Cluster(_) => None,
        }
    }

    /// The host that it is on, if it is not on this machine by a socket.
    pub(super) fn host(&self) -> Option<&EngineHost> {
        match self {
            ServerAddress::Host(host) => Some(host),
            ServerAddress::Socket(_) => None,
        }
    }

    pub(super) fn unreachable(&self, reason: impl ToString) -> StartRefusal {
        StartRefusal::Unreachable { address: self.to_string(), reason: reason.to_string() }
    }

    pub(super) fn broken(&self, reason: impl ToString) -> StartRefusal {
        StartRefusal::Broken { address: self.to_string(), reason: reason.to_string() }
    }

    pub(super) fn refuses(&self, reason: impl ToString) -> StartRefusal {
        StartRefusal::Refuses { address: self.to_string(), reason: reason.to_string() }
    }

    pub(super) fn silent(&self, target: &RedisTarget) -> StartRefusal {
        StartRefusal::Silent { address: self.to_string(), seconds: target.connect_timeout.as_secs() }
    }

    /// Connects; tells the address that it has connected to, if there is one.
    pub(super) async fn connect(
        &self,
        target: &RedisTarget,
    ) -> Result<(Box<dyn EngineStream>, Option<SocketAddr>), StartRefusal> {
        let is_there = AtomicBool::new(false);
        let connecting = async {
            match self {
                ServerAddress::Socket(path) => {
                    let stream = UnixStream::connect(path).await.map_err(|e| self.unreachable(e))?;
                    Ok((Box::new(stream) as Box<dyn EngineStream>, None))
                }
                ServerAddress::Host(host) => {
                    let addresses = target.lookup.addresses(host).await.map_err(|e| self.unreachable(e))?;
                    let stream = TcpStream::connect(&*addresses).await.map_err(|e| self.unreachable(e))?;
                    stream.set_nodelay(true).map_err(|e| self.unreachable(e))?;
                    let connected = stream.peer_addr().ok();
                    is_there.store(true, Ordering::Relaxed);
                    let stream = match &target.tls {
                        Some(tls) => self.speak_tls(&host.host, stream, tls).await?,
                        None => Box::new(stream),
                    };
                    Ok((stream, connected))
                }
            }
        };
        timeout(target.connect_timeout, connecting).await.map_err(|_| {
            let seconds = target.connect_timeout.as_secs();
            if is_there.load(Ordering::Relaxed) {
                self.unreachable(format_args!("no TLS: it was not agreed on within {seconds} s"))
            } else {
                self.unreachable(format_args!("nothing has accepted the connection within {seconds} s"))
            }
        })?
    }

    async fn speak_tls(
        &self,
        host: &str,
        stream: TcpStream,
        tls: &Arc<ClientConfig>,
    ) -> Result<Box<dyn EngineStream>, StartRefusal> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| self.unreachable(e))?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|e| self.unreachable(format_args!("no TLS: {e}")))?))
    }
}
