//! Whose address the log tells: the peer's, or the client's where a proxy that is trusted names it. A broker's own concern.

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Pipe, Socket, Target, broker};

use crate::admission::{IN, Try, WAYS, Way};
use crate::eventually;

/// A broker that trusts these proxies, and logs everything but bytes.
fn trusting(proxies: &str, more: &str) -> Option<Target> {
    let app = MAIN_APP
        .replace("client_events = true", &format!("client_events = true\nhttp_streams = true\n{more}"));
    let config = format!("[server]\ntrusted_proxies = {proxies}\n{app}");
    Target::own_with(Some(&config), &["--log-level", "debug"], &[])
}

/// Asks for what is not there, with this header.
fn get_nothing(target: &Target, header: &str) {
    let request =
        format!("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n");
    let answer = Connection::open(target).exchange(request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 404);
}

/// Waits for a line that holds all of these.
#[track_caller]
fn line(broker: &Broker, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?} in {}", broker.log()), || {
        let log = broker.log();
        log.lines().rev().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    })
}

/// Whichever way a client comes, and whatever it is refused, the address that the trusted proxy tells is the one that is
/// logged, beside the proxy's.
#[test]
fn a_trusted_proxy_names_the_client_whichever_way_it_comes() {
    let Some(target) = trusting("[\"127.0.0.0/8\"]", "") else { return };
    let broker = target.broker().unwrap();
    for (n, way) in WAYS.into_iter().enumerate() {
        let told = format!("X-Forwarded-For: 198.51.100.1, 192.0.2.{n}");
        let mut client = Try::new(&target, way);
        client.query = format!("protocol=7&client=lib-{n}");
        client.begin(&[&told], &[&told], &IN);
        let what = if matches!(way, Way::Stream(_)) { "subscribed over HTTP" } else { " connected " };
        let peer = format!("peer=192.0.2.{n} ");
        line(broker, &[what, &peer, "proxy=127.0.0.1"]);
    }
    get_nothing(&target, "Forwarded: for=\"[2001:db8::7]:4711\";proto=https");
    line(broker, &["request refused", "peer=[2001:db8::7]:4711", "proxy=127.0.0.1"]);
    let told = ["X-Forwarded-For: 192.0.2.200"];
    Socket::upgrade(&target, "/app/unknown?protocol=7", &told).expect_close_with(4001);
    line(broker, &["connection refused", "peer=192.0.2.200 ", "proxy=127.0.0.1"]);
}

/// What somebody writes who is not trusted, or what stands before the address that the proxy added, changes nothing, and
/// makes no line of the log but its own, however long and odd it is.
///
/// Proves: bad input.
#[test]
fn nobody_else_names_an_address() {
    let odd = [
        "X-Forwarded-For: 192.0.2.1".to_owned(),
        "Forwarded: for=192.0.2.1".to_owned(),
        format!("X-Forwarded-For: {}192.0.2.1", "198.51.100.1, ".repeat(4000)),
        "X-Forwarded-For: 192.0.2.1\tpeer=198.51.100.1".to_owned(),
    ];
    for (proxies, expected) in [
        ("[]", ["127.0.0.1:"; 4]),
        ("[\"10.0.0.0/8\", \"unix\"]", ["127.0.0.1:"; 4]),
        ("[\"127.0.0.1\"]", ["192.0.2.1 ", "192.0.2.1 ", "192.0.2.1 ", "127.0.0.1:"]),
    ] {
        let Some(target) = trusting(proxies, "") else { return };
        let broker = target.broker().unwrap();
        for (header, expected) in odd.iter().zip(expected) {
            let before = broker.log().matches("request refused").count();
            get_nothing(&target, header);
            let log = eventually("the line", || {
                let log = broker.log();
                (log.matches("request refused").count() > before).then_some(log)
            });
            let last = log.lines().rev().find(|line| line.contains("request refused")).unwrap().to_owned();
            assert!(last.contains(&format!("peer={expected}")), "{header}: {last}");
            assert!(!last.contains("198.51.100.1"), "{last}");
        }
    }
}

/// Where proxies are named, only they tell that a client came by TLS, whatever `trust_forwarded_proto` says.
///
/// Proves: 27.
#[test]
fn of_those_who_are_named_alone_the_word_on_tls_counts() {
    let secure = ["X-Forwarded-Proto: https"];
    let Some(target) = trusting("[\"127.0.0.1\"]", "force_tls = true\n") else { return };
    let path = target.socket_path("protocol=7");
    Socket::upgrade(&target, &path, &secure).expect("pusher:connection_established");
    let believing = "[\"10.0.0.0/8\"]\ntrust_forwarded_proto = true";
    let Some(target) = trusting(believing, "force_tls = true\n") else { return };
    Socket::upgrade(&target, &path, &secure).expect_close_with(4000);
}

/// One more connection of an address than it may have is refused, whichever way it comes, until one of them has gone;
/// others are let in. What counts is the client's own address, of IPv6 its network.
///
/// Proves: 29.
#[test]
fn an_address_has_as_many_connections_as_it_may_have() {
    let limited = "[\"127.0.0.1\"]\nmax_connections_per_address = 2";
    let Some(target) = trusting(limited, "") else { return };
    let full = "(2 connections from one address)";
    let words = [&IN[..], &[full]].concat();
    let path = target.socket_path("protocol=7");
    let connect = |address: &str| Socket::upgrade(&target, &path, &[&format!("X-Forwarded-For: {address}")]);
    for (first, second) in [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::2:3")] {
        let mut held = [connect(first), connect(second)];
        for socket in &mut held {
            socket.expect("pusher:connection_established");
        }
        let told = format!("X-Forwarded-For: {second}");
        for way in WAYS {
            assert_eq!(Try::new(&target, way).begin(&[&told], &[&told], &words), full, "{way:?}");
        }
        assert!(connect(first).expect_close_with(4100).ends_with(full));
        let [mut stays, goes] = held;
        goes.close();
        let mut next = eventually("a place is free again", || {
            let mut socket = connect(first);
            match socket.receive() {
                Incoming::Message(message) if message.event == "pusher:connection_established" => {
                    Some(socket)
                }
                _ => None,
            }
        });
        next.assert_silence();
        stays.assert_silence();
        connect("192.0.2.99").expect("pusher:connection_established");
    }
}

/// Asks for something, on a connection of its own.
fn ask(target: &Target, method_and_path: &str, told: &[&str]) -> Response {
    let told: String = told.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("{method_and_path} HTTP/1.1\r\nHost: localhost\r\n{told}Content-Length: 0\r\n\r\n");
    Connection::open(target).exchange(head.as_bytes()).expect("an answer")
}

/// A broker that bounds refusals at three a minute, behind a proxy on this machine that it trusts.
fn bounding_refusals(more: &str) -> Option<Target> {
    trusting("[\"127.0.0.1\"]\nmax_refusals_per_address_per_minute = 3", more)
}

/// The lines of the log at `info` and above of a client at this address.
fn lines_of(broker: &Broker, address: &str) -> Vec<String> {
    let peer = format!("peer={address} ");
    let log = broker.log();
    let lines = log.lines().filter(|line| line.contains("INFO") || line.contains("WARN"));
    lines.filter(|line| line.contains(&peer)).map(str::to_owned).collect()
}

/// Has this address refused as often as it may be, and waits until the log says so.
fn use_up(target: &Target, address: &str) {
    for _ in 0..3 {
        assert_eq!(ask(target, "GET /nowhere", &[&format!("X-Forwarded-For: {address}")]).status, 404);
    }
    line(target.broker().unwrap(), &["refused too often", &format!("peer={address} "), "proxy=127.0.0.1"]);
}

/// Who is refused too often for what he shows is not listened to for a while, whatever he shows then, and the log hears of
/// it once; open connections, others and probes go on. No header that he writes makes somebody else be refused: neither an
/// address of another, nor what makes the proxy's word unreadable.
///
/// Proves: bad input.
#[test]
fn who_is_refused_too_often_is_not_listened_to() {
    let Some(target) = bounding_refusals("") else { return };
    let path = target.socket_path("protocol=7");
    let connect = |path: &str, told: &[&str]| Socket::upgrade(&target, path, told);
    let (stranger, victim) = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.1");
    let mut stays = connect(&path, &[stranger]);
    stays.expect("pusher:connection_established");
    // A handshake with an unknown key, a wrong signature, and what is not there. He claims to be the victim, too.
    let claims = "X-Forwarded-For: 198.51.100.1, 192.0.2.1";
    connect("/app/unknown?protocol=7", &[claims]).expect_close_with(4001);
    let signed = format!("GET {}", target.get("/channels").url());
    let wrong = format!("GET {}", target.get("/channels").auth("auth_signature", &"0".repeat(64)).url());
    assert_eq!(ask(&target, &wrong, &[claims]).status, 401);
    assert_eq!(ask(&target, "GET /nowhere", &[claims]).status, 404);
    let broker = target.broker().unwrap();
    line(broker, &["refused too often", "peer=192.0.2.1 ", "proxy=127.0.0.1"]);

    let before = lines_of(broker, "192.0.2.1").len();
    for (asked, told) in [
        (&signed[..], stranger),
        (&wrong, claims),
        ("GET /nowhere", stranger),
        ("POST /health", stranger),
        ("OPTIONS /ready", stranger),
        ("GET /pusher/nowhere", stranger),
        ("GET /pusher/info", stranger),
        ("PUT /pusher/app/unknown/1/abc/xhr", stranger),
        ("POST /pusher/000/abcdefgh/xhr_send", stranger),
        ("GET /pusher/000/abcdefgh/jsonp", stranger),
        ("GET /timeline/nowhere", stranger),
    ] {
        let refused = ask(&target, asked, &[told]);
        assert_eq!(refused.status, 429, "{asked}: {refused}");
        let seconds: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    for probe in ["GET /health", "GET /ready"] {
        assert_eq!(ask(&target, probe, &[stranger]).status, 200, "{probe}");
    }
    stays.assert_silence();
    assert_eq!(lines_of(broker, "192.0.2.1").len(), before, "{}", broker.log());

    // Nobody else is concerned.
    connect(&path, &[victim]).expect("pusher:connection_established");
    assert_eq!(ask(&target, &signed, &[victim]).status, 200);
}

/// Who was refused too often is told so in words that his client understands, whichever way he comes, and the log has no
/// line for it: a handshake succeeds, and its close frame says when to come back.
///
/// Proves: bad input.
#[test]
fn whichever_way_he_comes_who_is_not_listened_to_is_told_so() {
    let Some(target) = bounding_refusals("") else { return };
    let broker = target.broker().unwrap();
    const STATUS: &str = "HTTP/1.1 429 ";
    const REASON: &str = "Too many requests from this address were refused";
    let words = [&IN[..], &[STATUS, REASON]].concat();
    for (n, way) in WAYS.into_iter().chain([Way::Pipe]).enumerate() {
        let address = format!("192.0.2.{n}");
        use_up(&target, &address);
        let before = lines_of(broker, &address).len();
        let told = format!("X-Forwarded-For: {address}");
        let heard = Try::new(&target, way).begin(&[&told], &[&told], &words);
        let expected = if matches!(way, Way::Stream(_) | Way::Pipe) { STATUS } else { REASON };
        assert_eq!(heard, expected, "{way:?}");
        if matches!(way, Way::WebSocket) {
            let mut socket = Socket::upgrade(&target, "/app/unknown", &[&told]);
            socket.expect("pusher:error");
            let reason = socket.expect_close_with(4100);
            assert!(reason.starts_with(REASON), "{reason}");
        }
        assert_eq!(lines_of(broker, &address).len(), before, "{way:?}: {}", broker.log());
    }
}

/// A session of the fallbacks that is open goes on where its address is refused too often, as an open connection does.
///
/// Proves: bad input.
#[test]
fn open_sessions_of_an_address_that_is_not_listened_to_go_on() {
    let Some(target) = bounding_refusals("") else { return };
    let told = "X-Forwarded-For: 192.0.2.1";
    for (n, way) in WAYS.into_iter().enumerate() {
        if !matches!(way, Way::Native(_) | Way::SockJs { .. }) {
            continue;
        }
        let address = format!("192.0.2.{n}");
        let told = told.replace("192.0.2.1", &address);
        let mut session = Try::new(&target, way);
        assert!(IN.contains(&session.begin(&[&told], &[&told], &IN)), "{way:?}");
        use_up(&target, &address);
        session.say(r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#, &[&told]);
        assert_eq!(
            session.hear_on(&[&told], &["subscription_succeeded"]),
            "subscription_succeeded",
            "{way:?}"
        );
    }
}

/// Each kind of refusal that needs no right counts; those that an honest client meets do not: a handshake that lost its
/// upgrade on the way here, one without TLS, a session that has gone. So the fallback is open to whoever has no WebSocket.
///
/// Proves: bad input.
#[test]
fn refusals_that_honest_clients_meet_do_not_count() {
    let Some(target) = bounding_refusals("") else { return };
    let key = &target.credentials.key;
    let user = format!("GET /apps/{}/channels/%23server-to-user-1/sse", target.credentials.app_id);
    let mut n = 0;
    let mut address = || {
        n += 1;
        format!("X-Forwarded-For: 192.0.2.{n}")
    };
    for (asked, status) in [
        ("GET /app/unknown", 426),
        (&user, 403),
        ("GET /apps/unknown/channels/news/sse", 404),
        ("GET /pusher/nowhere", 404),
        ("PUT /pusher/info", 405),
        ("GET /pusher/000/abcdefgh/jsonp", 500),
        ("POST /health", 405),
    ] {
        let told = address();
        for _ in 0..3 {
            assert_eq!(ask(&target, asked, &[&told]).status, status, "{asked}");
        }
        assert_eq!(ask(&target, asked, &[&told]).status, 429, "{asked}");
    }
    let pipe = Pipe::path(&target, Some("1.0"));
    for (asked, status) in [
        (format!("GET /app/{key}?protocol=7"), 426),
        (format!("GET /app/{key}/?protocol=7"), 426),
        (format!("GET {pipe}"), 426),
        ("GET /pusher/websocket".to_owned(), 400),
        ("POST /pusher/000/abcdefgh/xhr_send".to_owned(), 404),
        (format!("POST /pusher/app/{key}/1/abcdefgh/xhr_send"), 404),
    ] {
        let told = address();
        for _ in 0..4 {
            assert_eq!(ask(&target, &asked, &[&told]).status, status, "{asked}");
        }
        let way = Way::Native("xhr_streaming");
        assert!(IN.contains(&Try::new(&target, way).begin(&[&told], &[&told], &IN)), "{asked}");
    }
    let Some(target) = bounding_refusals("force_tls = true\n") else { return };
    let (plain, tls) = ("X-Forwarded-Proto: http", "X-Forwarded-Proto: https");
    for way in [Way::WebSocket, Way::Native("xhr_streaming"), Way::Stream("sse"), Way::Pipe] {
        let told = address();
        for _ in 0..4 {
            let told = [&told[..], plain];
            let heard = Try::new(&target, way).begin(&told, &told, &["accepts TLS connections only", "429"]);
            assert_eq!(heard, "accepts TLS connections only", "{way:?}");
        }
        let told = [&told[..], tls];
        assert!(IN.contains(&Try::new(&target, way).begin(&told, &told, &IN)), "{way:?}");
    }
}

/// Whoever comes by a proxy is not the proxy, whatever that tells of him, as long as it adds anything: neither his refusals
/// nor his connections are those of the proxy's own programs.
///
/// Proves: bad input.
#[test]
fn who_comes_by_a_proxy_that_names_nobody_is_not_its_machine() {
    let limits = "[\"127.0.0.1\"]\nmax_connections_per_address = 1\nmax_refusals_per_address_per_minute = 3";
    let Some(target) = trusting(limits, "") else { return };
    let signed = format!("GET {}", target.get("/channels").url());
    let path = target.socket_path("protocol=7");
    let mut hidden = Socket::upgrade(&target, &path, &["Via: 1.1 proxy"]);
    hidden.expect("pusher:connection_established");
    let full = Socket::upgrade(&target, &path, &["X-Forwarded-Proto: https"]).expect_close_with(4100);
    assert!(full.ends_with("(1 connections from one address)"), "{full}");
    Socket::upgrade(&target, &path, &[]).expect("pusher:connection_established");
    // Nor is one whose way back cannot be read.
    for told in ["X-Real-IP: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-For: unknown"] {
        assert_eq!(ask(&target, "GET /nowhere", &[told]).status, 404);
    }
    assert_eq!(ask(&target, &signed, &["Via: 1.1 proxy"]).status, 429);
    let contradicted = ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=198.51.100.1"];
    assert_eq!(ask(&target, &signed, &contradicted).status, 429);
    assert_eq!(ask(&target, &signed, &[]).status, 200);
    assert_eq!(ask(&target, &signed, &["X-Forwarded-For: 192.0.2.1"]).status, 200);
}

/// Who shows the admin listener wrong credentials too often is not listened to, whatever he shows then. Clients' refusals do
/// not count there.
///
/// Proves: bad input.
#[test]
fn guesses_of_credentials_come_to_an_end() {
    let config = format!(
        "[server]\nmax_refusals_per_address_per_minute = 2\n\
         [admin]\nenabled = true\nport = 0\ntoken = \"the-right-token\"\n{MAIN_APP}"
    );
    let Some(target) = Target::own(&config) else { return };
    let told = target.broker().unwrap().await_line("serves the admin listener on http://");
    let port = told.trim().rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let mut admin = target.clone();
    (admin.port, admin.path_prefix) = (port, String::new());
    let ask = |target: &Target, path: &str, told: &str| {
        let told: Vec<&str> = told.lines().collect();
        ask(target, &format!("GET {path}"), &told)
    };
    for _ in 0..3 {
        ask(&target, "/nowhere", "");
    }
    assert_eq!(ask(&target, "/nowhere", "").status, 429);
    let right = "Authorization: Bearer the-right-token\r\n";
    let wrong = "Authorization: Bearer the-wrong-token\r\n";
    assert_eq!(ask(&admin, "/console/nothing", right).status, 404, "nothing is there yet, and he may know");
    assert_eq!([(); 2].map(|()| ask(&admin, "/console/nothing", wrong).status), [401, 401]);
    for told in [right, wrong] {
        let refused = ask(&admin, "/console/nothing", told);
        assert_eq!(refused.status, 429, "{refused}");
        assert!(refused.header("retry-after").is_some(), "{refused}");
    }
    assert_eq!(ask(&admin, "/metrics", "").status, 200, "figures are open on this machine");
    let proxied = format!("{right}X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(
        ask(&admin, "/console/nothing", &proxied).status,
        404,
        "a proxy on this machine is not its programs"
    );
    let guess = format!("{wrong}X-Forwarded-For: 192.0.2.2\r\n");
    assert_eq!([(); 3].map(|()| ask(&admin, "/console/nothing", &guess).status), [401, 401, 429]);
    assert_eq!(
        ask(&admin, "/console/nothing", &proxied).status,
        404,
        "an operator who comes by it is not shut out"
    );
    for what in ["looked at by the admin listener", "come by this proxy"] {
        line(target.broker().unwrap(), &["refused too often", what]);
    }
    let figures = ask(&admin, "/metrics", "");
    let figures = figures.text();
    for told in ["heliostat_admin_unseen_refusals_total 3\n", "heliostat_admin_refused_addresses 2\n"] {
        assert!(figures.contains(told), "{told}: {figures}");
    }
}

/// What is no network is refused at the start, by its name.
///
/// Proves: bad input.
#[test]
fn proxies_that_are_no_networks_are_named() {
    if heliostat_protocol_tests::skip::skipped("it is about the broker's own command") {
        return;
    }
    for wrong in ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "[::1]"] {
        let mut command = broker::command();
        command.args(["check-config", "--development"]);
        command.env("HELIOSTAT_SERVER_TRUSTED_PROXIES", format!("::1,{wrong}"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("server.trusted_proxies must be a list of networks such as \"10.0.0.0/8\""),
            "{said}"
        );
        assert!(said.contains(&format!("got \"{wrong}\"")), "{said}");
    }
}
