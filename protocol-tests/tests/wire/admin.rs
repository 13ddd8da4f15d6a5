//! The admin listener: who may ask it for what, under which name, and what it answers; on a loopback address and on others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use heliostat_protocol_tests::broker::command;
use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Shared, Target, patience};
use serde_json::json;

pub(crate) const TOKEN: &str = "a-token-of-the-test";
const PASSWORD: &str = "a-password-of-the-test";

/// How long a broker may take to end when nobody holds it up any more.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// What is open on a loopback address.
const FIGURES: [&str; 5] = ["/", "/metrics", "/live", "/ready", "/usage"];

/// A broker with an admin listener, and that listener as a target.
struct Admin {
    broker: Target,
    admin: Target,
}

impl Admin {
    /// `[admin]` holds `settings`, too.
    fn start(server: &str, settings: &str) -> Option<Admin> {
        let admin = format!("[admin]\nenabled = true\nport = 0\n{settings}\n");
        let broker = Target::own(&format!("[server]\n{server}\n{admin}{MAIN_APP}"))?;
        let admin = Admin { admin: admin_of(&broker), broker };
        // It may answer before all workers serve.
        crate::eventually("a node that is ready", || {
            (admin.ask("/ready", &bearer(TOKEN)).status == 200).then_some(())
        });
        Some(admin)
    }

    fn ask(&self, path: &str, headers: &str) -> Response {
        ask(&self.admin, "GET", path, headers)
    }
}

/// The listener that a broker has told of.
pub(crate) fn admin_of(broker: &Target) -> Target {
    let line = broker.broker().unwrap().await_line("serves the admin listener on http://");
    let port = line.split("://").nth(1).unwrap().rsplit_once(':').unwrap().1;
    let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    let mut admin = broker.clone();
    (admin.port, admin.path_prefix) = (port[..digits].parse().unwrap(), String::new());
    admin
}

pub(crate) fn ask(target: &Target, method: &str, path: &str, headers: &str) -> Response {
    let host = if headers.starts_with("Host:") { "" } else { "Host: localhost\r\n" };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: 0\r\n\r\n");
    Connection::open(target).exchange(request.as_bytes()).expect("an answer")
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// `admin:` and the password of these tests.
const BASIC: &str = "Authorization: Basic YWRtaW46YS1wYXNzd29yZC1vZi10aGUtdGVzdA==\r\n";

/// Every path on a loopback address: figures are there for everybody on this machine, what is below `/api/` and `/console`
/// for nobody without the token, whatever is there.
///
/// Proves: bad input.
#[test]
fn figures_are_open_on_a_loopback_address() {
    let settings = format!("token = \"{TOKEN}\"\npassword = \"{PASSWORD}\"");
    let Some(admin) = Admin::start("path_prefix = \"/x\"", &settings) else { return };
    for path in FIGURES {
        let answer = admin.ask(path, "");
        assert_eq!(answer.status, 200, "{path}: {answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(head(&admin.admin, path), 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let refused = ask(&admin.admin, method, path, "");
            assert_eq!(
                (refused.status, refused.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(admin.ask("/live", "").text(), "live\n");
    assert_eq!(admin.ask("/ready", "").text(), "ready\n");
    assert!(admin.ask("/", "").text().contains("/metrics"));
    let metrics = admin.ask("/metrics", "");
    assert!(metrics.text().contains("heliostat_build_info"), "{metrics}");
    for path in ["/nothing", "/x/live", "/live/x", "//live", "/app/app-key", "/apps/1001/channels", "/health"]
    {
        let _ = admin.ask(path, "").error(404);
    }
    for path in ["/api", "/api/nothing", "/console/nothing", "/console/api", "/%61pi/apps/"] {
        assert_unauthorized(&admin.ask(path, ""), path);
        assert_unauthorized(&admin.ask(path, &bearer("another")), path);
        for right in [bearer(TOKEN).as_str(), BASIC] {
            assert_eq!(admin.ask(path, right).status, 404, "{path}");
        }
        let page = format!("{}Origin: http://localhost:3000\r\n", bearer(TOKEN));
        let _ = admin.ask(path, &page).error(403);
        let _ = admin.ask(path, &format!("{}Sec-Fetch-Site: cross-site\r\n", bearer(TOKEN))).error(403);
    }
    // The clients' listener has none of it.
    let _ = ask(&admin.broker, "GET", "/x/metrics", "").error(404);
}

/// What dashboards made for soketi query: its names beside the others, for the app and the port that clients connect to, in
/// both formats, and as JSON. What is here is what soketi's own exporter was seen to write. This is about the admin listener,
/// of which the protocol says nothing.
#[test]
fn dashboards_made_for_soketi_go_on() {
    let Some(admin) = Admin::start("", "metrics_prefix = \"soketi_\"") else { return };
    let app_id = &admin.broker.credentials.app_id;
    let labels = format!("{{app_id=\"{app_id}\",port=\"{}\"}}", admin.broker.port);
    let mut client = admin.broker.connect();
    client.send(&json!({ "event": "pusher:subscribe", "data": { "channel": "c" } }));
    let _ = client.expect("pusher_internal:subscription_succeeded");
    let value = |text: &str, name: &str| {
        let begin = format!("{name}{labels} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&begin)).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {begin} in {text}")).parse::<u64>().unwrap()
    };
    let names = [
        ("soketi_connected", "gauge", 1),
        ("soketi_new_connections_total", "counter", 1),
        ("soketi_new_disconnections_total", "counter", 0),
        ("soketi_socket_received_bytes", "counter", 10),
        ("soketi_socket_transmitted_bytes", "counter", 10),
        ("soketi_ws_messages_received_total", "counter", 1),
        ("soketi_ws_messages_sent_total", "counter", 2),
        ("soketi_http_received_bytes", "counter", 0),
        ("soketi_http_transmitted_bytes", "counter", 0),
        ("soketi_http_calls_received_total", "counter", 0),
    ];
    let answer = admin.ask("/metrics", "");
    let text = answer.text();
    for (name, its_type, least) in names {
        assert!(text.contains(&format!("# TYPE {name} {its_type}\n")), "{name}: {text}");
        assert!(value(text, name) >= least, "{name}: {text}");
    }
    assert_eq!(value(text, "soketi_connected"), 1);
    let answer = admin.ask("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    let open_metrics = answer.text();
    assert!(open_metrics.contains("# TYPE soketi_http_received_bytes unknown\n"), "{open_metrics}");
    assert!(open_metrics.contains("# TYPE soketi_new_connections counter\n"), "{open_metrics}");
    assert_eq!(open_metrics.find("# EOF"), Some(open_metrics.len() - "# EOF\n".len()));
    names.iter().for_each(|(name, ..)| assert!(value(open_metrics, name) <= 100_000, "{name}"));

    let metrics = admin.ask("/metrics?json=1", "").json();
    let metrics = metrics.as_array().expect("an array");
    for (name, its_type, least) in names {
        let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((&metric["type"], &metric["aggregator"]), (&json!(its_type), &json!("sum")), "{metric}");
        let values = metric["values"].as_array().expect("values");
        assert_eq!(values.len(), 1, "{metric}");
        assert_eq!(values[0]["labels"], json!({ "app_id": app_id, "port": admin.broker.port }));
        assert!(values[0]["value"].as_u64().is_some_and(|value| value >= least), "{metric}");
    }
    assert!(admin.ask("/metrics?json=", "").text().starts_with("# HELP"));
}

/// A request that came by a proxy is not from this machine, wherever the proxy is.
///
/// Proves: bad input.
#[test]
fn a_proxy_on_this_machine_opens_nothing() {
    let Some(admin) = Admin::start("", &format!("token = \"{TOKEN}\"")) else { return };
    for path in FIGURES {
        for trace in ["X-Forwarded-For: 203.0.113.7\r\n", "Via: 1.1 proxy\r\n", "Forwarded: for=x\r\n"] {
            assert_unauthorized(&admin.ask(path, trace), path);
            assert_eq!(admin.ask(path, &(bearer(TOKEN) + trace)).status, 200, "{path}");
        }
    }
}

/// On another address everything takes the token or the password, what is not there included.
///
/// Proves: bad input.
#[test]
fn on_other_addresses_everything_takes_credentials() {
    let settings = format!("host = \"0.0.0.0\"\ntoken = \"{TOKEN}\"\npassword = \"{PASSWORD}\"");
    let Some(admin) = Admin::start("", &settings) else { return };
    for path in FIGURES.into_iter().chain(["/nothing", "/api/nothing", "/console/nothing"]) {
        let wrong_user = BASIC.replace("YWRtaW46", "cm9vdDo6");
        for wrong in
            ["", &bearer("another"), &bearer(""), &bearer(PASSWORD), "Authorization: x\r\n", &wrong_user]
        {
            assert_unauthorized(&admin.ask(path, wrong), path);
        }
        assert_unauthorized(&admin.ask(&format!("{path}?token={TOKEN}"), ""), path);
        let expected = if FIGURES.contains(&path) { 200 } else { 404 };
        for right in [bearer(TOKEN).as_str(), BASIC] {
            assert_eq!(admin.ask(path, right).status, expected, "{path}");
        }
        // It is asked for before anything else is said.
        assert_unauthorized(&ask(&admin.admin, "POST", path, ""), path);
    }
    let log = admin.broker.broker().unwrap().log();
    assert!(log.contains("wrong credentials for the admin listener"), "{log}");
    assert!(!log.contains(TOKEN) && !log.contains(PASSWORD), "{log}");
}

/// Only names that are its own are answered: a page that has another name resolved to this address gets nothing.
///
/// Proves: bad input.
#[test]
fn other_names_are_refused() {
    for host in ["127.0.0.1", "0.0.0.0"] {
        let settings = format!("host = \"{host}\"\ntoken = \"{TOKEN}\"\nhostnames = [\"Admin.Example.com\"]");
        let Some(admin) = Admin::start("", &settings) else { return };
        for path in FIGURES.into_iter().chain(["/api/apps"]) {
            for own in ["localhost:9601", "127.0.0.1", "[::1]:1", "admin.example.com"] {
                let answer = admin.ask(path, &format!("Host: {own}\r\n{}", bearer(TOKEN)));
                assert!([200, 404].contains(&answer.status), "{own} {path}: {answer}");
            }
            for foreign in ["evil.example", "localhost.evil.example:9601", "", "a b", "heliostat"] {
                let headers = format!("Host: {foreign}\r\n{}", bearer(TOKEN));
                let answer = admin.ask(path, &headers);
                assert!([400, 403].contains(&answer.status), "{foreign} {path}: {answer}");
            }
        }
    }
}

/// An address that others can reach, without anything that they would have to show, is an error in one line that says what
/// to do; so is a port that is taken.
///
/// Proves: bad input.
#[test]
fn it_never_opens_itself_to_the_world() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let refused = |arguments: &[&str], environment: &[(&str, &str)]| {
        let run = command().args(["--port", "0"]).args(arguments).envs(environment.iter().copied()).output();
        let run = run.expect("the broker's command runs");
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!((run.status.code(), said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
        said
    };
    for host in ["0.0.0.0", "::", "10.0.0.1"] {
        for command in ["serve", "check-config"] {
            let said = refused(&[command], &[("HELIOSTAT_ADMIN_HOST", host)]);
            assert!(said.contains(host) && said.contains("set admin.password or admin.token"), "{said}");
        }
    }
    let said = refused(&["--admin=0.0.0.0:0"], &[]);
    assert!(said.contains("set admin.password or admin.token"), "{said}");
    for (name, value) in
        [("TOKEN", "short"), ("TOKEN", "with white space"), ("PASSWORD", "1234567"), ("PASSWORD", "…")]
    {
        let said = refused(&[], &[(&format!("HELIOSTAT_ADMIN_{name}"), value)]);
        assert!(said.contains("at least 8 printable") && !said.contains(value), "{said}");
    }
    for (name, value, expected) in [
        ("HOSTNAMES", "a.example,b/c", "a list of host names"),
        ("PORT", "65536", "an integer"),
        ("HOST", "nowhere", "an IP address"),
        ("ENABLED", "perhaps", "true or false"),
    ] {
        let said = refused(&[], &[(&format!("HELIOSTAT_ADMIN_{name}"), value)]);
        assert!(said.contains(expected), "{said}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&[&format!("--admin={address}")], &[]);
    assert!(said.contains(&format!("the admin listener cannot listen on {address}")), "{said}");
}

/// In development mode it is on; where its port is taken, on another one that is told, with a link that carries a token
/// which is new each time. It can be switched off.
///
/// Proves: pages.
#[test]
fn development_mode_brings_it_along() {
    let Some(one) = Target::own_with(None, &[], &[]) else { return };
    let other = Target::own_with(None, &[], &[]).unwrap();
    let mut tokens = Vec::new();
    let mut ports = Vec::new();
    for broker in [&one, &other] {
        let line = broker.broker().unwrap().await_line("serves the admin listener on http://127.0.0.1:");
        let (address, token) = line.split_once("/?token=").expect("a link with a token");
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let mut admin = broker.clone();
        admin.port = port;
        assert_eq!(ask(&admin, "GET", "/usage", "").status, 200);
        let _ = ask(&admin, "GET", &format!("/api/nothing?token={token}"), "").error(404);
        let _ = ask(&admin, "GET", "/api/nothing", &bearer(token)).error(404);
        assert_unauthorized(&ask(&admin, "GET", "/api/nothing?token=another", ""), "/api/nothing");
        tokens.push(token.to_owned());
        ports.push(port);
    }
    assert!(tokens[0] != tokens[1] && ports[0] != ports[1] && tokens[0].len() >= 32);
    let off = Target::own_with(None, &[], &[("HELIOSTAT_ADMIN_ENABLED", "false")]).unwrap();
    let log = off.broker().unwrap().log();
    assert!(!log.contains("admin listener"), "{log}");
}

/// With a configuration it is off, and the flag or a variable turns it on.
///
/// Proves: pages.
#[test]
fn a_flag_turns_it_on() {
    let Some(plain) = Target::own(MAIN_APP) else { return };
    assert!(!plain.broker().unwrap().log().contains("admin listener"));
    let by_flag = Target::own_with(Some(MAIN_APP), &["--admin=0"], &[]).unwrap();
    assert_eq!(ask(&admin_of(&by_flag), "GET", "/live", "").status, 200);
    let variables = [("HELIOSTAT_ADMIN_ENABLED", "true"), ("HELIOSTAT_ADMIN_PORT", "0")];
    let by_variable = Target::own_with(Some(MAIN_APP), &[], &variables).unwrap();
    assert_eq!(ask(&admin_of(&by_variable), "GET", "/live", "").status, 200);
}

/// A node whose connections are all taken, of clients and of those who ask over HTTP, answers its operator nevertheless:
/// that it is full, and how many there are.
///
/// Proves: 29.
#[test]
fn an_exhausted_node_is_seen() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let config = format!(
        "[server]\nworkers = 1\nkeep_alive_seconds = 600\n[admin]\nenabled = true\nport = 0\n{MAIN_APP}"
    );
    let config = config.replace("client_events = true", "client_events = true\nhttp_streams = true");
    let broker = heliostat_protocol_tests::Broker::start_limited(&config, 200);
    let target = Target::at(std::sync::Arc::new(broker), Shared::Main.credentials());
    let admin = admin_of(&target);
    crate::eventually("a node that is ready", || {
        (ask(&admin, "GET", "/ready", "").text() == "ready\n").then_some(())
    });
    let mut sockets = Vec::new();
    loop {
        let mut socket = target.upgrade("protocol=7");
        match socket.receive() {
            Incoming::Message(_) => sockets.push(socket),
            Incoming::Close(closed) => {
                assert_eq!(closed.code, 4100);
                break;
            }
            other => socket.fail(&format!("expected to be greeted or closed, got {other:?}")),
        }
        assert!(sockets.len() < 200, "there is no bound");
    }
    // What is left of the places is taken by clients that are not done with their head.
    let mut busy = Vec::new();
    for _ in 0..200 {
        let Ok(stream) = TcpStream::connect((target.host.as_str(), target.port)) else { break };
        let _ = (&stream).write_all(b"POST /apps/1001/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n");
        busy.push(stream);
    }
    let full = ask(&admin, "GET", "/ready", "");
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")), "{full}");
    assert!(full.text().starts_with("full: "), "{full}");
    let usage = ask(&admin, "GET", "/usage", "").json();
    assert_eq!(usage["connections"]["count"], json!(sockets.len()), "{usage}");
    assert_eq!(usage["apps"]["1001"]["connections"], json!(sockets.len()), "{usage}");
    assert_eq!(usage["ready"], json!(false), "{usage}");
    let memory = &usage["memory"];
    let [free, used, total, percent] =
        ["free", "used", "total", "percent"].map(|name| memory[name].as_f64().unwrap());
    assert!(free + used == total && 0.0 < percent && percent < 100.0, "{usage}");
}

/// More connections than the listener has keep nobody out, and those who say nothing end.
///
/// Proves: bad input.
#[test]
fn silent_connections_keep_no_operator_out() {
    let Some(admin) = Admin::start("", "") else { return };
    let mut silent = Vec::new();
    for round in 0..3 {
        silent.extend((0..50).map(|_| Connection::open(&admin.admin)));
        let status = crate::eventually("an answer", || {
            let request = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let answer = Connection::open(&admin.admin).exchange(request);
            answer.map(|answer| answer.status).filter(|status| *status != 503)
        });
        assert_eq!(status, 200, "round {round}");
    }
    let _ = admin.broker.connect();
}

/// While the broker stops, whoever is connected is told that it drains; the port is given back at once.
///
/// Proves: 53.
#[test]
fn a_stopping_broker_says_so() {
    let Some(admin) = Admin::start("shutdown_grace_seconds = 60", "") else { return };
    let mut open = Connection::open(&admin.admin);
    let request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    open.send(request);
    assert_eq!(open.answer().status, 200);
    // It never answers the close, and so holds up the end.
    let mut deaf =
        heliostat_protocol_tests::Wire::upgrade(&admin.broker, &admin.broker.socket_path("protocol=7"), &[]);
    let _ = deaf.receive();
    let mut socket = admin.broker.connect();
    admin.broker.broker().unwrap().terminate();
    socket.expect_close_with(4100);
    open.send(request);
    let draining = open.answer();
    assert_eq!((draining.status, draining.text()), (503, "draining: the broker is stopping\n"));
    let _successor =
        TcpListener::bind((admin.admin.host.as_str(), admin.admin.port)).expect("the port is given back");
    deaf.vanish();
    socket.vanish();
    let status = admin.broker.broker().unwrap().await_exit(END_DEADLINE);
    assert_eq!(status.code(), Some(0));
}

/// While clients are closed some at a time, an operator can see it.
#[test]
fn whoever_runs_the_broker_is_answered_while_clients_are_closed_slowly() {
    let Some(admin) = Admin::start("drain_connections_per_second = 1", "") else { return };
    let broker = admin.broker.broker().unwrap();
    let sockets: Vec<_> = (0..60).map(|_| admin.broker.connect()).collect();
    broker.terminate();
    crate::eventually("clients that are closed slowly", || {
        broker.log().contains("idle HTTP connections are closed").then_some(())
    });
    let draining = admin.ask("/ready", "");
    assert_eq!((draining.status, draining.text()), (503, "draining: the broker is stopping\n"));
    // Nor are those waited for that have gone.
    drop(sockets);
    assert_eq!(broker.await_exit(END_DEADLINE).code(), Some(0), "{}", broker.log());
}

#[track_caller]
fn assert_unauthorized(answer: &Response, path: &str) {
    assert_eq!(answer.status, 401, "{path}: {answer}");
    assert!(
        answer.header("www-authenticate").is_some_and(|challenge| challenge.contains("heliostat admin")),
        "{path}"
    );
}

/// The status of a HEAD, whose answer must have no body.
fn head(target: &Target, path: &str) -> u16 {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
