//! Development mode's conveniences: on without a configuration, off with one, and for this machine alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::signature::hmac_hex;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The broker as it starts with no file and no flags.
fn development() -> Option<Target> {
    Target::own_with(None, &[], &[])
}

fn ask(target: &Target, method: &str, path: &str, host: &str, body: &str) -> Response {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut connection = Connection::open(target);
    connection.send(request.as_bytes());
    connection.answer()
}

fn local(target: &Target, method: &str, path: &str, body: &str) -> Response {
    ask(target, method, path, &format!("localhost:{}", target.port), body)
}

/// What `/dev/auth` signs opens private and presence channels, as the user that the form names or as a guest.
///
/// Proves: pages.
#[test]
fn the_auth_endpoint_signs_any_subscription() {
    let Some(target) = development() else { return };
    let (private, presence) = (unique("private-"), unique("presence-"));
    let mut socket = target.connect();
    let form = format!("socket_id={}&channel_name={private}", socket.id);
    let signed = local(&target, "POST", "/dev/auth", &form).json();
    socket.send(
        &json!({ "event": "pusher:subscribe", "data": { "channel": private, "auth": signed["auth"] } }),
    );
    socket.expect_on(&private, "pusher_internal:subscription_succeeded");

    let form = format!("socket_id={}&channel_name={presence}&user_id=ann&name=Ann+B.", socket.id);
    let mut signed = local(&target, "POST", "/dev/auth", &form).json();
    signed["channel"] = presence.clone().into();
    socket.send(&json!({ "event": "pusher:subscribe", "data": signed }));
    let roster = socket.expect_on(&presence, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(roster["presence"]["hash"], json!({ "ann": { "name": "Ann B." } }));

    let mut guest = target.connect();
    let form = json!({ "socket_id": guest.id, "channel_name": presence }).to_string();
    let mut signed = local(&target, "POST", "/dev/auth", &form).json();
    signed["channel"] = presence.clone().into();
    guest.send(&json!({ "event": "pusher:subscribe", "data": signed }));
    let roster = guest.expect_on(&presence, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(roster["presence"]["count"], json!(2));
}

/// On encrypted channels the answer has the channel's key besides: the SHA-256 of its name and of the master key, which
/// the configuration gives, or which `/dev/config.json` tells where it gives none.
///
/// Proves: pages, 130.
#[test]
fn the_auth_endpoint_answers_with_the_key_of_an_encrypted_channel() {
    const MASTER_KEY: &str = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let variable = ("HELIOSTAT_DEVELOPMENT_ENCRYPTION_MASTER_KEY_BASE64", MASTER_KEY);
    let Some(given) = Target::own_with(None, &[], &[variable]) else { return };
    let derived = development().unwrap();
    for (target, expected) in [(&given, Some(MASTER_KEY)), (&derived, None)] {
        let settings = local(target, "GET", "/dev/config.json", "").json();
        let told = settings["encryption_master_key_base64"].as_str().unwrap();
        assert!(expected.is_none_or(|key| key == told), "{settings}");
        let master_key = STANDARD.decode(told).unwrap();
        for kind in ["private-encrypted-", "private-encrypted-cache-"] {
            let channel = unique(kind);
            let mut socket = target.connect();
            let form = format!("socket_id={}&channel_name={channel}", socket.id);
            let signed = local(target, "POST", "/dev/auth", &form).json();
            let key = Sha256::new().chain_update(&channel).chain_update(&master_key).finalize();
            assert_eq!(signed["shared_secret"], json!(STANDARD.encode(key)));
            let data = json!({ "channel": channel, "auth": signed["auth"] });
            socket.send(&json!({ "event": "pusher:subscribe", "data": data }));
            socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        }
    }
    let plain = local(&given, "POST", "/dev/auth", "socket_id=1.2&channel_name=private-a").json();
    assert_eq!(plain.get("shared_secret"), None);
}

/// Where other machines can reach the broker, the pages learn by which addresses: for a link that a phone can open.
///
/// Proves: pages.
#[test]
fn the_pages_learn_the_addresses_that_lead_here() {
    let Some(target) = development() else { return };
    assert_eq!(local(&target, "GET", "/dev/config.json", "").json()["addresses"], json!([]));
    let exposed = Target::own_with(None, &["--host", "0.0.0.0", "--development"], &[]).unwrap();
    let told = local(&exposed, "GET", "/dev/config.json", "").json()["addresses"].clone();
    let told: Vec<std::net::Ipv4Addr> = serde_json::from_value(told).unwrap();
    assert!(told.iter().all(|address| !address.is_loopback()), "{told:?}");
    for address in told {
        let there = std::net::TcpStream::connect((address, exposed.port));
        assert!(there.is_ok(), "{address}: {there:?}");
    }
}

/// What `/dev/user-auth` signs is the signature that a sign-in needs.
///
/// Proves: pages.
#[test]
fn the_user_endpoint_signs_any_user() {
    let Some(target) = development() else { return };
    let signed = local(&target, "POST", "/dev/user-auth", "socket_id=12.34&user_id=ann").json();
    let user_data = signed["user_data"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(user_data).unwrap()["id"], json!("ann"));
    let expected = hmac_hex("app-secret", &format!("12.34::user::{user_data}"));
    assert_eq!(signed["auth"], json!(format!("app-key:{expected}")));
}

/// What is wrong with a request is said.
///
/// Proves: bad input.
#[test]
fn faulty_requests_are_told_why() {
    let Some(target) = development() else { return };
    let post = |path: &str, body: &str| local(&target, "POST", path, body);
    assert!(post("/dev/auth", "").error(400).contains("socket_id"));
    assert!(post("/dev/auth", "socket_id=1.2").error(400).contains("channel_name"));
    assert!(
        post("/dev/auth", "socket_id=1.2&channel_name=private-a%20b")
            .error(400)
            .contains("Invalid channel name")
    );
    assert!(post("/dev/auth", "socket_id=x&channel_name=private-a").error(400).contains("Invalid socket id"));
    assert!(post("/dev/auth", "{\"socket_id\":").error(400).contains("JSON"));
    assert!(post("/dev/user-auth", "socket_id=%ff").error(400).contains("Invalid socket id"));
    let _ = local(&target, "GET", "/dev/auth", "").error(405);
    let _ = local(&target, "POST", "/stream", "").error(405);
}

/// A page of another site that has its name resolved to this machine is told nothing, and neither is one that asks
/// across origins for the secret.
///
/// Proves: bad input.
#[test]
fn only_this_machine_is_answered() {
    let Some(target) = development() else { return };
    for path in ["/dev/config.json", "/", "/stream"] {
        let _ = ask(&target, "GET", path, "evil.example:6001", "").error(403);
        assert_eq!(ask(&target, "GET", path, "127.0.0.1:6001", "").status, 200);
    }
    let _ = ask(&target, "POST", "/dev/auth", "evil.example", "socket_id=1.2&channel_name=a").error(403);
    // A page may add headers that proxies add, so they prove nothing.
    let forged = "evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost";
    let _ = ask(&target, "GET", "/dev/config.json", forged, "").error(403);
    let settings = local(&target, "GET", "/dev/config.json", "");
    assert_eq!(settings.header("access-control-allow-origin"), None);
    assert_eq!(settings.header("vary"), Some("Origin"));
    assert_eq!(settings.json()["secret"], json!("app-secret"));
    assert_eq!(settings.json()["port"], json!(target.port));
}

/// The ways to every development endpoint, in every spelling that the router understands.
const WAYS: [(&str, &str, &str); 7] = [
    ("GET", "/dev/config.json", ""),
    ("GET", "/dev/config%2ejson", ""),
    ("GET", "/%64ev/config.json", ""),
    ("POST", "/dev/auth", "socket_id=1.2&channel_name=private-a"),
    ("POST", "/d%65v/%61uth", "socket_id=1.2&channel_name=private-a"),
    ("POST", "/dev/user-auth", "socket_id=1.2"),
    ("POST", "/dev/user%2Dauth", "socket_id=1.2"),
];

/// Pages of this machine are answered, whatever their port, and by name; the pages of other sites are not, and nobody
/// else may read an answer.
///
/// Proves: pages, bad input.
#[test]
fn the_pages_of_other_sites_are_refused() {
    let Some(target) = development() else { return };
    let (plain, prefixed) =
        (&target, Target::own_with(None, &["--path-prefix", "/some/where"], &[]).unwrap());
    for (target, prefix) in [(plain, ""), (&prefixed, "/some/where")] {
        for (method, path, body) in WAYS {
            let path = format!("{prefix}{path}");
            let asked = |method, origin: &str| {
                let host = format!("127.0.0.1:{}\r\nOrigin: {origin}", target.port);
                let answer = ask(target, method, &path, &host, body);
                assert_eq!(answer.header("vary"), Some("Origin"), "{path}");
                answer
            };
            let own = format!("http://127.0.0.1:{}", target.port);
            for origin in ["http://localhost:5173", "https://app.localhost", "http://[::1]:3000", &own] {
                let answer = asked(method, origin);
                assert_eq!(answer.status, 200, "{path} {origin}");
                assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{path}");
                let preflight = asked("OPTIONS", origin);
                assert_eq!(preflight.header("access-control-allow-origin"), Some(origin), "{path}");
            }
            for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://", ""] {
                for method in [method, "OPTIONS"] {
                    let answer = asked(method, origin);
                    assert_eq!(answer.header("access-control-allow-origin"), None, "{path} {origin:?}");
                    assert!(answer.error(403).contains("not those of"), "{path} {origin:?}");
                }
            }
        }
    }
}

/// Where a browser sends no `Origin`, because the page could not read the answer, what else it says is looked at.
///
/// Proves: pages, bad input.
#[test]
fn pages_of_other_sites_are_refused_without_an_origin_too() {
    let Some(target) = development() else { return };
    for (method, path, body) in WAYS {
        let told = |header: &str| {
            let host = format!("127.0.0.1:{}\r\n{header}", target.port);
            ask(&target, method, path, &host, body)
        };
        for header in [
            "Sec-Fetch-Site: none",
            "Sec-Fetch-Site: same-site",
            "Referer: http://localhost:5173/a",
            "Origin: http://localhost:5173\r\nSec-Fetch-Site: cross-site",
        ] {
            assert_eq!(told(header).status, 200, "{path} {header}");
        }
        for header in [
            "Sec-Fetch-Site: cross-site",
            "Referer: https://evil.example/",
            "Referer: http://localhost@evil/",
        ] {
            assert!(told(header).error(403).contains("not those of"), "{path} {header}");
        }
    }
}

/// Where others can reach the broker, a name that strangers own and have resolved to its address opens nothing.
///
/// Proves: pages, bad input.
#[test]
fn names_that_strangers_own_are_refused_on_every_address() {
    let Some(target) = Target::own_with(None, &["--host", "0.0.0.0", "--development"], &[]) else { return };
    for (method, path, body) in WAYS {
        for host in ["192.168.0.7:6001", "[::1]:6001", "heliostat", "mac.local:6001", "host.docker.internal"]
        {
            assert_eq!(ask(&target, method, path, host, body).status, 200, "{path} {host}");
        }
        for host in ["evil.example:6001", "192.168.0.7.evil.example", "localhost.evil.example", ""] {
            let refused = ask(&target, method, path, host, body);
            assert!(refused.error(403).contains("answer only to"), "{path} {host}");
        }
    }
}

/// Nobody is answered by way of a proxy that says so.
///
/// Proves: pages, bad input.
#[test]
fn requests_that_came_by_a_proxy_are_refused() {
    let Some(target) = development() else { return };
    let headers = [
        "Forwarded: for=192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Host: localhost",
        "Via: 1.1 x",
    ];
    for (method, path, body) in WAYS {
        for header in headers {
            let host = format!("localhost:{}\r\n{header}", target.port);
            assert!(ask(&target, method, path, &host, body).error(403).contains("proxy"), "{path} {header}");
        }
    }
}

/// An app of one's own, on a loopback address and without a file: what a broker behind a proxy on the same machine is
/// often started as. A proxy that does not pass `Host` on and adds nothing, as nginx by default, cannot be told from a
/// program on this machine; so there is nothing to be had. Where development mode is insisted on, no secret is told.
///
/// Proves: pages, bad input.
#[test]
fn a_secret_of_ones_own_is_never_told() {
    const SECRET: &str = "a-secret-of-my-own";
    const MASTER_KEY: &str = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let variables = [
        ("HELIOSTAT_APP_ID", "1001"),
        ("HELIOSTAT_APP_KEY", "my-key"),
        ("HELIOSTAT_APP_SECRET", SECRET),
        ("HELIOSTAT_DEVELOPMENT_ENCRYPTION_MASTER_KEY_BASE64", MASTER_KEY),
    ];
    let Some(target) = Target::own_with(None, &[], &variables) else { return };
    // At the top there is something else then.
    let pages = [
        "/index",
        "/index.js",
        "/stream",
        "/mirror",
        "/settings.js",
        "/snippets.js",
        "/vendor/pusher.min.js",
    ];
    let host = format!("127.0.0.1:{}", target.port);
    let pages = pages.map(|path| ("GET", path, ""));
    for (method, path, body) in WAYS.into_iter().chain(pages) {
        let _ = ask(&target, method, path, &host, body).error(404);
    }
    let insisting = Target::own_with(None, &["--development"], &variables).unwrap();
    let host = format!("127.0.0.1:{}", insisting.port);
    for (method, path, body) in WAYS.into_iter().chain(pages) {
        let answer = ask(&insisting, method, path, &host, body);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains(SECRET) && !text.contains(MASTER_KEY), "{path}: {text}");
    }
    let settings = ask(&insisting, "GET", "/dev/config.json", &host, "").json();
    assert_eq!((&settings["key"], settings.get("secret")), (&json!("my-key"), None));
    let encrypted = "socket_id=1.2&channel_name=private-encrypted-a";
    let _ = ask(&insisting, "POST", "/dev/auth", &host, encrypted).error(403);
}

/// With a configuration all of it is gone, unless it is asked for by name.
///
/// Proves: bad input.
#[test]
fn a_configuration_switches_it_off() {
    let paths = ["/index", "/stream", "/mirror", "/style.css", "/vendor/pusher.min.js", "/dev/config.json"];
    let Some(target) = Target::own(MAIN_APP) else { return };
    for path in paths {
        let _ = local(&target, "GET", path, "").error(404);
    }
    let _ = local(&target, "POST", "/dev/auth", "socket_id=1.2&channel_name=private-a").error(404);
    let _ = local(&target, "POST", "/dev/user-auth", "socket_id=1.2").error(404);

    let pages_only = Target::own(&format!("[development]\npages = true\n{MAIN_APP}")).unwrap();
    assert_eq!(local(&pages_only, "GET", "/mirror", "").status, 200);
    let _ = local(&pages_only, "POST", "/dev/auth", "socket_id=1.2&channel_name=private-a").error(404);
}
