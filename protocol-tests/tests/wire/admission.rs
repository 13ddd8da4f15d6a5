//! One admission for everything that is a connection: each setting that says who may connect, over every way to connect.

use std::io::{Read, Write};
use std::net::TcpStream;

use heliostat_protocol_tests::frame::{self, FIN, TEXT};
use heliostat_protocol_tests::http::percent_encoded;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::session_id;
use heliostat_protocol_tests::{Pipe, Target, patience};
use serde_json::json;

use crate::eventually;

/// What a connection or a stream begins with.
pub(crate) const IN: [&str; 3] = ["connection_established", ": events of", "--frame"];
const FOREIGN: &str = "Origin not allowed";
const PLAIN: &str = "accepts TLS connections only";
const UNAUTHORIZED: &str = "not authorized within timeout";
const UNSIGNED: &str = "Missing parameter: auth_key";

const GOOD: &str = "Origin: https://good.example";
const EVIL: &str = "Origin: https://evil.example";
const TLS: &str = "X-Forwarded-Proto: https";

/// A way to become a client of an app.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    WebSocket,
    /// At this path below that of SockJS: its first message, framed or not, names the app.
    SockJsSocket {
        path: &'static str,
        framed: bool,
    },
    /// pusher-js's own: everything is in the first request.
    Native(&'static str),
    /// A session of SockJS: what receives, by which method, and what sends.
    SockJs {
        receives: &'static str,
        method: &'static str,
        sends: &'static str,
    },
    /// Over HTTP, of a public channel.
    Stream(&'static str),
    /// A backend's.
    Pipe,
}

pub(crate) const WAYS: [Way; 12] = [
    Way::WebSocket,
    Way::SockJsSocket { path: "/000/ID/websocket", framed: true },
    Way::SockJsSocket { path: "/websocket", framed: false },
    Way::Native("xhr_streaming"),
    Way::Native("xhr"),
    Way::SockJs { receives: "xhr_streaming", method: "POST", sends: "xhr_send" },
    Way::SockJs { receives: "xhr", method: "POST", sends: "xhr_send" },
    Way::SockJs { receives: "eventsource", method: "GET", sends: "xhr_send" },
    Way::SockJs { receives: "htmlfile?c=f", method: "GET", sends: "jsonp_send" },
    Way::SockJs { receives: "jsonp?c=f", method: "GET", sends: "jsonp_send" },
    Way::Stream("sse"),
    Way::Stream("mjpeg"),
];

/// Somebody who tries to become a client.
pub(crate) struct Try<'t> {
    target: &'t Target,
    way: Way,
    id: String,
    /// The parameters that it connects with.
    pub(crate) query: String,
    /// What is open, so that it stays so.
    open: Vec<TcpStream>,
}

impl<'t> Try<'t> {
    pub(crate) fn new(target: &'t Target, way: Way) -> Self {
        let query = "protocol=7".to_owned();
        Try { target, way, id: session_id(), query, open: Vec::new() }
    }

    fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> TcpStream {
        let Target { host, port, path_prefix, .. } = self.target;
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length =
            if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let request = format!(
            "{method} {path_prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}{length}\r\n{body}"
        );
        let mut stream = TcpStream::connect((host.as_str(), *port)).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Reads until one of the words comes. What ends without is told as it is.
    fn hear(&mut self, stream: TcpStream, words: &[&'static str]) -> Result<&'static str, String> {
        self.hear_after(Vec::new(), stream, words)
    }

    /// The same, where this has come already.
    fn hear_after(
        &mut self,
        mut heard: Vec<u8>,
        mut stream: TcpStream,
        words: &[&'static str],
    ) -> Result<&'static str, String> {
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&heard);
            if let Some(word) = words.iter().find(|word| text.contains(**word)) {
                self.open.push(stream);
                return Ok(word);
            }
            match stream.read(&mut piece) {
                Ok(bytes) if bytes > 0 => heard.extend_from_slice(&piece[..bytes]),
                end => return Err(format!("{:?}: {end:?} after {text}", self.way)),
            }
        }
    }

    fn key(&self) -> &str {
        &self.target.credentials.key
    }

    /// Begins, says what a client says first, and hears one of the words: the requests have these headers.
    pub(crate) fn begin(&mut self, begin: &[&str], send: &[&str], words: &[&'static str]) -> &'static str {
        let close = |headers: &[&'static str]| headers.to_vec();
        let socket = close(&[
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]);
        let path = format!("/app/{}?{}", self.key(), self.query);
        let introduction = json!({ "path": path }).to_string();
        let stream = match self.way {
            Way::WebSocket => self.request("GET", &path, &[&socket, begin].concat(), ""),
            Way::SockJsSocket { path, framed } => {
                let path = format!("/pusher{}", path.replace("ID", &self.id));
                let mut stream = self.request("GET", &path, &[&socket, begin].concat(), "");
                let message = if framed { json!([introduction]).to_string() } else { introduction };
                stream.write_all(&masked(&message)).unwrap();
                stream
            }
            Way::Native(wish) => {
                let path = format!("/pusher/app/{}/1/{}/{wish}?{}", self.key(), self.id, self.query);
                if wish == "xhr" {
                    // A poll is answered by what there is; the first one begins the session.
                    return self.poll("POST", &path, begin, words);
                }
                self.request("POST", &path, begin, "")
            }
            Way::SockJs { receives, method, .. } => {
                let path = format!("/pusher/000/{}/{receives}", self.id);
                let mut first = self.request(method, &path, begin, "");
                let mut greeting = vec![0; 4096];
                let bytes = first.read(&mut greeting).unwrap();
                assert!(bytes > 0, "no greeting");
                greeting.truncate(bytes);
                self.send(&introduction, send);
                if receives == "xhr" || receives.starts_with("jsonp") {
                    return self.poll(method, &path, begin, words);
                }
                return self.hear_after(greeting, first, words).unwrap();
            }
            Way::Stream(kind) => {
                let path = format!("/apps/{}/channels/news/{kind}", self.target.credentials.app_id);
                self.request("GET", &path, begin, "")
            }
            Way::Pipe => {
                let path = Pipe::path(self.target, Some("1.0"));
                self.request("GET", &path, &[&socket, begin].concat(), "")
            }
        };
        self.hear(stream, words).unwrap()
    }

    /// Polls until one of the words comes.
    fn poll(&mut self, method: &str, path: &str, headers: &[&str], words: &[&'static str]) -> &'static str {
        eventually("a poll is answered with what was expected", || {
            let headers = [headers, &["Connection: close"]].concat();
            let stream = self.request(method, path, &headers, "");
            self.hear(stream, words).ok()
        })
    }

    /// Hears one of the words in a session that has begun.
    pub(crate) fn hear_on(&mut self, headers: &[&str], words: &[&'static str]) -> &'static str {
        let (method, path) = match self.way {
            Way::Native(receives) => {
                ("POST", format!("/pusher/app/{}/1/{}/{receives}?{}", self.key(), self.id, self.query))
            }
            Way::SockJs { receives, method, .. } => (method, format!("/pusher/000/{}/{receives}", self.id)),
            _ => panic!("no session"),
        };
        if path.contains("/xhr?") || path.ends_with("/xhr") || path.contains("/jsonp") {
            return self.poll(method, &path, headers, words);
        }
        let stream = self.open.pop().expect("its stream");
        self.hear(stream, words).unwrap()
    }

    /// Says something once it is a client, whichever way it came.
    pub(crate) fn say(&mut self, message: &str, headers: &[&str]) {
        let messages = json!([message]).to_string();
        let text = match self.way {
            Way::WebSocket | Way::SockJsSocket { framed: false, .. } => message,
            Way::SockJsSocket { framed: true, .. } => &messages,
            Way::SockJs { .. } => return drop(self.send(message, headers)),
            Way::Native(_) => {
                let path = format!("/pusher/app/{}/1/{}/xhr_send", self.key(), self.id);
                let mut stream =
                    self.request("POST", &path, &[headers, &["Connection: close"]].concat(), &messages);
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
                return;
            }
            Way::Stream(_) | Way::Pipe => panic!("no client that speaks"),
        };
        self.open.last_mut().unwrap().write_all(&masked(text)).unwrap();
    }

    /// Sends a message in a session, and awaits the answer; returns its status line.
    fn send(&self, message: &str, headers: &[&str]) -> String {
        let Way::SockJs { sends, .. } = self.way else { panic!("no session") };
        let messages = json!([message]).to_string();
        let (kind, body) = match sends {
            "jsonp_send" => (
                "Content-Type: application/x-www-form-urlencoded",
                format!("d={}", percent_encoded(&messages)),
            ),
            _ => ("Content-Type: text/plain", messages),
        };
        let headers = [headers, &["Connection: close", kind]].concat();
        let mut stream = self.request("POST", &format!("/pusher/000/{}/{sends}", self.id), &headers, &body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }
}

/// A text message of a client, under a mask that changes nothing.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    frame::masked(FIN | TEXT, text.as_bytes())
}

fn broker(node: &str, app: &str) -> Option<Target> {
    let usual = MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true");
    Target::own(&format!("{node}{usual}{app}\n"))
}

fn is_session(way: &Way) -> bool {
    matches!(way, Way::SockJs { .. })
}

/// Pages that are not on the list are refused, whichever way they come, and by whichever request of a session they show
/// themselves; who is no page is not asked.
///
/// Proves: 34, bad input.
#[test]
fn only_pages_on_the_list_become_clients() {
    let Some(target) = broker("", "allowed_origins = [\"https://good.example\"]") else { return };
    let words = [&IN[..], &[FOREIGN]].concat();
    for way in WAYS {
        let verdict = |begin: &[&str], send: &[&str]| Try::new(&target, way).begin(begin, send, &words);
        for admitted in
            [&[][..], &[GOOD], &["Referer: https://good.example/a/b?c"], &["Sec-Fetch-Site: none"]]
        {
            assert!(IN.contains(&verdict(admitted, admitted)), "{way:?} {admitted:?}");
        }
        let foreign = [EVIL, "Origin: null", "Referer: https://evil.example/", "Sec-Fetch-Site: cross-site"];
        for header in foreign {
            assert_eq!(verdict(&[header], &[header]), FOREIGN, "{way:?} {header}");
        }
    }
    for way in WAYS.into_iter().filter(is_session) {
        let verdict = |begin: &[&str], send: &[&str]| Try::new(&target, way).begin(begin, send, &words);
        assert!(IN.contains(&verdict(&[], &[GOOD])), "{way:?}");
        assert_eq!(verdict(&[], &[EVIL]), FOREIGN, "begun by a script, which tells no origin: {way:?}");
        assert_eq!(verdict(&["Referer: https://evil.example/"], &[GOOD]), FOREIGN, "{way:?}");
        // A page that takes over a session which was begun by no page.
        let mut late = Try::new(&target, way);
        assert!(IN.contains(&late.begin(&[], &[], &words)), "{way:?}");
        late.send(r#"{"event":"pusher:ping"}"#, &[EVIL]);
        assert_ended(late, &[], FOREIGN);
    }
}

/// An established session is told why it ends.
#[track_caller]
fn assert_ended(mut session: Try<'_>, headers: &[&str], word: &'static str) {
    assert_eq!(session.hear_on(headers, &[word]), word);
}

/// What is not protected by TLS is refused, whichever way it comes and whichever request of a session it is.
///
/// Proves: bad input.
#[test]
fn where_tls_is_demanded_nothing_comes_without() {
    let Some(target) = broker("[server]\ntrust_forwarded_proto = true\n", "force_tls = true") else { return };
    let words = [&IN[..], &[PLAIN]].concat();
    for way in WAYS.into_iter().chain([Way::Pipe]) {
        let verdict = |begin: &[&str], send: &[&str]| Try::new(&target, way).begin(begin, send, &words);
        for tls in [
            &[TLS][..],
            &["X-Forwarded-Proto: HTTPS"],
            &["x-forwarded-proto: Wss, http"],
            &["Forwarded: proto=https"],
            &["Forwarded: for=\"[2001:db8::1]:4711\";Proto=HTTPS;by=a, for=b;proto=http"],
            &["Forwarded: proto=\"Https\"", TLS],
        ] {
            assert!(IN.contains(&verdict(tls, tls)), "{way:?} {tls:?}");
        }
        for plain in [
            &[][..],
            &["X-Forwarded-Proto: http"],
            &["X-Forwarded-Proto: HTTP, https"],
            &["Forwarded: proto=http"],
            &["Forwarded: for=\"x;proto=https\""],
            &["Forwarded: proto=HTTPS", "X-Forwarded-Proto: http"],
        ] {
            assert_eq!(verdict(plain, plain), PLAIN, "{way:?} {plain:?}");
        }
        if is_session(&way) {
            assert_eq!(verdict(&[TLS], &[]), PLAIN, "the first message came without: {way:?}");
            assert_eq!(verdict(&[], &[TLS]), PLAIN, "it was begun without: {way:?}");
            let mut late = Try::new(&target, way);
            assert!(IN.contains(&late.begin(&[TLS], &[TLS], &words)), "{way:?}");
            late.send(r#"{"event":"pusher:ping"}"#, &[]);
            assert_ended(late, &[TLS], PLAIN);
        }
    }
}

/// What a proxy would say of TLS is believed of nobody where no proxy is trusted, whatever it is spelled like.
///
/// Proves: bad input.
#[test]
fn nobody_is_believed_without_a_trusted_proxy() {
    let Some(target) = broker("", "force_tls = true") else { return };
    let words = [&IN[..], &[PLAIN]].concat();
    for way in WAYS.into_iter().chain([Way::Pipe]) {
        for told in [TLS, "X-Forwarded-Proto: HTTPS", "Forwarded: proto=HTTPS"] {
            let verdict = Try::new(&target, way).begin(&[told], &[told], &words);
            assert_eq!(verdict, PLAIN, "{way:?} {told}");
        }
    }
}

/// Where connections have to authorize themselves, a stream has to be signed, because it has no other way; and none that
/// has shown nothing takes the place of one that has.
///
/// Proves: 160, bad input.
#[test]
fn who_shows_nothing_of_itself_takes_no_place() {
    let settings =
        "authorized_connections = true\nauthorization_timeout_seconds = 1\nlimits = { connections = 1 }";
    let Some(target) = broker("", settings) else { return };
    let words = [UNAUTHORIZED, UNSIGNED];
    let (target, words) = (&target, &words[..]);
    std::thread::scope(|scope| {
        for way in WAYS {
            let expected = if matches!(way, Way::Stream(_)) { UNSIGNED } else { UNAUTHORIZED };
            scope.spawn(move || {
                assert_eq!(Try::new(target, way).begin(&[], &[], words), expected, "{way:?}");
            });
        }
    });
    let mut crowd: Vec<Try<'_>> = WAYS.into_iter().map(|way| Try::new(target, way)).collect();
    for one in &mut crowd {
        one.begin(&[], &[], &[&IN[..], words].concat());
    }
    let signed = || {
        let request = target.get("/channels/news/sse").bytes();
        let mut stream = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.write_all(&request).unwrap();
        stream
    };
    let mut stream = Try::new(target, Way::Stream("sse"));
    let (first, second) = (signed(), [&IN[..], &["over quota"]].concat());
    assert_eq!(stream.hear(first, &second), Ok(IN[1]), "there is one place, and nobody has taken it");
    assert_eq!(stream.hear(signed(), &second), Ok("over quota"), "it is taken");
}
