//! The sockets that the broker listens on, from taking them to giving them back.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_server::{ServerBuilder, ServerHandle};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use super::StartError;
use super::role::Role;
use super::service::{self, ServiceParts};
use crate::config::Config;

/// Bytes that the kernel may hold for one connection before it says that the socket is full: a stalled client is
/// noticed soon, and holds little.
const UNSENT_BYTES: u32 = 128 * 1024;

/// How long data may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What the accepting thread is given to take its hands off the ports, so that it seldom touches one that is closed. It
/// does not say when it has, and what it has begun it brings to its end: a client that connects at this moment may have
/// it accept once more. It complains then, which the log leaves out, and nothing else comes of it.
const ACCEPTING_ENDS: Duration = Duration::from_millis(2);

/// A socket that the broker listens on. Connections wait in the kernel until somebody accepts them.
pub(super) struct ListeningSocket {
    pub(super) role: Role,
    socket: TcpListener,
    /// Where; with the port that it was given, if any free one was asked for.
    pub(super) address: SocketAddr,
    /// Connections speak TLS with these settings, or plainly.
    tls: Option<rustls::ServerConfig>,
}

impl ListeningSocket {
    /// Takes the address.
    pub(super) fn bind(
        (role, address): (Role, SocketAddr),
        backlog: u32,
        tls: Option<rustls::ServerConfig>,
    ) -> Result<Self, StartError> {
        let socket = listen(address, backlog).map_err(|error| start_error(address, error))?;
        let address = socket.local_addr().map_err(|error| start_error(address, error))?;
        Ok(ListeningSocket { role, socket, address, tls })
    }

    /// The URL of the address, without a path, where `schemes` are the one without and the one with TLS.
    pub(super) fn url(&self, [plain, encrypted]: [&str; 2]) -> String {
        let scheme = if self.tls.is_some() { encrypted } else { plain };
        format!("{scheme}://{}", self.address)
    }

    /// Has the HTTP server serve what comes in here as the socket's role says.
    pub(super) fn serve(self, server: ServerBuilder, parts: &ServiceParts) -> io::Result<ServerBuilder> {
        let ListeningSocket { role, socket, tls, .. } = self;
        let parts = parts.clone();
        match tls {
            None => server.listen(role.name(), socket, move || service::over_tcp(&parts, role)),
            Some(tls) => {
                server.listen(role.name(), socket, move || service::over_tls(tls.clone(), &parts, role))
            }
        }
    }
}

/// Where a configuration wants the broker to listen besides its main address, and for what.
pub(super) fn further_addresses(config: &Config) -> Vec<(Role, SocketAddr)> {
    let pipe = config.pipe.own_port.then(|| SocketAddr::new(config.server.host, config.pipe.port));
    pipe.into_iter().map(|address| (Role::Pipe, address)).collect()
}

/// The listening sockets again, to close them while the HTTP server, which never gives one back before it ends, has them
/// still.
#[derive(Debug)]
pub(super) struct SocketHandles(Vec<Socket>);

impl SocketHandles {
    /// Those of these sockets.
    pub(super) fn of<'s>(sockets: impl Iterator<Item = &'s ListeningSocket>) -> io::Result<Self> {
        let again = sockets.map(|listening| listening.socket.try_clone().map(Socket::from));
        again.collect::<io::Result<_>>().map(SocketHandles)
    }

    /// Listens no more: from now on connections are refused, and another process may take the addresses. Connections that
    /// nobody has accepted yet are reset at once.
    pub(super) async fn close(self, server: &ServerHandle) {
        server.pause().await;
        tokio::time::sleep(ACCEPTING_ENDS).await;
        for socket in self.0 {
            // On Linux this is the end of listening, whoever else holds the socket.
            if let Err(error) = socket.shutdown(std::net::Shutdown::Both) {
                debug!(%error, "a port cannot be closed before the end");
            }
        }
    }
}

/// A listening socket. What is set on it, every accepted connection inherits.
fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last run's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn start_error(address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse(address),
        io::ErrorKind::AddrNotAvailable => StartError::NoSuchAddress(address),
        io::ErrorKind::PermissionDenied => StartError::PermissionDenied(address),
        _ => StartError::Listen { address, error },
    }
}
