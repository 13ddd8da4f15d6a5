//! An endpoint for webhooks: a small HTTP server that checks what it is sent, and misbehaves where a test asks it to.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::{Credentials, patience, signature};

/// Bytes of a request head.
const HEAD_BYTES: usize = 16 * 1024;

/// The header with the number of the attempt; in lower case.
const ATTEMPT: &str = "x-heliostat-attempt";

/// How far a webhook's date may be from now, usually.
const CLOCK_SLACK_MS: u64 = 60_000;

/// What the endpoint does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answers with this status and a short body; 204 with none.
    Status(u16),
    /// Answers 301 to this URL.
    Redirect(String),
    /// Answers nothing, and keeps the connection.
    Hang,
    /// Announces a body, sends half of it, and resets the connection.
    ResetMidBody,
}

/// An endpoint that is running. Dropping it ends its connections.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    webhooks: Mutex<Receiver<Webhook>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    app: Credentials,
    /// What to do with the next requests, one each.
    next: Mutex<VecDeque<Answer>>,
    /// What to do with all others.
    usual: Mutex<Answer>,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    ended: AtomicBool,
    /// How far a webhook's date may be from now.
    clock_slack_ms: AtomicU64,
}

/// One request, which was found to be in order.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// When it had arrived.
    pub at: Instant,
    /// The request line and the headers as they came.
    pub head: String,
    /// `/path?query`.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: String,
    /// The number of the connection that it came over, from 1.
    pub connection: usize,
    /// Why it is not in order.
    fault: Option<String>,
}

impl Webhook {
    /// A header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("it has been looked at")
    }

    /// Its events, as they are anywhere: without their ids.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let mut events = self.json()["events"].as_array().expect("it has been looked at").clone();
        for event in events.iter_mut().filter_map(Value::as_object_mut) {
            event.remove("id");
        }
        events
    }

    /// The ids of its events.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let json = self.json();
        let events = json["events"].as_array().expect("it has been looked at");
        events.iter().map(|event| event["id"].as_str().expect("it has been looked at").to_owned()).collect()
    }

    /// The number of the attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.header(ATTEMPT).and_then(|number| number.parse().ok()).expect("it has been looked at")
    }

    /// Its only event.
    #[must_use]
    #[track_caller]
    pub fn event(&self) -> Value {
        let [event] = &self.events()[..] else { panic!("expected one event, got {}", self.body) };
        event.clone()
    }
}

impl Sink {
    /// Starts an endpoint for the webhooks of this app. It answers 200 until told otherwise.
    #[must_use]
    pub fn start(app: &Credentials) -> Sink {
        Sink::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), app)
    }

    /// The same, on a socket that listens already.
    #[must_use]
    pub fn on(listener: TcpListener, app: &Credentials) -> Sink {
        let address = listener.local_addr().expect("an address");
        let (sender, webhooks) = mpsc::channel();
        let shared = Arc::new(Shared {
            app: app.clone(),
            next: Mutex::default(),
            usual: Mutex::new(Answer::Status(200)),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            clock_slack_ms: AtomicU64::new(CLOCK_SLACK_MS),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, sender) = (Arc::clone(&serving), sender.clone());
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
                lock(&shared.connections).push(stream.try_clone().expect("a second handle"));
                thread::spawn(move || shared.serve(&stream, number, &sender));
            }
        });
        Sink { address, webhooks: Mutex::new(webhooks), shared }
    }

    /// Where to send webhooks to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/webhooks", self.address)
    }

    /// What it does with the next requests, one each, before it does the usual again.
    pub fn next_answers(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.next).extend(answers);
    }

    /// What it does with every other request from now on.
    pub fn usually(&self, answer: Answer) {
        *lock(&self.shared.usual) = answer;
    }

    /// Has it take webhooks of brokers whose clocks are off, by so much more than usual.
    pub fn forgive_clocks(&self, off: Duration) {
        let more = u64::try_from(off.as_millis()).unwrap_or(u64::MAX);
        self.shared.clock_slack_ms.store(CLOCK_SLACK_MS.saturating_add(more), Ordering::SeqCst);
    }

    /// Connections that were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The next request.
    ///
    /// # Panics
    /// If none comes, or it is not in order.
    #[must_use]
    #[track_caller]
    pub fn webhook(&self) -> Webhook {
        match self.webhook_within(patience()) {
            Some(webhook) => webhook,
            None => panic!("no webhook came within {:?}", patience()),
        }
    }

    /// The next request that arrives within `wait`, if one does.
    ///
    /// # Panics
    /// If it is not in order.
    #[must_use]
    #[track_caller]
    pub fn webhook_within(&self, wait: Duration) -> Option<Webhook> {
        let webhook = match lock(&self.webhooks).recv_timeout(wait) {
            Ok(webhook) => webhook,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => panic!("the endpoint has ended"),
        };
        if let Some(fault) = &webhook.fault {
            panic!("a webhook is not in order, {fault}: {webhook:?}");
        }
        Some(webhook)
    }

    /// The next requests' events, until one of them is `last`.
    ///
    /// # Panics
    /// If it does not come.
    #[must_use]
    #[track_caller]
    pub fn events_until(&self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        while !events.iter().any(&last) {
            match self.webhook_within(patience()) {
                Some(webhook) => events.extend(webhook.events()),
                None => {
                    panic!("the last webhook did not come within {:?}; before it: {events:#?}", patience())
                }
            }
        }
        events
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Serves one connection until it ends.
    fn serve(&self, mut stream: &TcpStream, number: usize, webhooks: &Sender<Webhook>) {
        while let Some(head) = read_head(stream) {
            let answer = lock(&self.next).pop_front().unwrap_or_else(|| lock(&self.usual).clone());
            let length = header_of(&head, "content-length").and_then(|length| length.parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            // A body that is left unread makes the end of the connection a reset.
            let read = match answer {
                Answer::ResetMidBody => peek_exact(stream, &mut body),
                _ => stream.read_exact(&mut body).is_ok(),
            };
            if !read {
                return;
            }
            let Ok(body) = String::from_utf8(body) else { return };
            let fault = self.fault(&head, length, &body).err();
            let (path, headers) = parts(&head);
            let webhook =
                Webhook { at: Instant::now(), head, path, headers, body, connection: number, fault };
            // The test may be over.
            let _ = webhooks.send(webhook);
            let response = match &answer {
                Answer::Status(204) => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                Answer::Status(status) => {
                    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 8\r\n\r\nanswered")
                }
                Answer::Redirect(to) => {
                    format!("HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
                }
                Answer::ResetMidBody => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
                Answer::Hang => continue,
            };
            if stream.write_all(response.as_bytes()).is_err() || answer == Answer::ResetMidBody {
                // The handle that is kept for the end would keep it open.
                let address = stream.peer_addr().ok();
                lock(&self.connections).retain(|kept| kept.peer_addr().ok() != address);
                return;
            }
        }
    }

    /// Whether the request is what a webhook must be.
    fn fault(&self, head: &str, length: Option<usize>, body: &str) -> Result<(), String> {
        let header = |name: &str| header_of(head, name).unwrap_or_default();
        let line = head.lines().next().unwrap_or_default();
        if !line.starts_with("POST /webhooks") || !line.ends_with(" HTTP/1.1") {
            return Err(format!("it is a {line:?}"));
        }
        if length.is_none() {
            return Err("it does not announce its length".to_owned());
        }
        if header("content-type") != "application/json" {
            return Err(format!("its content type is {:?}", header("content-type")));
        }
        if header("x-pusher-key") != self.app.key {
            return Err(format!("its key is {:?}", header("x-pusher-key")));
        }
        if header("x-pusher-signature") != signature::hmac_hex(&self.app.secret, body) {
            return Err("its signature is wrong".to_owned());
        }
        let json: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let date = json["time_ms"].as_u64().ok_or("its time_ms is no integer")?;
        let slack = self.clock_slack_ms.load(Ordering::SeqCst);
        if u64::try_from(now).unwrap_or_default().abs_diff(date) > slack {
            return Err(format!("its time_ms is {date} at {now}"));
        }
        match header(ATTEMPT).parse::<u32>() {
            Ok(1..) => {}
            _ => return Err(format!("the number of its attempt is {:?}", header(ATTEMPT))),
        }
        let has_id = |event: &Value| {
            let id = event["id"].as_str().unwrap_or_default();
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match json["events"].as_array() {
            Some(events) if events.is_empty() => Err("it holds no events".to_owned()),
            Some(events) if events.iter().all(has_id) => Ok(()),
            Some(_) => Err(format!("not every event has an id of 32 hexadecimal digits: {body}")),
            None => Err("it holds no events".to_owned()),
        }
    }
}

/// Reads to the end of a request head and not a byte further.
fn read_head(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
        if head.len() > HEAD_BYTES {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

/// Waits until so many bytes have arrived, and leaves them unread.
fn peek_exact(stream: &TcpStream, body: &mut [u8]) -> bool {
    let deadline = Instant::now() + patience();
    while Instant::now() < deadline {
        match stream.peek(body) {
            Ok(peeked) if peeked == body.len() => return true,
            Ok(0) | Err(_) => return false,
            Ok(_) => thread::yield_now(),
        }
    }
    false
}

fn header_of(head: &str, name: &str) -> Option<String> {
    parts(head).1.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The path and the headers of a request.
fn parts(head: &str) -> (String, Vec<(String, String)>) {
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    (path, headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect())
}

/// No code panics while it holds one of the locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
