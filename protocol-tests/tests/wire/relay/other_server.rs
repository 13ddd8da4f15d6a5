//! Another server that events are relayed to: it reads requests, checks how they are signed, and answers as a test asks.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use heliostat_protocol_tests::{patience, signature};
use md5::{Digest, Md5};
use serde_json::Value;

/// The secret of the app there.
pub(super) const SECRET: &str = "old-secret";

/// What the server does when a request has come whole.
#[derive(Clone, Debug)]
pub(super) enum Reaction {
    /// Sends these bytes, and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes, and ends its half of the connection.
    SendAndEnd(Vec<u8>),
    /// Nothing, and keeps the connection.
    Hang,
    /// Ends the connection.
    HangUp,
    /// Has the server at this port answer, as a proxy does.
    Forward(u16),
}

/// An answer with this status, further header lines and body.
pub(super) fn answer(status: u16, headers: &str, body: &str) -> Reaction {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    Reaction::Send(text.into_bytes())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct RelayedRequest {
    /// `/path`, without the query.
    pub(super) path: String,
    pub(super) head: String,
    pub(super) body: String,
}

/// A server that is running, until the process ends.
#[derive(Debug)]
pub(super) struct OtherServer {
    pub(super) port: u16,
    requests: Mutex<Receiver<RelayedRequest>>,
    next: Arc<Mutex<VecDeque<Reaction>>>,
    usual: Arc<Mutex<Reaction>>,
}

impl OtherServer {
    /// One that answers 200.
    pub(super) fn start() -> OtherServer {
        OtherServer::on(TcpListener::bind(("127.0.0.1", 0)).expect("a port"))
    }

    /// One that listens there.
    pub(super) fn on(listener: TcpListener) -> OtherServer {
        let port = listener.local_addr().expect("an address").port();
        let (sender, requests) = mpsc::channel();
        let next: Arc<Mutex<VecDeque<Reaction>>> = Arc::default();
        let usual = Arc::new(Mutex::new(answer(200, "", "{}")));
        let (next_one, usual_one) = (Arc::clone(&next), Arc::clone(&usual));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sender, next, usual) = (sender.clone(), Arc::clone(&next_one), Arc::clone(&usual_one));
                thread::spawn(move || serve(stream, &sender, &next, &usual));
            }
        });
        OtherServer { port, requests: Mutex::new(requests), next, usual }
    }

    /// What it does with the next requests, one each.
    pub(super) fn react(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.next.lock().unwrap().extend(reactions);
    }

    /// What it does with all others.
    pub(super) fn usually(&self, reaction: Reaction) {
        *self.usual.lock().unwrap() = reaction;
    }

    /// The next request.
    #[track_caller]
    pub(super) fn request(&self) -> RelayedRequest {
        self.requests.lock().unwrap().recv_timeout(patience()).expect("a relayed request")
    }

    /// The names of the next events, request by request, until there are so many.
    #[track_caller]
    pub(super) fn names(&self, events: usize) -> Vec<Vec<String>> {
        let mut requests: Vec<Vec<String>> = Vec::new();
        while requests.iter().map(Vec::len).sum::<usize>() < events {
            let request = self.request();
            requests.push(
                request.events().iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect(),
            );
        }
        requests
    }

    /// Whether no request comes for a moment.
    pub(super) fn is_left_alone(&self, moment: Duration) -> bool {
        self.requests.lock().unwrap().recv_timeout(moment).is_err()
    }
}

impl RelayedRequest {
    /// Its events, whether it is a batch or not.
    #[track_caller]
    pub(super) fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).expect("a body of JSON");
        body["batch"].as_array().cloned().unwrap_or_else(|| vec![body])
    }

    /// A header; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (held, value) = line.split_once(':')?;
            held.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

fn serve(
    mut stream: TcpStream,
    requests: &Sender<RelayedRequest>,
    next: &Mutex<VecDeque<Reaction>>,
    usual: &Mutex<Reaction>,
) {
    while let Some((head, body)) = read_request(&mut stream) {
        let line = head.lines().next().unwrap_or_default().to_owned();
        let target = line.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        check_signature(path, query, &body);
        let reaction = next.lock().unwrap().pop_front();
        let reaction = reaction.unwrap_or_else(|| usual.lock().unwrap().clone());
        let forwarded = match reaction {
            Reaction::Forward(port) => forward(port, &head, &body),
            _ => None,
        };
        let request = RelayedRequest { path: path.to_owned(), head, body };
        if requests.send(request).is_err() {
            return;
        }
        match reaction {
            Reaction::Send(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
            Reaction::SendAndEnd(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                // Whoever sends more is read, so that it is not reset.
            }
            Reaction::Hang => {}
            Reaction::HangUp => return,
            Reaction::Forward(_) => {
                let Some(answer) = forwarded else { return };
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }
}

/// What the server at this port answers.
fn forward(port: u16, head: &str, body: &str) -> Option<String> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    server.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let (head, body) = read_request(&mut server)?;
    Some(head + &body)
}

/// The head and the body of the next request or answer; none at the end.
fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).expect("a head is text");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().expect("a length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).expect("a body is text")))
}

/// As servers check it: the query without the signature, sorted, and the path without what is put before it, unless that is
/// `/signed`.
fn check_signature(path: &str, query: &str, body: &str) {
    let path = if path.starts_with("/signed/") {
        path
    } else {
        &path[path.find("/apps/").expect("a path of the API")..]
    };
    let (signed, signature) = query.rsplit_once("&auth_signature=").expect("a signature");
    let mut sorted: Vec<&str> = signed.split('&').collect();
    sorted.sort_unstable();
    assert_eq!(sorted.join("&"), signed, "the query is not sorted");
    let hash = hex::encode(Md5::digest(body));
    assert!(signed.contains(&format!("body_md5={hash}")), "{signed}");
    let expected = |secret: &str| signature::hmac_hex(secret, &format!("POST\n{path}\n{signed}"));
    assert!([SECRET, "app-secret"].iter().any(|secret| signature == expected(secret)), "{path}?{query}");
}
