//! Somebody who watches an app in the broker's console: a WebSocket to its admin listener, read on a thread of its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;

use memchr::memmem;

use crate::clients::Broken;
use crate::talker::{MASK, ask_upgrade, read_until};
use crate::wire::frame::{TEXT, push_client_frame};

/// How each entry begins.
const ENTRY: &[u8] = br#"{"seq":"#;

/// One who watches, until it is stopped.
#[derive(Debug)]
pub(crate) struct Viewer {
    stream: TcpStream,
    thread: JoinHandle<io::Result<u64>>,
}

impl Viewer {
    /// Watches all that happens in an app. When this returns, what happens is told.
    pub(crate) fn of_app(admin: SocketAddr, token: &str, app_id: &str) -> Result<Self, Broken> {
        let mut stream = ask_upgrade(admin, "/console/live", &format!("Authorization: Bearer {token}\r\n"))?;
        read_until(&mut stream, |read| memmem::find(read, br#""type":"hello""#))?;
        let mut filter = Vec::new();
        let wanted = format!(r#"{{"type":"filter","app":"{app_id}"}}"#);
        push_client_frame(&mut filter, TEXT, wanted.as_bytes(), MASK);
        stream.write_all(&filter)?;
        read_until(&mut stream, |read| memmem::find(read, br#""type":"filtering""#))?;
        // It is told nothing where nothing happens.
        stream.set_read_timeout(None)?;
        let mut reading = stream.try_clone()?;
        let thread = std::thread::Builder::new().name("viewer".to_owned()).spawn(move || {
            let (mut told, mut buffer, mut kept) = (0, vec![0; 256 * 1024], 0);
            loop {
                let count = match reading.read(&mut buffer[kept..])? {
                    0 => return Ok(told),
                    count => kept + count,
                };
                told += memmem::find_iter(&buffer[..count], ENTRY).count() as u64;
                // The beginning of one may be at the end of what was read.
                kept = count.min(ENTRY.len() - 1);
                buffer.copy_within(count - kept..count, 0);
            }
        })?;
        Ok(Viewer { stream, thread })
    }

    /// Watches no more; says of how much it was told.
    pub(crate) fn stop(self) -> Result<u64, Broken> {
        self.stream.shutdown(Shutdown::Both)?;
        let told = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a viewer panicked")));
        Ok(told?)
    }
}
