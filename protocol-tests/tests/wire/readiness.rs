//! Whether a node should be sent new clients, and what it says to whoever opens its address.

use std::io::{Read, Write};
use std::net::TcpStream;

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Shared, Target, patience};

/// A node that serves is ready, below its prefix too, for anybody who asks; nothing else can be done to `/ready`.
///
/// Proves: bad input.
#[test]
fn a_node_that_serves_is_ready() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let prefixed = Target::own(&format!("[server]\npath_prefix = \"/x\"\n{MAIN_APP}")).unwrap();
    for (target, path) in [(&target, "/ready"), (&target, "//ready"), (&prefixed, "/x/ready")] {
        // One worker may answer before all serve.
        let ready = crate::eventually("a node that is ready", || {
            Some(ask(target, "GET", path)).filter(|answer| answer.status != 503)
        });
        assert_eq!((ready.status, ready.text()), (200, "ready\n"), "{path}");
        assert_eq!(head(target, path), 200, "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            let refused = ask(target, method, path);
            assert_eq!(
                (refused.status, refused.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    let _ = ask(&prefixed, "GET", "/ready").error(404);
}

/// A node that has all the connections that it may have says so, and is ready again as soon as one goes. What is there
/// is not affected: it publishes as before.
///
/// Proves: 29.
#[test]
fn a_full_node_is_not_ready() {
    let Some(target) = Target::own(&format!("[server]\nmax_connections = 2\n{MAIN_APP}")) else { return };
    let (mut one, other) = (target.connect(), target.connect());
    let full = ask(&target, "GET", "/ready");
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")), "{full}");
    assert!(full.text().starts_with("full: there are 2 connections"), "{full}");
    assert_eq!(full.text().lines().count(), 1, "{full}");
    assert_eq!(head(&target, "/ready"), 503);
    assert_eq!(ask(&target, "GET", "/health").status, 200);
    one.subscribe("news");
    target.publish("news", "greet", "");
    let _ = one.expect_on("news", "greet");
    other.close();
    crate::eventually("room for another", || (ask(&target, "GET", "/ready").status == 200).then_some(()));
}

/// Whoever opens the address of a broker that is configured is told what is there, but not which version.
///
/// Proves: bad input.
#[test]
fn the_top_says_what_is_here() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let prefixed = Target::own(&format!("[server]\npath_prefix = \"/x\"\n{MAIN_APP}")).unwrap();
    for (target, path) in [(&target, "/"), (&prefixed, "/x/")] {
        let about = ask(target, "GET", path);
        assert_eq!(about.status, 200, "{about}");
        assert!(about.text().starts_with("heliostat: a Pusher Channels server. "), "{about}");
        assert!(!about.text().contains(env!("CARGO_PKG_VERSION")), "{about}");
        assert_eq!(head(target, path), 200, "{path}");
        assert_eq!(ask(target, "POST", path).status, 405);
    }
    assert_eq!(ask(&prefixed, "GET", "/x").header("location"), Some("/x/"));
    let _ = ask(&prefixed, "GET", "/").error(404);
}

fn ask(target: &Target, method: &str, path: &str) -> Response {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    Connection::open(target).exchange(request.as_bytes()).expect("an answer")
}

/// The status of a HEAD, whose answer must have no body.
fn head(target: &Target, path: &str) -> u16 {
    let mut stream = TcpStream::connect((target.host.as_str(), target.port)).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
