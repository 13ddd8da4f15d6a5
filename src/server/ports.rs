//! The ports that the broker listens on, from taking them to giving them back.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_server::ServerHandle;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use super::StartError;

/// Bytes that the kernel may hold for one connection before it says that the socket is full: a stalled client is
/// noticed soon, and holds little.
const UNSENT_BYTES: u32 = 128 * 1024;

/// How long data may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What the accepting thread is given to take its hands off the ports, so that it seldom touches one that is closed. It
/// does not say when it has, and what it has begun it brings to its end: a client that connects at this moment may have
/// it accept once more. It complains then, which the log leaves out, and nothing else comes of it.
const ACCEPTING_ENDS: Duration = Duration::from_millis(2);

/// A port that the broker listens on. Connections wait in the kernel until somebody accepts them.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: TcpListener,
    /// Where; with the port that it was given, if any free one was asked for.
    pub(super) address: SocketAddr,
}

impl Port {
    /// Takes the address.
    pub(super) fn bind(address: SocketAddr, backlog: u32) -> Result<Self, StartError> {
        let socket = listen(address, backlog).map_err(|error| start_error(address, error))?;
        let address = socket.local_addr().map_err(|error| start_error(address, error))?;
        Ok(Port { socket, address })
    }
}

/// The ports again, to close them while the HTTP server, which never gives a port back before it ends, has them still.
#[derive(Debug)]
pub(super) struct Doors(Vec<Socket>);

impl Doors {
    /// Those of these ports.
    pub(super) fn of<'p>(ports: impl Iterator<Item = &'p Port>) -> io::Result<Self> {
        let again = ports.map(|port| port.socket.try_clone().map(Socket::from));
        again.collect::<io::Result<_>>().map(Doors)
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
