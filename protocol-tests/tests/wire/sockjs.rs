//! SockJS 0.3, after the statements of its public protocol tests: pages, sessions, each kind of request that receives,
//! and WebSockets.

use heliostat_protocol_tests::http::{Connection, Response, Stream};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::{post, session_id};
use heliostat_protocol_tests::{Incoming, Socket, Target, Transport, Wire, unique};
use serde_json::{Value, json};

use crate::fallback_native::{message, until};

const SCRIPT: &str = "application/javascript; charset=UTF-8";

/// One session of SockJS.
struct Session<'t> {
    target: &'t Target,
    base: String,
}

impl<'t> Session<'t> {
    fn new(target: &'t Target) -> Self {
        Session { target, base: format!("{}/pusher/000/{}", target.path_prefix, session_id()) }
    }

    fn post(&self, wish: &str, body: &str) -> Response {
        ask(self.target, &post(self.target, &format!("{}/{wish}", self.base), body, &[]))
    }

    fn send(&self, messages: &[&str]) {
        let answer = self.post("xhr_send", &json!(messages).to_string());
        assert_eq!((answer.status, answer.text()), (204, ""), "{answer}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    }

    /// Opens the session by a poll, and names the app.
    fn established(target: &'t Target) -> Self {
        let session = Session::new(target);
        assert_eq!(session.post("xhr", "").text(), "o\n");
        session.send(&[&introduction(target)]);
        assert_eq!(message(session.post("xhr", "").text().trim_end()).event, "pusher:connection_established");
        session
    }
}

fn introduction(target: &Target) -> String {
    json!({ "path": target.socket_path("protocol=7&client=js&version=8.4.0") }).to_string()
}

fn ask(target: &Target, request: &[u8]) -> Response {
    let mut connection = Connection::open(target);
    connection.send(request);
    connection.answer()
}

fn get_request(target: &Target, path: &str, headers: &[&str]) -> Vec<u8> {
    request(target, "GET", path, headers)
}

fn request(target: &Target, method: &str, path: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", target.host).into_bytes()
}

fn get(target: &Target, path: &str) -> Response {
    ask(target, &get_request(target, &format!("{}{path}", target.path_prefix), &[]))
}

#[track_caller]
fn assert_uncached(answer: &Response) {
    assert!(answer.header("cache-control").is_some_and(|c| c.contains("no-store") && c.contains("no-cache")));
    assert_eq!((answer.header("expires"), answer.header("last-modified")), (None, None));
}

#[track_caller]
fn assert_cors(answer: &Response, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
}

/// The base path says hello to people; what is beside it is not found.
///
/// Proves: 239.
#[test]
fn the_base_path_greets() {
    let target = Target::main();
    for path in ["/pusher", "/pusher/"] {
        let answer = get(&target, path);
        assert_eq!((answer.status, answer.text()), (200, "Welcome to SockJS!\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(answer.header("set-cookie"), None);
    }
    for path in ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/info/"] {
        assert_eq!(get(&target, &format!("/pusher{path}")).status, 404, "{path}");
    }
    assert_eq!(get(&target, "/pusherx").status, 404);
}

/// What a client asks for first: what the server can do, and a number that is another each time.
///
/// Proves: 239.
#[test]
fn info_tells_what_sockjs_asks_for() {
    let target = Target::main();
    let path = format!("{}/pusher/info", target.path_prefix);
    let mut numbers = std::collections::HashSet::new();
    for origin in ["https://page.example", "http://localhost:3000"] {
        let answer = ask(&target, &get_request(&target, &path, &[&format!("Origin: {origin}")]));
        assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
        assert_uncached(&answer);
        assert_cors(&answer, origin);
        let info = answer.json();
        assert_eq!((&info["websocket"], &info["cookie_needed"]), (&json!(true), &json!(false)));
        assert_eq!(info["origins"], json!(["*:*"]));
        assert!(numbers.insert(info["entropy"].as_u64().expect("a whole number")));
    }
    assert_cors(&ask(&target, &get_request(&target, &path, &["Origin: null"])), "*");
    let answer = ask(&target, &request(&target, "OPTIONS", &path, &["Origin: https://page.example"]));
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(answer.header("access-control-allow-methods"), Some("OPTIONS, GET"));
    assert!(answer.header("cache-control").is_some_and(|c| c.contains("public") && c.contains("max-age=")));
    assert!(answer.header("expires").is_some());
    assert_cors(&answer, "https://page.example");
}

/// The page for hidden frames is the same for every version, may be kept for long, and loads no stranger's script.
///
/// Proves: 239.
#[test]
fn the_iframe_page_may_be_kept_and_loads_one_script() {
    let target = Target::main();
    let pages =
        ["iframe.html", "iframe-a.html", "iframe-.html", "iframe-0.1.2.html", "iframe-0.3.4.html?t=x&y"];
    let first = get(&target, "/pusher/iframe.html");
    assert_eq!(first.header("content-type"), Some("text/html; charset=UTF-8"));
    assert!(first.text().contains("SockJS.bootstrap_iframe();"), "{first}");
    assert!(first.header("cache-control").is_some_and(|c| c.contains("public") && c.contains("max-age=")));
    assert!(first.header("expires").is_some() && first.header("set-cookie").is_none());
    for page in pages {
        let answer = get(&target, &format!("/pusher/{page}"));
        assert_eq!((answer.status, answer.text()), (200, first.text()), "{page}");
        let tag = format!("If-None-Match: {}", answer.header("etag").unwrap());
        let path = format!("{}/pusher/{page}", target.path_prefix);
        let again = ask(&target, &get_request(&target, &path, &[&tag]));
        assert_eq!((again.status, again.text(), again.header("content-type")), (304, "", None));
    }
    for none in ["iframe.htm", "iframe", "IFRAME.HTML", "iframe.HTML", "iframe.xml", "iframe-/.html"] {
        assert_eq!(get(&target, &format!("/pusher/{none}")).status, 404, "{none}");
    }
    let own = "https://js.pusher.com/2.2.4/sockjs.min.js";
    let named = get(&target, &format!("/pusher/iframe.html?js_path={own}"));
    assert!(named.text().contains(&format!("src=\"{own}\"")), "{named}");
    for foreign in
        ["https://evil.example/x.js", "%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "javascript:alert(1)"]
    {
        let page = get(&target, &format!("/pusher/iframe.html?js_path={foreign}"));
        assert_eq!(page.text(), first.text(), "{foreign}");
    }
}

/// A session is found by its id alone, whatever the server's number says, and ids are taken to the letter.
///
/// Proves: 231, 240.
#[test]
fn a_session_is_found_by_its_id() {
    let target = Target::main();
    let id = session_id();
    let at = |server: &str, id: &str, wish: &str, body: &str| {
        ask(
            &target,
            &post(&target, &format!("{}/pusher/{server}/{id}/{wish}", target.path_prefix), body, &[]),
        )
    };
    assert_eq!(at("000", &id, "xhr", "").text(), "o\n");
    let introduction = json!([introduction(&target)]).to_string();
    assert_eq!(at("999", &id, "xhr_send", &introduction).status, 204);
    assert_eq!(message(at("abc", &id, "xhr", "").text().trim_end()).event, "pusher:connection_established");
    assert_eq!(
        at("000", &id.to_uppercase().replace(char::is_numeric, "_"), "xhr_send", "[\"x\"]").status,
        404
    );
    for odd in ["_", "1", "abcdefgh_i-j%20"] {
        assert_eq!(at(odd, &format!("{odd}{}", session_id()), "xhr", "").text(), "o\n");
    }
    for none in ["a./a", "a/a.", "./.", "/", "a/", "/a"] {
        for wish in ["xhr", "xhr_send", "xhr_streaming"] {
            let path = format!("{}/pusher/{none}/{wish}", target.path_prefix);
            assert_eq!(ask(&target, &post(&target, &path, "", &[])).status, 404, "{path}");
        }
    }
}

/// Polls: each answer is one frame and a line feed. Sending is answered 204, whatever the content type.
///
/// Proves: 234, 240, 241, 242.
#[test]
fn xhr_polls_hold_one_frame_each() {
    let target = Target::main();
    let session = Session::new(&target);
    let path = format!("{}/xhr", session.base);
    let opened = ask(&target, &post(&target, &path, "", &["Origin: https://page.example"]));
    assert_eq!((opened.status, opened.text(), opened.header("content-type")), (200, "o\n", Some(SCRIPT)));
    assert_cors(&opened, "https://page.example");
    assert_uncached(&opened);
    session.send(&[&introduction(&target)]);
    assert_eq!(message(session.post("xhr", "").text().trim_end()).event, "pusher:connection_established");
    for content_type in
        ["text/plain", "T", "application/xml", "", "application/json; charset=utf-8", "text/xml"]
    {
        let body = json!([r#"{"event":"pusher:ping"}"#]).to_string();
        let send = format!(
            "POST {}/xhr_send HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            session.base,
            body.len()
        );
        assert_eq!(ask(&target, send.as_bytes()).status, 204, "{content_type}");
        assert_eq!(message(session.post("xhr", "").text().trim_end()).event, "pusher:pong");
    }
    let asked = ["Origin: https://page.example", "Access-Control-Request-Headers: a, b, c"];
    for wish in ["xhr", "xhr_send", "xhr_streaming"] {
        let answer = ask(&target, &request(&target, "OPTIONS", &format!("{}/{wish}", session.base), &asked));
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-methods"), Some("OPTIONS, POST"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("a, b, c"));
    }
}

/// Streaming: two kilobytes that make browsers begin to read, then a frame per line. After so many bytes the stream
/// ends, and another goes on without a second `o`.
///
/// Proves: 231, 240, 242.
#[test]
fn xhr_streams_end_after_so_many_bytes_and_go_on() {
    let Some(target) = Target::own(&format!("[fallback]\nsockjs_stream_bytes = 4096\n{MAIN_APP}")) else {
        return;
    };
    let session = Session::new(&target);
    let open = || Stream::open(&target, &post(&target, &format!("{}/xhr_streaming", session.base), "", &[]));
    let mut stream = open();
    assert_eq!(stream.head.header("content-type"), Some(SCRIPT));
    assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
    stream.expect_line(&"h".repeat(2048));
    stream.expect_line("o");
    session.send(&[&introduction(&target)]);
    until(&mut stream, "pusher:connection_established");
    let channel = unique("room-");
    session.send(&[&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string()]);
    until(&mut stream, "pusher_internal:subscription_succeeded");
    target.publish(&channel, "much", &"x".repeat(5000));
    assert_eq!(message(stream.rest().trim_end()).event, "much");
    target.publish(&channel, "more", "1");
    stream = open();
    stream.expect_line(&"h".repeat(2048));
    assert_eq!(message(&stream.line()).event, "more");
}

/// Server-sent events.
///
/// Proves: 240, 242.
#[test]
fn an_event_source_receives() {
    let target = Target::main();
    let session = Session::new(&target);
    let mut stream =
        Stream::open(&target, &get_request(&target, &format!("{}/eventsource", session.base), &[]));
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream; charset=UTF-8"));
    assert_uncached(&stream.head);
    assert_eq!(stream.up_to("\r\n").as_deref(), Some(""));
    assert_eq!(stream.up_to("\r\n\r\n").as_deref(), Some("data: o"));
    session.send(&[&introduction(&target)]);
    let event = stream.up_to("\r\n\r\n").unwrap();
    assert_eq!(message(event.strip_prefix("data: ").unwrap()).event, "pusher:connection_established");
}

/// A page that grows; nothing that is said can break out of its scripts.
///
/// Proves: 240, 242.
#[test]
fn an_html_file_receives() {
    let target = Target::main();
    let session = Session::new(&target);
    let path = format!("{}/htmlfile?c=%63allback", session.base);
    let mut stream = Stream::open(&target, &get_request(&target, &path, &[]));
    assert_eq!(stream.head.header("content-type"), Some("text/html; charset=UTF-8"));
    assert_uncached(&stream.head);
    let head = stream.up_to("\r\n\r\n").unwrap();
    assert!(head.len() > 1024 && head.contains("var c = parent.callback;"), "{head}");
    let mut frame = || {
        let script = stream.up_to("</script>\r\n").unwrap();
        let literal = script.strip_prefix("<script>\np(").unwrap().strip_suffix(");\n").unwrap();
        serde_json::from_str::<String>(literal).unwrap()
    };
    assert_eq!(frame(), "o");
    session.send(&[&introduction(&target)]);
    assert_eq!(message(&frame()).event, "pusher:connection_established");
    let channel = unique("room-");
    session.send(&[&json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string()]);
    assert_eq!(message(&frame()).event, "pusher_internal:subscription_succeeded");
    let nasty = "</script><script>alert(1)</script><!--\u{2028}\u{200d}";
    target.publish(&channel, "nasty", nasty);
    assert_eq!(message(&frame()).data, json!(nasty));
}

/// Scripts that call back, one frame each, and forms that send.
///
/// Proves: 234, 240, 242.
#[test]
fn jsonp_receives_and_sends() {
    let target = Target::main();
    let session = Session::new(&target);
    let poll = || {
        let answer = get(&target, &format!("{}/jsonp?c=_jp.a1b2", &session.base[target.path_prefix.len()..]));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(SCRIPT)), "{answer}");
        assert_uncached(&answer);
        let script = answer.text().to_owned();
        let literal = script.strip_prefix("/**/_jp.a1b2(").unwrap().strip_suffix(");\r\n").unwrap();
        serde_json::from_str::<String>(literal).unwrap()
    };
    let send = |content_type: &str, body: &str| {
        let request = format!(
            "POST {}/jsonp_send HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            session.base,
            body.len()
        );
        ask(&target, request.as_bytes())
    };
    assert_eq!(poll(), "o");
    let form = "application/x-www-form-urlencoded";
    let encode = heliostat_protocol_tests::http::percent_encoded;
    let sent = send(form, &format!("d={}", encode(&json!([introduction(&target)]).to_string())));
    assert_eq!((sent.status, sent.text()), (200, "ok"));
    assert_eq!(message(&poll()).event, "pusher:connection_established");
    let sent = send("text/plain", &json!([r#"{"event":"pusher:ping"}"#]).to_string());
    assert_eq!((sent.status, sent.text()), (200, "ok"));
    assert_eq!(message(&poll()).event, "pusher:pong");
    for (content_type, body, words) in [
        (form, "", "Payload expected."),
        (form, "d=", "Payload expected."),
        (form, "p=p", "Payload expected."),
        (form, "d=p", "Broken JSON encoding."),
        ("text/plain", "", "Payload expected."),
        ("text/plain", "[\"x", "Broken JSON encoding."),
    ] {
        send(content_type, body).assert_error(500, words);
    }
}

/// A name that is to be called is a name: anything that could be more is refused.
///
/// Proves: bad input.
#[test]
fn callbacks_are_names_and_nothing_else() {
    let target = Target::main();
    let base = Session::new(&target).base;
    let base = &base[target.path_prefix.len()..];
    for wish in ["jsonp", "htmlfile"] {
        get(&target, &format!("{base}/{wish}")).assert_error(500, "\"callback\" parameter required");
        for bad in ["%20", "abc(", "alert(1)//", "a%0a", "%3Cscript%3E", "a;b", "%00", "a%27b", "%e2%80%a8"] {
            let answer = get(&target, &format!("{base}/{wish}?c={bad}"));
            answer.assert_error(500, "invalid \"callback\" parameter");
        }
    }
}

/// Nothing but heartbeats comes before the client has named its app. Whoever says something else, or nothing, is told
/// what was expected.
///
/// Proves: 32, 240, 241.
#[test]
fn the_first_message_names_the_app() {
    let Some(target) = Target::own(&format!(
        "[fallback]\nheartbeat_seconds = 0.1\npoll_hold_seconds = 0.1\nintroduction_timeout_seconds = 0.6\n{MAIN_APP}"
    )) else {
        return;
    };
    let session = Session::new(&target);
    let mut stream =
        Stream::open(&target, &post(&target, &format!("{}/xhr_streaming", session.base), "", &[]));
    stream.expect_line(&"h".repeat(2048));
    stream.expect_line("o");
    stream.expect_line("h");
    let rest = stream.rest();
    let (heartbeats, close) = rest.split_at(rest.find('c').unwrap());
    assert!(heartbeats.lines().all(|line| line == "h") && close.starts_with("c[4009,"), "{rest}");
    let subscribe = json!({ "event": "pusher:subscribe", "data": { "channel": "room" } }).to_string();
    let cases = [
        (
            subscribe.as_str(),
            "c[4005,\"Expected {\\\"path\\\":\\\"/app/KEY?protocol=7\\\"} as the first message",
        ),
        ("{}", "c[4005,"),
        ("nonsense", "c[4005,"),
        (r#"{"path":"/nowhere?protocol=7"}"#, "c[4005,\"Path not found"),
        (r#"{"path":"/app/nobody?protocol=7"}"#, "c[4001,\"Could not find app by key nobody\"]"),
        (r#"{"path":"/app/app-key?protocol=9&version=8"}"#, "a[\"{\\\"event\\\":\\\"pusher:error\\\""),
        (r#"{"path":"/app/app-key?protocol=5"}"#, "a[\"{\\\"event\\\":\\\"pusher:connection_established\\\""),
    ];
    for (first, answer) in cases {
        let session = Session::new(&target);
        assert_eq!(session.post("xhr", "").text(), "o\n");
        session.send(&[first]);
        let mut answered = session.post("xhr", "");
        if answer.starts_with('c') && answered.text().starts_with('a') {
            // Who does not say what it understands is told both.
            assert_eq!(message(answered.text().trim_end()).event, "pusher:error");
            answered = session.post("xhr", "");
        }
        assert!(answered.text().starts_with(answer), "{first}: {answered}");
    }
}

/// Messages that come together with the first are heard after it.
///
/// Proves: 240.
#[test]
fn messages_may_come_together_with_the_first() {
    let target = Target::main();
    let session = Session::new(&target);
    assert_eq!(session.post("xhr", "").text(), "o\n");
    session.send(&[&introduction(&target), r#"{"event":"pusher:ping"}"#]);
    let answered = session.post("xhr", "");
    let events: Vec<String> =
        crate::fallback_native::messages(answered.text().trim_end()).into_iter().map(|m| m.event).collect();
    assert_eq!(events, ["pusher:connection_established", "pusher:pong"]);
}

/// While one request receives, a second is told so; the first goes on.
///
/// Proves: bad input.
#[test]
fn a_second_receiver_is_told_that_there_is_one() {
    let target = Target::main();
    let session = Session::established(&target);
    let path = format!("{}/xhr_streaming", session.base);
    let mut stream = Stream::open(&target, &post(&target, &path, "", &[]));
    stream.expect_line(&"h".repeat(2048));
    for _ in 0..2 {
        assert_eq!(session.post("xhr", "").text(), "c[2010,\"Another connection still open\"]\n");
    }
    session.send(&[r#"{"event":"pusher:ping"}"#]);
    until(&mut stream, "pusher:pong");
}

/// A client that SockJS keeps from pinging is asked by an event, and ends when it does not answer.
///
/// Proves: 42, 44, 46.
#[test]
fn a_silent_client_is_asked_by_an_event() {
    let Some(target) = Target::own(&format!(
        "[connection]\nping_after_seconds = 0.3\npong_timeout_seconds = 0.4\n{MAIN_APP}"
    )) else {
        return;
    };
    let session = Session::established(&target);
    let path = format!("{}/xhr_streaming", session.base);
    let mut stream = Stream::open(&target, &post(&target, &path, "", &[]));
    for _ in 0..2 {
        until(&mut stream, "pusher:ping");
        session.send(&[r#"{"event":"pusher:pong","data":{}}"#]);
    }
    until(&mut stream, "pusher:ping");
    assert_eq!(stream.rest(), "c[4201,\"Pong reply not received\"]\n");
}

/// SockJS over a WebSocket: the same frames, each a message; and without any framing.
///
/// Proves: 240, 241.
#[test]
fn sockjs_speaks_over_websockets_too() {
    let target = Target::main();
    let path = format!("{}/pusher/000/{}/websocket", target.path_prefix, session_id());
    let mut wire = Wire::upgrade(&target, &path, &[]);
    assert_eq!(text_frame(&mut wire), "o");
    wire.send_frame(0x81, b"");
    wire.send_frame(0x89, b"?");
    wire.send_frame(0x81, json!([introduction(&target)]).to_string().as_bytes());
    assert_eq!(text_frame(&mut wire), "");
    assert_eq!(message(&text_frame(&mut wire)).event, "pusher:connection_established");
    wire.send_frame(0x81, json!(r#"{"event":"pusher:ping"}"#).to_string().as_bytes());
    assert_eq!(message(&text_frame(&mut wire)).event, "pusher:pong");
    wire.send_frame(0x81, b"[\"x");
    assert_eq!(text_frame(&mut wire), "c[1002,\"Broken framing.\"]");
    assert!(matches!(wire.receive(), Incoming::Close(closed) if closed.code == 1002));
    for (first, code) in
        [("[\"x", 1002), ("[\"nonsense\"]", 4005), (r#"["{\"path\":\"/app/nobody\"}"]"#, 4001)]
    {
        let path = format!("{}/pusher/000/{}/websocket", target.path_prefix, session_id());
        let mut wire = Wire::upgrade(&target, &path, &[]);
        assert_eq!(text_frame(&mut wire), "o");
        wire.send_frame(0x81, first.as_bytes());
        let mut answer = text_frame(&mut wire);
        if answer.starts_with('a') {
            answer = text_frame(&mut wire);
        }
        assert!(answer.starts_with(&format!("c[{code},")), "{first}: {answer}");
    }
    let mut raw = Wire::upgrade(&target, &format!("{}/pusher/websocket", target.path_prefix), &[]);
    raw.send_text(&introduction(&target));
    let mut raw = Socket::over(raw, &target);
    raw.await_established();
    raw.assert_silence();
    raw.close();
}

/// The payload of the next frame, read off the wire as it is: nothing here is a message of the protocol itself.
#[track_caller]
fn text_frame(wire: &mut Wire) -> String {
    wire.raw_text()
}

/// A plain request where a WebSocket is gets a status and what is wrong.
///
/// Proves: bad input.
#[test]
fn a_websocket_needs_an_upgrade() {
    let target = Target::main();
    let path = format!("{}/pusher/0/0/websocket", target.path_prefix);
    get(&target, "/pusher/0/0/websocket").assert_error(400, "Can \"Upgrade\" only to \"WebSocket\".");
    let headers = ["Upgrade: WebSocket", "Connection: close"];
    let answer = ask(&target, &get_request(&target, &path, &headers));
    answer.assert_error_beginning(400, "Expected a WebSocket handshake");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(&target, &request(&target, method, &path, &["Content-Length: 0"]));
        assert_eq!(
            (answer.status, answer.text(), answer.header("content-type")),
            (405, "", None),
            "{method}"
        );
        assert!(answer.header("allow").is_some());
    }
}

/// Old releases report how their connections went. The number they name is called back, and is a number.
///
/// Proves: 243.
#[test]
fn statistics_are_answered_in_the_form_that_is_expected() {
    let target = Target::main();
    let script = |path: &str| {
        let answer = get(&target, path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(SCRIPT)), "{answer}");
        answer.text().to_owned()
    };
    assert_eq!(script("/timeline/v2/jsonp/12?session=MTIz&key=x"), "Pusher.ScriptReceivers[12](null,{});");
    assert_eq!(script("/timeline/3?a=b"), "Pusher.JSONP.receive(3,null,{});");
    let answer = get(&target, "/timeline/v2/xhr/2?session=MTIz");
    assert_eq!(answer.json(), json!({}));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    for bad in ["v2/jsonp/x", "v2/jsonp/1;alert(1)", "v2/jsonp/", "alert(1)", "v2/jsonp/1%3B", "v1/2/3"] {
        let answer = get(&target, &format!("/timeline/{bad}"));
        assert_eq!(answer.status, 404, "{bad}: {answer}");
        let reflected: Value = json!(answer.text());
        assert!(answer.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{reflected}");
    }
}

/// Every SockJS transport reaches what a session over polls reaches.
///
/// Proves: 240.
#[test]
fn every_transport_is_greeted_and_answered() {
    let target = Target::main();
    for transport in [
        Transport::SockJsStreaming,
        Transport::SockJsPolling,
        Transport::SockJsWebSocket,
        Transport::SockJsRawWebSocket,
    ] {
        let mut socket = target.over(transport).connect();
        let channel = unique("room-");
        socket.subscribe(&channel);
        target.publish(&channel, "greet", "hello");
        socket.expect_on(&channel, "greet");
        socket.assert_silence();
    }
}
