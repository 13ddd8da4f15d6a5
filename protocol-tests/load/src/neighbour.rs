//! Somebody beside the crowd who measures how long a server makes him wait: a connection that says `pusher:ping`, and one
//! that publishes to nobody. Each has a blocking socket and a thread of its own, so that what the crowd takes to read does
//! not count as waiting.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clients::Broken;
use crate::run::Latencies;
use crate::talker::{Talker, connect, read_until};
use crate::wire::http;
use crate::wire::signature::{App, Signer};

/// From an answer to the next question.
const PAUSE: Duration = Duration::from_millis(5);

/// One who asks again and again, until it is stopped.
#[derive(Debug)]
pub(crate) struct Neighbour {
    over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<u64>>>,
}

impl Neighbour {
    /// A connection that says `pusher:ping`.
    pub(crate) fn pinging(address: SocketAddr, app: &App) -> Result<Self, Broken> {
        let mut talker = Talker::open(address, &app.key, "")?;
        let ping = [r#"{"event":"pusher:ping","data":{}}"#.to_owned()];
        Neighbour::asking(move || {
            talker.say(&ping)?;
            talker.hear("pusher:pong", 1)
        })
    }

    /// A backend that publishes to a channel without subscribers.
    pub(crate) fn publishing(address: SocketAddr, app: &App) -> Result<Self, Broken> {
        const BODY: &[u8] = br#"{"name":"client-load","channel":"nobody","data":"x"}"#;
        let (mut stream, signer) = (connect(address)?, Signer::new(app.clone()));
        let path = format!("/apps/{}/events", app.id);
        Neighbour::asking(move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let target = signer.target("POST", &path, BODY, now);
            let mut request = format!(
                "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n",
                BODY.len()
            )
            .into_bytes();
            request.extend_from_slice(BODY);
            stream.write_all(&request)?;
            let status = read_until(&mut stream, |read| {
                http::response(read).ok().flatten().map(|response| response.status)
            })?;
            match status {
                200 => Ok(()),
                other => Err(io::Error::other(format!("a publish was answered with {other}"))),
            }
        })
    }

    fn asking(mut ask: impl FnMut() -> io::Result<()> + Send + 'static) -> Result<Self, Broken> {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("neighbour".to_owned()).spawn(move || {
            let mut waits = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                ask()?;
                waits.push(asked.elapsed().as_nanos() as u64);
                std::thread::sleep(PAUSE);
            }
            Ok(waits)
        })?;
        Ok(Neighbour { over, thread })
    }

    /// How long it waited for its answers.
    pub(crate) fn stop(self) -> Result<Latencies, Broken> {
        self.over.store(true, Ordering::Relaxed);
        let waits = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a neighbour panicked")));
        Ok(Latencies::new(waits?))
    }
}
