//! Sockets that a service manager holds for the broker and passes on at its start: `LISTEN_FDS`, as systemd does it. They
//! stay the manager's: connections wait in them while one broker has gone and the next has not come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, io};

use socket2::{Socket, Type};

use super::passed_place::PassedPlace;
use super::role::Role;
use super::wanted::{InheritedPlace, WantedListener};
use crate::config::InheritedAddresses;

/// The first of the files that are passed on.
const FIRST_FILE: u32 = 3;

/// More sockets than this are a mistake.
const MOST_SOCKETS: u32 = 64;

/// Names of sockets that stand for the main address: ours, what the unit is likely to be called, and what a manager says
/// where nobody has said anything.
const MAIN_NAMES: [&str; 4] = ["heliostat", "http", "heliostat.socket", "unknown"];

/// The sockets that were passed on to this process.
#[derive(Debug, Default)]
pub(crate) struct InheritedSockets(Vec<InheritedSocket>);

/// One of them. It listens.
#[derive(Debug)]
pub(super) struct InheritedSocket {
    name: Option<String>,
    pub(super) place: InheritedPlace,
    pub(super) socket: Socket,
    /// A service manager holds it.
    pub(super) is_held: bool,
    /// The running broker has passed it on, as the how many-th.
    pub(super) passed: Option<(usize, Arc<PassedPlace>)>,
}

/// A socket that was passed on cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The variables that announce sockets cannot be understood.
    #[error(
        "LISTEN_FDS must be a number of sockets from 0 to {MOST_SOCKETS}, each open from file {FIRST_FILE} on, got {0:?}"
    )]
    Variables(String),
    /// Something that is no listening socket.
    #[error("file {file}, passed on by LISTEN_FDS as {name:?}, is no socket that listens for streams: {why}")]
    NoListener {
        /// Its number.
        file: u32,
        /// Its name.
        name: String,
        /// What it is instead.
        why: String,
    },
    /// Nothing is configured to listen there.
    #[error(
        "the socket {name:?} at {place}, passed on by LISTEN_FDS, is for nothing: name it \"heliostat\" (FileDescriptorName=) \
         for clients and the HTTP API, \"pipe\" with pipe.own_port for backends, \"admin\" with admin.enabled for operators, or \
         list its address in server.listeners"
    )]
    ForNothing {
        /// Its name.
        name: String,
        /// Where it listens.
        place: String,
    },
}

impl InheritedSockets {
    /// Takes the sockets that were passed on to this process, at the first call; later there are none. To be called before
    /// the process opens anything itself.
    ///
    /// # Errors
    /// If what was announced is not there, or is no listening socket.
    pub(crate) fn take() -> Result<Self, InheritError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let is_ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        if !is_ours || TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(InheritedSockets::default());
        }
        let told = env::var("LISTEN_FDS").unwrap_or_default();
        let bad = || InheritError::Variables(told.clone());
        let count = told.parse::<u32>().ok().filter(|count| *count <= MOST_SOCKETS).ok_or_else(bad)?;
        // What is not open would be taken for what is opened next.
        let is_open = |file: u32| fs::symlink_metadata(format!("/proc/self/fd/{file}")).is_ok();
        if !(FIRST_FILE..FIRST_FILE + count).all(is_open) {
            return Err(bad());
        }
        let files = sd_listen_fds::get().map_err(|_| bad())?;
        let sockets = (FIRST_FILE..).zip(files).map(|(file, (name, socket))| {
            let socket = Socket::from(socket.into_std());
            let place = place_of(&socket).map_err(|error| InheritError::NoListener {
                file,
                name: name.clone().unwrap_or_default(),
                why: error.to_string(),
            })?;
            Ok(InheritedSocket { name, place, socket, is_held: true, passed: None })
        });
        sockets.collect::<Result<_, _>>().map(InheritedSockets)
    }

    /// Sockets that a running broker passes on to this process, each with its number, and its name where a service manager
    /// holds it.
    ///
    /// # Errors
    /// If one does not listen.
    pub(super) fn passed_on(
        sockets: Vec<(usize, Option<String>, Socket)>,
        of: &Arc<PassedPlace>,
    ) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(|(index, name, socket)| {
            let (place, is_held) = (place_of(&socket)?, name.is_some());
            let name = name.filter(|name| !name.is_empty());
            Ok(InheritedSocket { name, place, socket, is_held, passed: Some((index, Arc::clone(of))) })
        });
        sockets.collect::<io::Result<_>>().map(InheritedSockets)
    }

    /// Where they listen, for the configuration.
    pub(crate) fn addresses(&self) -> InheritedAddresses {
        let mut addresses = InheritedAddresses::default();
        // Those that nobody holds are where the configuration wants them, or are not used.
        for socket in self.0.iter().filter(|socket| socket.is_held) {
            let InheritedPlace::Tcp(address) = socket.place else { continue };
            addresses.all.push(address.ip());
            if socket.is_main() {
                addresses.main.push(address);
            }
            if socket.is_named(Role::Admin) {
                addresses.admin.push(address);
            }
        }
        addresses
    }

    /// Gives each socket to the place to listen that it is for: the one of its address, or else of its name.
    ///
    /// # Errors
    /// If one is for none.
    pub(super) fn assign(
        self,
        wanted: Vec<WantedListener>,
    ) -> Result<Vec<(WantedListener, Vec<InheritedSocket>)>, InheritError> {
        let mut assigned: Vec<_> = wanted.into_iter().map(|wanted| (wanted, Vec::new())).collect();
        for socket in self.0 {
            let by_address = assigned.iter_mut().position(|(wanted, _)| {
                if socket.is_held {
                    wanted.point.is_at(&socket.place)
                } else {
                    wanted.point.takes(&socket.place)
                }
            });
            // Of places for clients there may be several, of others one each.
            let is_named = |role: Role| role != Role::Broker && socket.is_named(role);
            let by_name = || assigned.iter().position(|(wanted, _)| socket.is_held && is_named(wanted.role));
            match by_address.or_else(by_name) {
                Some(index) => {
                    let (wanted, sockets) = &mut assigned[index];
                    if by_address.is_none() {
                        wanted.point = socket.place.as_point();
                    }
                    sockets.push(socket);
                }
                // The other broker closes what has no place any more.
                None if !socket.is_held => {}
                None if socket.is_main() => {
                    assigned.push((WantedListener::at(socket.place.as_point()), vec![socket]));
                }
                None => {
                    let name = socket.name.unwrap_or_default();
                    return Err(InheritError::ForNothing { name, place: socket.place.to_string() });
                }
            }
        }
        Ok(assigned)
    }
}

impl InheritedSocket {
    /// What the service manager calls it, if one holds it.
    pub(super) fn held_as(&self) -> Option<String> {
        self.is_held.then(|| self.name.clone().unwrap_or_default())
    }

    fn is_named(&self, role: Role) -> bool {
        self.name.as_deref() == Some(role.name())
    }

    fn is_main(&self) -> bool {
        self.name.as_deref().is_none_or(|name| name.is_empty() || MAIN_NAMES.contains(&name))
    }
}

/// Where a socket listens.
fn place_of(socket: &Socket) -> io::Result<InheritedPlace> {
    if socket.r#type()? != Type::STREAM {
        return Err(io::Error::other("it is a socket of another type"));
    }
    if !socket.is_listener()? {
        return Err(io::Error::other("it does not listen (is it Accept=yes?)"));
    }
    // Nothing that this process starts is to have it.
    socket.set_cloexec(true)?;
    let address = socket.local_addr()?;
    let tcp = address.as_socket().map(InheritedPlace::Tcp);
    let unix = || address.as_pathname().map(|path| InheritedPlace::Unix(path.to_owned()));
    tcp.or_else(unix).ok_or_else(|| io::Error::other("it has neither an IP address nor a path"))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::config::Config;
    use crate::server::wanted::{wanted_admin, wanted_listeners};

    fn inherited(name: &str, socket: impl Into<Socket>) -> InheritedSocket {
        let socket = socket.into();
        let place = place_of(&socket).unwrap();
        let name = (!name.is_empty()).then(|| name.to_owned());
        InheritedSocket { name, place, socket, is_held: true, passed: None }
    }

    fn tcp(name: &str) -> InheritedSocket {
        inherited(name, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    #[test]
    fn each_socket_goes_where_it_belongs() {
        let mut config = Config::default();
        config.pipe.own_port = true;
        for name in ["", "heliostat", "http", "heliostat.socket"] {
            let sockets = InheritedSockets(vec![tcp("pipe"), tcp(name), tcp(name)]);
            let main = sockets.addresses().main[0];
            config.server.host = main.ip().into();
            config.server.port = main.port();
            let assigned = sockets.assign(wanted_listeners(&config).unwrap()).unwrap();
            let of: Vec<_> = assigned.iter().map(|(wanted, sockets)| (wanted.role, sockets.len())).collect();
            assert_eq!(of, [(Role::Broker, 1), (Role::Pipe, 1), (Role::Broker, 1)], "{name}");
            assert_eq!(assigned[0].1[0].place, InheritedPlace::Tcp(main));
        }
    }

    #[test]
    fn the_admin_listener_takes_what_is_called_so_or_is_at_its_address() {
        let mut config = Config::default();
        config.admin.enabled = true;
        let by_address = tcp("heliostat");
        let InheritedPlace::Tcp(address) = by_address.place else { unreachable!() };
        config.admin.port = address.port();
        let path = std::env::temp_dir().join(format!("heliostat-admin-{}", std::process::id()));
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let sockets = InheritedSockets(vec![by_address, tcp("admin"), inherited("admin", unix)]);
        assert_eq!(sockets.addresses().admin.len(), 1);
        let wanted = wanted_listeners(&config).unwrap().into_iter().chain(wanted_admin(&config));
        let assigned = sockets.assign(wanted.collect()).unwrap();
        let of: Vec<_> = assigned.iter().map(|(wanted, sockets)| (wanted.role, sockets.len())).collect();
        assert_eq!(of, [(Role::Broker, 0), (Role::Admin, 3)]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_socket_for_nothing_is_named() {
        for name in ["pipe", "admin", "other"] {
            let sockets = InheritedSockets(vec![tcp(name)]);
            let InheritedAddresses { all, main, .. } = sockets.addresses();
            assert_eq!((all.len(), main.len()), (1, 0), "it can be reached, and is not the main address");
            let place = sockets.0[0].place.to_string();
            let error =
                sockets.assign(wanted_listeners(&Config::default()).unwrap()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(&place), "{error}");
        }
    }

    #[test]
    fn what_does_not_listen_is_told_apart() {
        let udp = place_of(&UdpSocket::bind("127.0.0.1:0").unwrap().into()).unwrap_err();
        assert!(udp.to_string().contains("another type"), "{udp}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let accepted = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = place_of(&accepted.into()).unwrap_err();
        assert!(accepted.to_string().contains("does not listen"), "{accepted}");
    }
}
