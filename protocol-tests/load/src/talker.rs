//! One WebSocket with a blocking socket, for what a scenario does outside the crowd.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use memchr::memmem;

use crate::clients::{KEY, PATIENCE};
use crate::wire::frame::{Cutter, TEXT, push_client_frame};

/// Any but zero: nothing here needs it to be secret.
pub(crate) const MASK: [u8; 4] = [1, 2, 3, 4];

/// A connection that is established.
#[derive(Debug)]
pub(crate) struct Talker {
    pub(crate) stream: TcpStream,
    pub(crate) socket_id: String,
    cutter: Cutter,
}

impl Talker {
    /// Opens one; `headers` are further lines of its handshake, each with its end.
    pub(crate) fn open(address: SocketAddr, key: &str, headers: &str) -> io::Result<Self> {
        let mut stream =
            ask_upgrade(address, &format!("/app/{key}?protocol=7&client=load&version=1"), headers)?;
        let socket_id = read_until(&mut stream, |read| {
            let at = memmem::find(read, br#"\"socket_id\":\""#)? + br#"\"socket_id\":\""#.len();
            let end = at + memmem::find(&read[at..], b"}\"}")?;
            let id = read[at..end].split(|byte| *byte == b'\\').next()?;
            Some(String::from_utf8_lossy(id).into_owned())
        })?;
        Ok(Talker { stream, socket_id, cutter: Cutter::default() })
    }

    /// Sends messages, in one write.
    pub(crate) fn say(&mut self, messages: &[String]) -> io::Result<()> {
        let mut frames = Vec::new();
        messages.iter().for_each(|message| push_client_frame(&mut frames, TEXT, message.as_bytes(), MASK));
        self.stream.write_all(&frames)
    }

    /// Reads until so many messages have come in whose beginning has this in it. Others are passed over.
    pub(crate) fn hear(&mut self, word: &str, messages: usize) -> io::Result<()> {
        let (mut heard, mut buffer) = (0, [0; 16 * 1024]);
        while heard < messages {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.cutter.feed(&buffer[..count], |frame| {
                heard += usize::from(memmem::find(frame.head, word.as_bytes()).is_some());
            });
        }
        Ok(())
    }
}

/// Asks for a WebSocket; `headers` are further lines of the handshake, each with its end.
pub(crate) fn ask_upgrade(address: SocketAddr, target: &str, headers: &str) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )?;
    Ok(stream)
}

/// A blocking socket that gives up when a server says nothing.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads until something is found in what was read.
pub(crate) fn read_until<T>(stream: &mut TcpStream, found: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(found) = found(&read) {
            return Ok(found);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
}
