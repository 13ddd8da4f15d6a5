//! The file of a Unix socket: it takes the place of one at which nobody listens any more, and goes with its owner.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::passed_place::PassedPlace;
use crate::files::{folder_of, turn_in};

/// How long is waited for others that take a place in the same folder, which takes each no time to speak of.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

/// The file of a Unix socket that this process listens at. Dropping it removes the file, unless another has taken the
/// path meanwhile. The socket must not be closed before, for until then nobody else's file can be taken for this one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Its device and its number there.
    identity: Option<(u64, u64)>,
    /// It is to come from another broker, whose it is until then.
    place: Option<Arc<PassedPlace>>,
}

impl SocketFile {
    /// The file of a socket that another broker leaves to this one.
    pub(super) fn passed_on(path: &Path, place: &Arc<PassedPlace>) -> Self {
        SocketFile { path: path.to_owned(), identity: identity(path), place: Some(Arc::clone(place)) }
    }

    /// Leaves it where it is, for another broker has it now.
    pub(super) fn leave(mut self) {
        self.identity = None;
    }
}

/// Why there is no socket at a path.
#[derive(Debug)]
pub(super) enum SocketFileError {
    /// Somebody listens there.
    InUse,
    /// Something else is there, and not to be removed.
    NotASocket,
    /// The system refused.
    Refused(io::Error),
}

impl From<io::Error> for SocketFileError {
    fn from(error: io::Error) -> Self {
        SocketFileError::Refused(error)
    }
}

/// Listens at a path. Nobody can connect before its file has these permissions.
///
/// # Errors
/// See [`SocketFileError`].
pub(super) fn listen(
    path: &Path,
    mode: u32,
    backlog: i32,
) -> Result<(UnixListener, SocketFile), SocketFileError> {
    // Held until the file is ours, so that of several brokers that find a file left none takes that of another for it.
    let _turn = turn_in(folder_of(path), TURN_PATIENCE);
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        // Somebody has come in between.
        io::ErrorKind::AddrInUse => SocketFileError::InUse,
        _ => SocketFileError::Refused(error),
    })?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path), place: None };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

/// Removes what an earlier process has left at a path.
fn make_room(path: &Path) -> Result<(), SocketFileError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.file_type().is_socket() {
        return Err(SocketFileError::NotASocket);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog must not keep us waiting.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        _ => Err(SocketFileError::InUse),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self.place.as_ref().is_none_or(|place| place.is_left());
        if is_ours && self.identity.is_some() && self.identity == identity(&self.path) {
            // If it cannot be removed, the next broker replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("heliostat-socket-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_socket_has_its_permissions_and_is_gone_with_its_owner() {
        let path = path("own");
        let (socket, file) = listen(&path, 0o640, 1).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).unwrap();
        assert!(matches!(listen(&path, 0o640, 1), Err(SocketFileError::InUse)));
        drop(file);
        assert!(!path.exists());
        drop(socket);
    }

    #[test]
    fn what_is_left_is_replaced_and_what_is_of_others_is_not() {
        let path = path("left");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a process that is killed leaves it behind");
        let (_socket, file) = listen(&path, 0o600, 1).unwrap();
        fs::remove_file(&path).unwrap();
        let (_next, of_next) = listen(&path, 0o600, 1).unwrap();
        drop(file);
        assert!(path.exists(), "it is the next one's");
        drop(of_next);
        assert!(!path.exists());

        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path, 0o600, 1), Err(SocketFileError::NotASocket)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();

        // A socket of another kind is somebody's as long as it is open.
        let other = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(listen(&path, 0o600, 1), Err(SocketFileError::InUse)));
        drop(other);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn of_several_that_find_a_file_left_one_has_its_place() {
        let path = path("race");
        for round in 0..50 {
            drop(UnixListener::bind(&path).unwrap());
            let start = std::sync::Barrier::new(4);
            let begin = || {
                start.wait();
                listen(&path, 0o600, 4)
            };
            let all: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let (won, lost): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
            assert_eq!(won.len(), 1, "round {round}: {lost:?}");
            let _visitor = UnixStream::connect(&path).unwrap();
            won.iter().flatten().for_each(|(socket, _)| drop(socket.accept().unwrap()));
        }
    }

    #[test]
    fn a_full_backlog_is_no_sign_of_a_socket_that_was_left() {
        let path = path("full");
        let (_socket, _file) = listen(&path, 0o600, 0).unwrap();
        let waiting = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&SockAddr::unix(&path).unwrap()).map(|()| socket)
        };
        let waiting: Vec<_> = std::iter::from_fn(|| waiting().ok()).collect();
        assert!(!waiting.is_empty());
        assert!(matches!(listen(&path, 0o600, 1), Err(SocketFileError::InUse)));
    }

    #[test]
    fn a_directory_that_is_not_there_is_said() {
        let missing = path("missing").join("x.sock");
        assert!(matches!(
            listen(&missing, 0o600, 1),
            Err(SocketFileError::Refused(error)) if error.kind() == io::ErrorKind::NotFound
        ));
    }
}
