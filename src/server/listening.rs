//! The sockets that the broker listens on, from taking them to giving them back.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_server::{ServerBuilder, ServerHandle};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use super::StartError;
use super::inherited::InheritedSocket;
use super::passed_place::PassedPlace;
use super::passing::{PassedSocket, TakenSocket};
use super::role::Role;
use super::service::{self, ServiceParts};
use super::socket_file::{self, SocketFile, SocketFileError};
use super::wanted::{InheritedPlace, ListenPoint, WantedListener};

/// Bytes that the kernel may hold for one connection before it says that the socket is full: a stalled client is
/// noticed soon, and holds little.
const UNSENT_BYTES: u32 = 128 * 1024;

/// How long data may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What the accepting thread is given to take its hands off the ports, so that it seldom touches one that is closed. It
/// does not say when it has, and what it has begun it brings to its end: a client that connects at this moment may have
/// it accept once more. It complains then, which the log leaves out, and nothing else comes of it.
const ACCEPTING_ENDS: Duration = Duration::from_millis(2);

/// How often another free port is taken where the one of the first address is taken at the second.
const FREE_PORTS_TRIED: usize = 16;

/// A socket that the broker listens on. Connections wait in the kernel until somebody accepts them.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    pub(super) role: Role,
    socket: BoundSocket,
    /// It is a service manager's, who keeps it under this name when this process has gone.
    held: Option<String>,
    /// The broker that ran before leaves it to this one.
    passed: Option<Arc<PassedPlace>>,
    /// Connections speak TLS with these settings, or plainly.
    tls: Option<rustls::ServerConfig>,
    /// Connections begin with a header of the PROXY protocol.
    proxy_protocol: bool,
}

/// A listening socket, and nothing but that.
#[derive(Debug)]
pub(super) enum PlainSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
enum BoundSocket {
    /// With the port that it was given, if any free one was asked for.
    Tcp(TcpListener, SocketAddr),
    /// Without its file where that is another's.
    Unix(UnixListener, Option<SocketFile>, PathBuf),
}

impl ListeningSocket {
    /// Takes what a place to listen stands for: one socket, or one for each loopback address that the machine has. What
    /// was inherited for it is not taken anew.
    pub(super) fn bind(
        (wanted, inherited): (WantedListener, Vec<InheritedSocket>),
        backlog: u32,
        tls: Option<&rustls::ServerConfig>,
    ) -> Result<Vec<Self>, StartError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let WantedListener { role, point, proxy_protocol, .. } = &wanted;
        let is_inherited = |address: &&SocketAddr| {
            inherited.iter().any(|socket| socket.place == InheritedPlace::Tcp(**address))
        };
        let sockets = match point {
            ListenPoint::Tcp(addresses) => {
                let missing: Vec<_> =
                    addresses.iter().filter(|address| !is_inherited(address)).copied().collect();
                // Of several addresses the machine may lack some, but not all.
                let may_lack = !inherited.is_empty();
                if missing.is_empty() { Vec::new() } else { bind_tcp(*role, &missing, backlog, may_lack)? }
            }
            ListenPoint::Unix { .. } if !inherited.is_empty() => Vec::new(),
            ListenPoint::Unix { path, mode } => {
                let (socket, file) = socket_file::listen(path, *mode, backlog)
                    .map_err(|error| at_path(path.clone(), error))?;
                vec![BoundSocket::Unix(socket, Some(file), path.clone())]
            }
        };
        let tls = tls.filter(|_| wanted.tls);
        let listening = |(socket, held, passed)| ListeningSocket {
            role: *role,
            socket,
            held,
            passed,
            tls: tls.cloned(),
            proxy_protocol: *proxy_protocol,
        };
        let adopt = |inherited: InheritedSocket| {
            let (held, passed) = (inherited.held_as(), inherited.passed.clone());
            let socket = adopt(inherited)?;
            if let Some((index, place)) = &passed {
                let (tls, proxy_protocol) = (tls.is_some(), *proxy_protocol);
                place.take(TakenSocket { index: *index, tls, proxy_protocol });
            }
            Ok((socket, held, passed.map(|(_, place)| place)))
        };
        let inherited = inherited.into_iter().map(adopt).collect::<Result<Vec<_>, StartError>>()?.into_iter();
        let all = inherited.chain(sockets.into_iter().map(|socket| (socket, None, None)));
        Ok(all.map(listening).collect())
    }

    /// The address of a TCP socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            BoundSocket::Tcp(_, address) => Some(*address),
            BoundSocket::Unix(..) => None,
        }
    }

    /// The URL of the address, without a path, where `schemes` are the one without and the one with TLS; of a Unix socket
    /// its path.
    pub(super) fn url(&self, [plain, encrypted]: [&str; 2]) -> String {
        let scheme = if self.tls.is_some() { encrypted } else { plain };
        match &self.socket {
            BoundSocket::Tcp(_, address) => format!("{scheme}://{address}"),
            BoundSocket::Unix(_, _, path) => format!("unix:{} ({scheme})", path.display()),
        }
    }

    /// The socket alone, and what closes it.
    pub(super) fn split(self) -> io::Result<(PlainSocket, SocketHandle)> {
        let ListeningSocket { role, socket, held, passed, .. } = self;
        let (plain, socket, file) = match socket {
            BoundSocket::Tcp(socket, _) => {
                let again = socket.try_clone()?.into();
                (PlainSocket::Tcp(socket), again, None)
            }
            BoundSocket::Unix(socket, file, _) => {
                let again = socket.try_clone()?.into();
                (PlainSocket::Unix(socket), again, file)
            }
        };
        Ok((plain, SocketHandle { file, socket: Arc::new(socket), role, held, passed, is_left: false }))
    }

    /// Has the HTTP server serve what comes in here as the socket's role says. Returns what closes the socket while the
    /// HTTP server, which never gives one back before it ends, has it still.
    pub(super) fn serve(
        self,
        server: ServerBuilder,
        parts: &ServiceParts,
    ) -> io::Result<(ServerBuilder, SocketHandle)> {
        let (role, proxy_protocol, tls) = (self.role, self.proxy_protocol, self.tls.clone());
        let (socket, handle) = self.split()?;
        let parts = parts.clone();
        let name = role.name();
        let server = match (socket, tls) {
            (PlainSocket::Tcp(socket), None) if proxy_protocol => {
                server.listen(name, socket, move || service::proxied(&parts, role))
            }
            (PlainSocket::Tcp(socket), None) => {
                server.listen(name, socket, move || service::plain(&parts, role))
            }
            (PlainSocket::Tcp(socket), Some(tls)) => server
                .listen(name, socket, move || service::over_tls(tls.clone(), &parts, role, proxy_protocol)),
            (PlainSocket::Unix(socket), None) if proxy_protocol => {
                server.listen_uds(name, socket, move || service::proxied(&parts, role))
            }
            (PlainSocket::Unix(socket), None) => {
                server.listen_uds(name, socket, move || service::plain(&parts, role))
            }
            (PlainSocket::Unix(socket), Some(tls)) => server.listen_uds(name, socket, move || {
                service::over_tls(tls.clone(), &parts, role, proxy_protocol)
            }),
        };
        Ok((server?, handle))
    }
}

/// A listening socket again, to close it before the HTTP server ends.
#[derive(Debug)]
pub(super) struct SocketHandle {
    // The file goes before the socket is closed.
    file: Option<SocketFile>,
    socket: Arc<Socket>,
    role: Role,
    held: Option<String>,
    passed: Option<Arc<PassedPlace>>,
    /// Another broker has it from this one.
    is_left: bool,
}

impl SocketHandle {
    /// For whoever watches what comes to it.
    pub(super) fn watched(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    /// Whether it is one for clients that is kept by others, so that they wait in it for the next process, or are accepted by
    /// it.
    pub(super) fn is_held(&self) -> bool {
        self.role == Role::Broker && self.is_kept()
    }

    /// Whether it goes on to listen without this process: a service manager holds it, or it is another broker's, by now or
    /// still.
    fn is_kept(&self) -> bool {
        let is_still = self.passed.as_ref().is_some_and(|place| !place.is_left());
        self.held.is_some() || self.is_left || is_still
    }

    /// What another broker is to know of it, and the socket.
    pub(super) fn to_pass(&self) -> (PassedSocket, Arc<Socket>) {
        (PassedSocket { is_control: false, held: self.held.clone() }, self.watched())
    }

    /// Another broker has it from now on.
    pub(super) fn pass_on(&mut self) {
        self.is_left = true;
        if let Some(file) = self.file.take() {
            file.leave();
        }
    }
}

/// Whether clients find one of these again, whichever they have come by, when this process has gone.
pub(super) fn are_held(sockets: &[SocketHandle]) -> bool {
    sockets.iter().all(|socket| socket.role != Role::Broker || socket.is_held())
}

/// Listens no more on any of these: from now on connections are refused, and another process may take the addresses.
/// Connections that nobody has accepted yet are reset at once. Sockets that were inherited are only left alone: what comes
/// waits in them for the next process.
pub(super) async fn close(sockets: Vec<SocketHandle>, server: &ServerHandle) {
    pause(server).await;
    for handle in sockets {
        if handle.is_kept() {
            continue;
        }
        // On Linux this is the end of listening, whoever else holds the socket.
        if let Err(error) = handle.socket.shutdown(std::net::Shutdown::Both) {
            debug!(%error, "a port cannot be closed before the end");
        }
        drop(handle.file);
    }
}

/// Accepts no more. What comes waits in the kernel, or is accepted by others who have the same sockets.
pub(super) async fn pause(server: &ServerHandle) {
    server.pause().await;
    tokio::time::sleep(ACCEPTING_ENDS).await;
}

/// Makes an inherited socket one of ours: with what every connection is to inherit.
fn adopt(inherited: InheritedSocket) -> Result<BoundSocket, StartError> {
    let InheritedSocket { place, socket, is_held, passed, .. } = inherited;
    let told = place.to_string();
    let refused = |error| StartError::Listen { address: told, error };
    match place {
        InheritedPlace::Tcp(address) => {
            set_options(&socket).map_err(refused)?;
            Ok(BoundSocket::Tcp(socket.into(), address))
        }
        InheritedPlace::Unix(path) => {
            socket.set_nonblocking(true).map_err(refused)?;
            let file = passed.filter(|_| !is_held).map(|(_, of)| SocketFile::passed_on(&path, &of));
            Ok(BoundSocket::Unix(socket.into(), file, path))
        }
    }
}

/// Takes a port at all of these addresses, of which the machine may lack some, but not all, unless `may_lack` says so.
fn bind_tcp(
    role: Role,
    addresses: &[SocketAddr],
    backlog: i32,
    may_lack: bool,
) -> Result<Vec<BoundSocket>, StartError> {
    let any_port = addresses.iter().any(|address| address.port() == 0);
    let mut tried = 0;
    loop {
        let mut bound = Vec::new();
        let mut port = None;
        let mut failed = None;
        for wanted in addresses {
            let address = SocketAddr::new(wanted.ip(), port.unwrap_or(wanted.port()));
            match listen(address, backlog).and_then(|socket| Ok((socket.local_addr()?, socket))) {
                Ok((address, socket)) => {
                    port = Some(address.port());
                    bound.push(BoundSocket::Tcp(socket, address));
                }
                Err(error) => {
                    failed = Some((address, error));
                    if !failed.as_ref().is_some_and(|(_, error)| is_lacking(error)) {
                        break;
                    }
                }
            }
        }
        match failed {
            Some((_, error))
                if any_port && error.kind() == io::ErrorKind::AddrInUse && tried < FREE_PORTS_TRIED =>
            {
                tried += 1;
            }
            Some((address, error)) if (bound.is_empty() && !may_lack) || !is_lacking(&error) => {
                return Err(start_error(role, address, error));
            }
            _ => return Ok(bound),
        }
    }
}

/// Whether the machine has no such address, or nothing of its family.
fn is_lacking(error: &io::Error) -> bool {
    let no_such_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    no_such_family || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// A listening socket. What is set on it, every accepted connection inherits.
fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last run's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whatever the system's default is: every address means those of both families.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    set_options(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Sets what every connection is to inherit.
fn set_options(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    }
    Ok(())
}

fn start_error(role: Role, address: SocketAddr, error: io::Error) -> StartError {
    match error.kind() {
        _ if role == Role::Admin => StartError::Admin { address, error },
        io::ErrorKind::AddrInUse => StartError::PortInUse(address),
        io::ErrorKind::AddrNotAvailable => StartError::NoSuchAddress(address),
        io::ErrorKind::PermissionDenied => StartError::PermissionDenied(address),
        _ => StartError::Listen { address: address.to_string(), error },
    }
}

fn at_path(path: PathBuf, error: SocketFileError) -> StartError {
    match error {
        SocketFileError::InUse => StartError::SocketInUse(path),
        SocketFileError::NotASocket => StartError::NotASocket(path),
        SocketFileError::Refused(error) => {
            StartError::Listen { address: format!("unix:{}", path.display()), error }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_awaited_only_where_every_socket_of_theirs_is_held() {
        let handle = |&(role, inherited): &(Role, bool)| {
            let socket = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap().into());
            let held = inherited.then(String::new);
            SocketHandle { file: None, socket, role, held, passed: None, is_left: false }
        };
        for (sockets, awaited) in [
            (&[(Role::Broker, true)][..], true),
            (&[(Role::Broker, false)], false),
            (&[(Role::Broker, false), (Role::Pipe, true)], false),
            (&[(Role::Broker, true), (Role::Broker, false)], false),
            (&[(Role::Broker, true), (Role::Pipe, false), (Role::Broker, true)], true),
        ] {
            let handles: Vec<_> = sockets.iter().map(handle).collect();
            assert_eq!(are_held(&handles), awaited, "{sockets:?}");
        }
    }
}
