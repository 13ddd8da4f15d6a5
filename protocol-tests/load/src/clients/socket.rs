//! The socket of a client or publisher: plain, or under TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// It never waits.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Begins to connect. Under TLS the handshake goes on by itself as the socket is read and written.
    pub(super) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        Socket::over(TcpStream::connect(address)?, tls)
    }

    /// The same from one of 256 addresses of this machine, where the server is on it, too: the ports of one would be used
    /// up by connections that have ended.
    pub(super) fn connect_from(
        number: u8,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        if !(address.is_ipv4() && address.ip().is_loopback()) {
            return Socket::connect(address, tls);
        }
        let own = SocketAddr::from(([127, 0, 1, number], 0));
        Socket::connect_prepared(address, tls, |socket| rustix::net::bind(socket, &own))
    }

    /// The same with room for so many bytes that have not been read: what waits waits at the server.
    pub(super) fn connect_small(
        bytes: usize,
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        Socket::connect_prepared(address, tls, |socket| set_socket_recv_buffer_size(socket, bytes))
    }

    /// The same from a socket to which something was done before.
    fn connect_prepared(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        prepare: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
    ) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        prepare(&socket)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Socket::over(TcpStream::from_std(std::net::TcpStream::from(socket)), tls)
    }

    fn over(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        Ok(match tls {
            None => Socket::Plain(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                Socket::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.tcp_mut().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn set_nodelay(&self) {
        let _ = self.tcp().set_nodelay(true);
    }

    pub(super) fn shutdown(&self) {
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    /// Ends the connection in order.
    pub(super) fn end(&mut self) {
        if let Socket::Tls(session) = self {
            session.conn.send_close_notify();
            let _ = session.flush();
        }
        self.shutdown();
    }

    /// Whether a read that did not fill its buffer has emptied the socket. Under TLS records end before the data does.
    pub(super) fn short_reads_empty_it(&self) -> bool {
        matches!(self, Socket::Plain(_))
    }

    /// Reads what is there now: nothing, or so many bytes, of which 0 is the end.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        now(|| self.read(buffer))
    }

    /// Writes as much as is taken now, if anything is.
    pub(super) fn write_now(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        now(|| self.write(bytes))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Socket::Plain(socket) => socket,
            Socket::Tls(session) => &session.sock,
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Socket::Plain(socket) => socket,
            Socket::Tls(session) => &mut session.sock,
        }
    }
}

/// Tries until it is not interrupted. What would have to wait is `None`.
fn now(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match attempt() {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected => return Ok(None),
                _ => return Err(error),
            },
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.read(buffer),
            Socket::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write(bytes),
            Socket::Tls(session) => session.write(bytes),
        }
    }

    /// Under TLS, sends what is encrypted already and the socket has not taken.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(socket) => socket.flush(),
            Socket::Tls(session) => session.flush(),
        }
    }
}
