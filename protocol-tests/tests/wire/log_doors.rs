//! Every door by which something from outside may come into the log: nobody can end a line there, steer the terminal of who
//! reads it, turn the direction of reading, or make a line long. A broker's own concern.

use std::cell::OnceCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use heliostat_protocol_tests::frame::{BINARY, CLOSE, FIN, PING, close_payload};
use heliostat_protocol_tests::http::percent_encoded;
use heliostat_protocol_tests::signature::user_auth;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Pipe, Socket, Target, Wire, patience, unique};
use serde_json::{Value, json};

use crate::eventually;

/// Characters of a line at most (docs/operations.md).
const LINE_CHARS: usize = 4000;

/// Doors that one broker is asked at: a place in the program may log a hundred lines at once.
const DOORS_OF_A_BROKER: usize = 4;

/// A broker, and who stands around it.
struct House {
    target: Target,
    arguments: [&'static str; 4],
    /// What the endpoint of its webhooks answers.
    answer: Arc<Mutex<Vec<u8>>>,
    /// Another broker, which serves TLS.
    tls: OnceCell<Target>,
}

/// A way in: whether what comes by it is logged, and how to come by it.
struct Door {
    name: &'static str,
    is_told: bool,
    knock: fn(&House, &str),
}

const fn told(name: &'static str, knock: fn(&House, &str)) -> Door {
    Door { name, is_told: true, knock }
}

const fn untold(name: &'static str, knock: fn(&House, &str)) -> Door {
    Door { name, is_told: false, knock }
}

/// What is brought to each door, behind a word that tells which it was.
fn values(word: &str) -> Vec<String> {
    let nasty = [
        "\n2026-01-01T00:00:00Z ERROR forged",
        "\r\n",
        "\u{1b}[2J\u{1b}[31m",
        "\u{9b}31m\u{7f}\0",
        "\u{2028}2026-01-01T00:00:00Z ERROR forged\u{2029}",
        "\u{202e}\u{2066}\u{feff}",
    ];
    let mut values: Vec<String> = nasty.iter().map(|nasty| format!("{word}{nasty}x")).collect();
    values.push(format!("{word}{}", "y".repeat(60_000)));
    values.push(format!("{word}{}", "\u{1b}\u{2028}\"\\".repeat(2500)));
    values
}

/// Whether a character would not be seen as itself.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What is wrong with a line of the log, if anything.
fn fault(line: &str, format: &str) -> Option<String> {
    let shown: String = line.chars().take(300).collect();
    if let Some(c) = line.chars().find(|c| is_hidden(*c)) {
        return Some(format!("holds {c:?}: {shown:?}"));
    }
    let chars = line.chars().count();
    if chars > LINE_CHARS {
        return Some(format!("has {chars} characters: {shown}"));
    }
    let is_whole = match format {
        "json" => serde_json::from_str::<Value>(line).is_ok_and(|line| line["timestamp"].is_string()),
        _ => line.as_bytes().get(10) == Some(&b'T') && !line.starts_with("2026-01-01T00:00:00Z"),
    };
    (!is_whole).then(|| format!("is no line of the log: {shown}"))
}

impl House {
    fn build(format: &'static str) -> Option<House> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec()));
        let given = Arc::clone(&answer);
        // It ends with the process.
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let given = Arc::clone(&given);
                thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let answer = given.lock().unwrap().clone();
                    let _ = stream.write_all(&answer);
                });
            }
        });
        let arguments = ["--log-format", format, "--log-level", "trace"];
        let config = format!(
            "[fallback]\nintroduction_timeout_seconds = 0.2\n[development]\nauth_endpoints = true\npages = true\n\
             {}\n[[apps.webhooks]]\nurl = \"{url}\"\n",
            MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true")
        );
        let target = Target::own_with(Some(&config), &arguments, &[])?;
        Some(House { target, arguments, answer, tls: OnceCell::new() })
    }

    fn log(&self) -> String {
        let mut log = self.target.broker().unwrap().log();
        if let Some(tls) = self.tls.get() {
            log += &tls.broker().unwrap().log();
        }
        log
    }

    fn tls(&self) -> &Target {
        self.tls.get_or_init(|| {
            let file = std::env::temp_dir().join(format!("{}.pem", unique("protocol-tests-")));
            std::fs::write(&file, include_str!("certificate.pem")).unwrap();
            let config = format!("[server]\ntls_certificate = {file:?}\ntls_key = {file:?}\n{MAIN_APP}");
            let target = Target::own_with(Some(&config), &self.arguments, &[]);
            let _ = std::fs::remove_file(&file);
            target.expect("there is another broker already")
        })
    }

    /// Sends bytes and waits until something is answered, or the connection ends.
    fn ask(&self, bytes: impl AsRef<[u8]>) {
        ask(&self.target, bytes.as_ref());
    }

    fn get(&self, path: &str, header: &str) {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n"));
    }

    /// Asks for a WebSocket, and waits for what comes after it: the greeting or the refusal.
    fn upgrade(&self, path: &str, header: &str) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
        );
        self.ask(request);
    }

    /// A client that says something, and whatever it is answered.
    fn say(&self, message: &Value) {
        self.say_text(&message.to_string());
    }

    fn say_text(&self, text: &str) {
        self.converse(|socket| socket.send_text(text));
    }

    fn converse(&self, conversation: impl FnOnce(&mut Socket)) {
        let mut socket = self.target.connect();
        conversation(&mut socket);
        // Whoever has been closed already is answered nothing more.
        let _ = socket.try_send_together([r#"{"event":"pusher:ping"}"#], patience());
        loop {
            match socket.receive() {
                Incoming::Message(message) if message.event == "pusher:pong" => return,
                Incoming::Close(_) | Incoming::End => return,
                _ => {}
            }
        }
    }

    /// A backend on the wire of the pipe that says something.
    fn demand(&self, text: &str) {
        let mut pipe = Pipe::connect_as(&self.target, Some("1.0"));
        pipe.send_text(text);
        let _ = pipe.receive();
    }

    /// Posts to a session.
    fn post(&self, path: &str, body: &str) {
        self.ask(heliostat_protocol_tests::transport::post(&self.target, path, body, &["Connection: close"]));
    }

    /// Has an endpoint answer so to the webhook of a channel that gets its first subscriber.
    fn deliver(&self, answer: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = answer.into();
        let channel = unique("room-");
        self.converse(|socket| socket.subscribe(&channel));
    }
}

/// A header of a request that is refused, and of an upgrade that is.
fn header(house: &House, name: &str, value: &str) {
    house.get("/nowhere", &format!("{name}: {value}\r\n"));
    house.upgrade("/app/nobody", &format!("{name}: {value}\r\n"));
}

/// A client that says this of itself, and is then refused something.
fn introduced(house: &House, parameter: &str, value: &str) {
    let query = format!("protocol=7&{parameter}={}", percent_encoded(value));
    let mut socket = house.target.connect_as(&query);
    socket.send(&json!({ "event": "client-x", "channel": "news", "data": 1 }));
    socket.expect("pusher:error");
}

fn ask(target: &Target, bytes: &[u8]) {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 1024]);
}

/// A client's first words in TLS, to a host of this name.
fn client_hello(host: &str) -> Vec<u8> {
    let sized = |bytes: &[u8], width: usize| -> Vec<u8> {
        let length = (bytes.len() as u32).to_be_bytes();
        [&length[4 - width..], bytes].concat()
    };
    let name = [&[0][..], &sized(host.as_bytes(), 2)].concat();
    let server_name = [&[0, 0][..], &sized(&sized(&name, 2), 2)].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &sized(&[0xc0, 0x2b, 0xc0, 0x2f], 2), &[1, 0], &sized(&server_name, 2)];
    let hello = [&[1][..], &sized(&body.concat(), 3)].concat();
    let records = hello.chunks(16_000).map(|piece| [&[0x16, 3, 1][..], &sized(piece, 2)].concat());
    records.collect::<Vec<_>>().concat()
}

/// One of the short values alone fits into what is signed or framed in a bounded way.
fn short(value: &str) -> String {
    value.chars().take(40).collect()
}

const DOORS: &[Door] = &[
    told("a path", |house, value| house.get(&format!("/{}", percent_encoded(value)), "")),
    told("a path, as it is", |house, value| house.get(&format!("/{value}"), "")),
    told("a path of the fallbacks", |house, value| {
        house.get(&format!("/pusher/{}", percent_encoded(value)), "");
    }),
    told("a method", |house, value| house.ask(format!("{value} / HTTP/1.1\r\nHost: localhost\r\n\r\n"))),
    untold("no request at all", |house, value| house.ask(format!("{value}\r\n\r\n"))),
    told("an app's key", |house, value| house.upgrade(&format!("/app/{}", percent_encoded(value)), "")),
    told("a path of an upgrade", |house, value| house.upgrade(&format!("/{}", percent_encoded(value)), "")),
    told("a protocol", |house, value| {
        house.upgrade(&format!("/app/app-key?protocol={}", percent_encoded(value)), "");
    }),
    told("a client library, refused", |house, value| {
        house.upgrade(&format!("/app/nobody?client={}", percent_encoded(value)), "");
    }),
    told("a client library's version, refused", |house, value| {
        house.upgrade(&format!("/app/nobody?client=x&version={}", percent_encoded(value)), "");
    }),
    told("a channel in the URL, refused", |house, value| {
        house.upgrade(&format!("/app/nobody?channel={}", percent_encoded(value)), "");
    }),
    told("a client library", |house, value| introduced(house, "client", value)),
    told("a client library's version", |house, value| introduced(house, "version", value)),
    told("a channel in the URL", |house, value| {
        house.upgrade(&format!("/app/app-key?channel={}", percent_encoded(value)), "");
    }),
    told("the header Origin", |house, value| header(house, "Origin", value)),
    told("the header Referer", |house, value| header(house, "Referer", &format!("http://{value}/"))),
    untold("the header Host", |house, value| {
        house.ask(format!("GET /nowhere HTTP/1.1\r\nHost: {value}\r\n\r\n"));
    }),
    untold("the header User-Agent", |house, value| header(house, "User-Agent", value)),
    untold("the header Forwarded", |house, value| header(house, "Forwarded", &format!("for={value}"))),
    untold("the header X-Forwarded-For", |house, value| header(house, "X-Forwarded-For", value)),
    untold("the header Expect", |house, value| header(house, "Expect", value)),
    untold("the header Content-Length", |house, value| header(house, "Content-Length", value)),
    untold("the header Transfer-Encoding", |house, value| header(house, "Transfer-Encoding", value)),
    untold("the header Sec-WebSocket-Protocol", |house, value| {
        header(house, "Sec-WebSocket-Protocol", value);
    }),
    untold("a header of any name", |house, value| header(house, value, "x")),
    untold("the key of a request", |house, value| {
        house.get(&format!("/apps/1001/channels?auth_key={}", percent_encoded(value)), "");
    }),
    untold("the version of a signature", |house, value| {
        let request = house.target.get("/channels").auth("auth_version", value);
        house.ask(request.bytes());
    }),
    told("the time of a signature", |house, value| {
        house.ask(house.target.get("/channels").auth("auth_timestamp", value).bytes());
    }),
    told("a signature", |house, value| {
        house.ask(house.target.get("/channels").auth("auth_signature", value).bytes());
    }),
    told("an app's id", |house, value| {
        house.ask(house.target.get("/channels").auth("x", value).bytes());
        house.get(&format!("/apps/{}/channels", percent_encoded(value)), "");
    }),
    told("a channel of a request", |house, value| {
        house.ask(house.target.get(&format!("/channels/{}", percent_encoded(&short(value)))).bytes());
    }),
    told("a channel of a published event", |house, value| {
        let event = json!({ "name": "x", "channel": value, "data": "x" });
        house.ask(house.target.post("/events", &event).bytes());
    }),
    told("the name of a published event", |house, value| {
        let event = json!({ "name": short(value), "channel": "news", "data": "x" });
        house.ask(house.target.post("/events", &event).bytes());
    }),
    told("the socket that a published event is not for", |house, value| {
        let event = json!({ "name": "x", "channel": "news", "data": "x", "socket_id": value });
        house.ask(house.target.post("/events", &event).bytes());
    }),
    told("what a publisher wants to know", |house, value| {
        let event = json!({ "name": "x", "channel": "news", "data": "x", "info": value });
        house.ask(house.target.post("/events", &event).bytes());
    }),
    untold("a body that is no JSON", |house, value| {
        house.ask(house.target.post_bytes("/events", value).bytes());
    }),
    told("a channel's stream", |house, value| {
        house.get(&format!("/apps/1001/channels/{}/sse", percent_encoded(&short(value))), "");
    }),
    told("the name of a user", |house, value| {
        let path = format!("/users/{}/terminate_connections", percent_encoded(&short(value)));
        house.ask(house.target.post(&path, &json!({})).auth("auth_signature", "x").bytes());
    }),
    told("what asks for a signature in development", |house, value| {
        let body = format!("socket_id=1.2&channel_name={}", percent_encoded(value));
        house.ask(format!(
            "POST /dev/auth HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }),
    told("what a client says", |house, value| house.say_text(value)),
    told("the name of an event", |house, value| house.say(&json!({ "event": value }))),
    told("the channel of a subscription", |house, value| {
        house.say(&json!({ "event": "pusher:subscribe", "data": { "channel": value } }));
    }),
    told("the signature of a subscription", |house, value| {
        let auth = format!("{value}:x");
        house.say(&json!({ "event": "pusher:subscribe", "data": { "channel": "private-a", "auth": auth } }));
    }),
    told("a member", |house, value| {
        house.converse(|socket| {
            let member = json!({ "user_id": value, "user_info": value }).to_string();
            socket.join("presence-a", &member);
        });
    }),
    told("a user", |house, value| {
        house.converse(|socket| {
            let user_data = json!({ "id": value, "watchlist": [value] }).to_string();
            let auth = user_auth(&socket.app, &socket.id, &user_data);
            socket
                .send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": user_data } }));
        });
    }),
    told("a client's event", |house, value| {
        let event = format!("client-{}", short(value));
        house.converse(|socket| {
            socket.subscribe_private("private-a");
            socket.trigger("private-a", &event, &json!(value));
        });
    }),
    untold("the reason of a client's close", |house, value| {
        house.converse(|socket| {
            let reason: String = value.chars().take(60).collect();
            let reason = reason.trim_end_matches(|c: char| !c.is_ascii());
            socket
                .send_frame(FIN | CLOSE, &close_payload(4999, &reason.chars().take(30).collect::<String>()));
        });
    }),
    untold("a ping", |house, value| {
        house.converse(|socket| socket.send_frame(FIN | PING, short(value).as_bytes()));
    }),
    untold("a binary message", |house, value| {
        house.converse(|socket| socket.send_frame(FIN | BINARY, value.as_bytes()));
    }),
    told("a SockJS client's first message", |house, value| {
        let mut wire = Wire::upgrade(&house.target, "/pusher/websocket", &[]);
        wire.send_text(value);
        let _ = wire.receive();
    }),
    told("the path that a SockJS client names", |house, value| {
        let mut wire = Wire::upgrade(&house.target, "/pusher/websocket", &[]);
        wire.send_text(
            &json!({ "path": format!("/app/{value}?client={value}&version={value}") }).to_string(),
        );
        let _ = wire.receive();
    }),
    told("a session's first message", |house, value| {
        let id = unique("s");
        house.post(&format!("/pusher/000/{id}/xhr"), "");
        house.post(&format!("/pusher/000/{id}/xhr_send"), &json!([value]).to_string());
        house.post(&format!("/pusher/000/{id}/xhr"), "");
    }),
    told("the name of a session", |house, value| {
        let path = format!("/pusher/000/{}/xhr", percent_encoded(&short(value)));
        house.post(&path, "");
        // Its time to name an app ends while this one waits.
        house.post(&path, "");
    }),
    untold("the callback of a script", |house, value| {
        house.get(&format!("/pusher/000/{}/jsonp?c={}", unique("s"), percent_encoded(value)), "");
    }),
    told("the path of a pipe", |house, value| {
        house.upgrade(&format!("/app/{}?auth_key=x&auth_signature=x", percent_encoded(value)), "");
    }),
    untold("the key of a pipe", |house, value| {
        house.upgrade(&format!("/app/1001?auth_signature=x&auth_key={}", percent_encoded(value)), "");
    }),
    untold("the signature of a pipe", |house, value| {
        house.upgrade(&format!("/app/1001?auth_key=app-key&auth_signature={}", percent_encoded(value)), "");
    }),
    told("the version of a pipe", |house, value| {
        house.upgrade(&Pipe::path(&house.target, Some(&percent_encoded(value))), "");
    }),
    told("what a pipe says", |house, value| house.demand(value)),
    told("what a pipe asks for", |house, value| {
        house.demand(&json!({ "id": short(value), "method": value }).to_string());
        let params = json!({ "channel": value, "event": value, "data": value, "socket_id": value });
        house.demand(&json!({ "id": 1, "method": "send_to_channel", "params": params }).to_string());
        let params = json!({ "events": [value], "group": { "name": value, "by": value } });
        house.demand(&json!({ "id": 1, "method": "subscribe", "params": params }).to_string());
    }),
    untold("the reason phrase of a webhook's endpoint", |house, value| {
        house.deliver(format!("HTTP/1.1 500 {value}\r\nContent-Length: 0\r\n\r\n"));
    }),
    untold("the body of a webhook's endpoint", |house, value| {
        let length = value.len();
        house.deliver(format!("HTTP/1.1 500 No\r\nContent-Length: {length}\r\n\r\n{value}"));
    }),
    untold("a header of a webhook's endpoint", |house, value| {
        house.deliver(format!(
            "HTTP/1.1 301 No\r\nLocation: {value}\r\n{value}: x\r\nContent-Length: 0\r\n\r\n"
        ));
    }),
    untold("what is no answer of a webhook's endpoint", |house, value| house.deliver(value)),
    untold("the control socket", |house, value| {
        let path: PathBuf = house.target.broker().unwrap().config().with_extension("sock");
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let _ = stream.write_all(format!("{value}\n").as_bytes());
        let _ = stream.read(&mut [0; 1024]);
    }),
    untold("TLS where none is spoken", |house, value| house.ask(client_hello(value))),
    untold("the name of a host in TLS", |house, value| ask(house.tls(), &client_hello(value))),
    untold("what is no TLS", |house, value| ask(house.tls(), value.as_bytes())),
];

/// Brings everything to a door, and returns what is wrong with the lines that came of it.
fn try_door(house: &House, door: &Door, number: usize, format: &str) -> Vec<String> {
    let word = format!("word{number}x");
    for value in values(&word) {
        (door.knock)(house, &value);
    }
    let end = |number: usize| format!("/end-{number}-");
    house.get(&end(number), "");
    eventually("the end of it is logged", || house.log().contains(&end(number)).then_some(()));
    let deadline = Instant::now() + patience();
    while door.is_told && !house.log().contains(&word) && Instant::now() < deadline {
        thread::yield_now();
    }
    let log = house.log();
    let mut faults = Vec::new();
    if door.is_told != log.contains(&word) {
        faults.push(format!("is not told as the table says, but told: {}", !door.is_told));
    }
    // The lines since the door before.
    let before = number.checked_sub(1).and_then(|before| log.rfind(&end(before)));
    let lines = log[before.unwrap_or_default()..].lines().skip(usize::from(before.is_some()));
    let lines = lines.filter(|line| !line.trim().is_empty());
    // The harness shows each line behind four spaces.
    faults.extend(lines.filter_map(|line| fault(line.strip_prefix("    ").unwrap_or(line), format)));
    faults
}

/// Whatever comes by whatever door: the log stays the broker's own.
#[test]
fn nobody_can_write_in_the_log_by_any_door() {
    for format in ["human", "json"] {
        let mut faults = Vec::new();
        for (chunk, doors) in DOORS.chunks(DOORS_OF_A_BROKER).enumerate() {
            let Some(house) = House::build(format) else { return };
            for (n, door) in doors.iter().enumerate() {
                let found = try_door(&house, door, chunk * DOORS_OF_A_BROKER + n, format);
                if let Some(first) = found.first() {
                    faults.push(format!("{}: {} faults, such as that it {first}", door.name, found.len()));
                }
            }
        }
        assert!(faults.is_empty(), "{format}:\n{}", faults.join("\n"));
    }
}
