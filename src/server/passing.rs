//! What passes between a broker and the one that is to succeed it: lines of JSON on a pair of Unix sockets, and with the first
//! one the listening sockets.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// The variable that tells a process which one it is to succeed; its standard input is the socket between them.
pub(super) const PREDECESSOR: &str = crate::config::PREDECESSOR;

/// Of what is said here. Another one is not understood.
pub(super) const HANDOVER_VERSION: u32 = 1;

/// Sockets that are passed on at most, with the end of the link: what the system takes in one message.
pub(super) const MOST_PASSED: usize = 253;

/// Bytes of a line. The longest names the sockets, which have paths.
pub(super) const LINE_BYTES: usize = 128 * 1024;

/// What the running broker says to its successor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PredecessorWord {
    /// At first. The sockets come with it, in this order, and where there is a link between the two, its end behind them.
    Take {
        version: u32,
        sockets: Vec<PassedSocket>,
        #[serde(default)]
        is_linked: bool,
    },
    /// At last: they are yours, and so is the place of the one that says so.
    Yours,
    /// Instead of that, at any time: they stay its own. It goes on, or ends by itself.
    TurnedDown,
}

/// What the successor says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SuccessorWord {
    /// All its workers turn, and it accepts on these. Clients' listeners answer at this path whether it is well.
    Serves { taken: Vec<TakenSocket>, health: String },
    /// It cannot.
    Failed { why: String },
}

/// A socket that is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PassedSocket {
    /// Commands come by it, and not clients.
    pub(super) is_control: bool,
    /// A service manager holds it, under this name.
    pub(super) held: Option<String>,
}

/// A socket that the successor has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakenSocket {
    /// The how many-th of those that were passed on.
    pub(super) index: usize,
    pub(super) tls: bool,
    pub(super) proxy_protocol: bool,
}

/// A word as a line.
pub(super) fn line_of(word: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(line)
}

/// What a line says.
pub(super) fn word_of<T: for<'de> Deserialize<'de>>(line: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(line)?)
}

/// Sends a word, and these files with it. The calling thread waits for whoever reads, as long as the socket has it wait.
pub(super) fn send_with_files(
    mut stream: &UnixStream,
    word: &impl Serialize,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let line = line_of(word)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if files.len() > MOST_PASSED || !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("there are more sockets than can be passed on"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(&line[sent..])
}

/// Receives a word, and what files come with it. The calling thread waits, as long as the socket has it wait.
pub(super) fn receive_with_files<T: for<'de> Deserialize<'de>>(
    stream: &UnixStream,
) -> io::Result<(T, Vec<OwnedFd>)> {
    let (mut line, mut files) = (Vec::new(), Vec::new());
    let mut part = vec![0; 4096];
    // Nothing follows the line before it has been answered.
    while line.last() != Some(&b'\n') {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(stream, &mut [IoSliceMut::new(&mut part)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                files.extend(rights);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(&part[..received.bytes]);
        if line.len() > LINE_BYTES {
            return Err(io::Error::other("it says more than it may"));
        }
    }
    Ok((word_of(&line)?, files))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    fn passed(count: usize) -> PredecessorWord {
        let socket = PassedSocket { is_control: false, held: Some("x".repeat(100)) };
        PredecessorWord::Take { version: HANDOVER_VERSION, sockets: vec![socket; count], is_linked: false }
    }

    #[test]
    fn sockets_arrive_with_the_word_that_names_them() {
        let (one, other) = UnixStream::pair().unwrap();
        let sockets: Vec<_> = (0..MOST_PASSED).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let files: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let (word, received) = std::thread::scope(|scope| {
            let receiving = scope.spawn(|| receive_with_files::<PredecessorWord>(&other).unwrap());
            send_with_files(&one, &passed(MOST_PASSED), &files).unwrap();
            receiving.join().unwrap()
        });
        let PredecessorWord::Take { sockets: named, .. } = word else { panic!("{word:?}") };
        assert_eq!((named.len(), received.len()), (MOST_PASSED, MOST_PASSED));
        let received = received.into_iter().map(|file| TcpListener::from(file).local_addr().unwrap());
        assert!(received.eq(sockets.iter().map(|socket| socket.local_addr().unwrap())));
    }

    #[test]
    fn what_is_too_much_or_no_word_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        let files = vec![one.as_fd(); MOST_PASSED + 1];
        assert!(send_with_files(&one, &passed(1), &files).is_err());
        (&one).write_all(b"{\"take\":7}\n").unwrap();
        assert!(receive_with_files::<PredecessorWord>(&other).is_err());
        let writing = std::thread::spawn(move || {
            // Until the other has had enough.
            while (&one).write_all(&[b' '; 4096]).is_ok() {}
        });
        assert!(receive_with_files::<PredecessorWord>(&other).is_err());
        drop(other);
        writing.join().unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        assert!(receive_with_files::<PredecessorWord>(&other).is_err());
        assert_eq!((&other).read(&mut [0]).unwrap(), 0);
    }
}
