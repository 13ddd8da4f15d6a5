//! Setting it up: one flag, one clear sentence where that does not do, and what is seen of it.

use std::path::Path;
use std::process::Output;

use heliostat_protocol_tests::broker::command;
use heliostat_protocol_tests::engine::RedisServer;
use heliostat_protocol_tests::nodes::{NODE_APPS, plain};
use heliostat_protocol_tests::{Engine, Node, Setup, unique};
use serde_json::{Value, json};

use crate::{eventually, member, on_shared_nodes};

/// What `serve` says that must not start.
fn refused(config: &Path, url: &str) -> (Output, String) {
    let mut command = command();
    command.arg("serve").arg("--config").arg(config).args(["--port", "0", "--cluster", url]);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, words)
}

/// One flag makes nodes one broker.
///
/// Proves: N1.
#[test]
fn one_flag_is_enough() {
    let engine = Engine::standalone();
    let [one, other]: [Node; 2] = Setup::on(&engine).by_flag().start();
    let channel = unique("room-");
    let mut socket = other.target.connect();
    socket.subscribe(&channel);
    one.target.publish(&channel, "hello", "x");
    socket.expect_on(&channel, "hello");
}

/// An engine that cannot be used keeps the node from starting, in one sentence that says why: nobody listens, it refuses, it
/// is a replica that takes nothing, or the user lacks a permission.
///
/// Proves: N15.
#[test]
fn an_engine_that_cannot_be_used_is_said_at_the_start() {
    let engine = RedisServer::start(&[]);
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {}", engine.port())]);
    let mut client = engine.client();
    let user = ["ACL", "SETUSER", "poor", "on", ">hush", "~*", "&*", "+@all", "-publish", "-spublish"];
    assert_eq!(client.call(&user).text(), "OK");
    let config = std::env::temp_dir().join(format!("{}.toml", unique("cluster-start-")));
    std::fs::write(&config, NODE_APPS).unwrap();
    for (url, part) in [
        ("redis://127.0.0.1:1".to_owned(), "127.0.0.1:1"),
        (format!("redis://nobody:hush@127.0.0.1:{}", engine.port()), "password"),
        (format!("redis://127.0.0.1:{}", replica.port()), "replica"),
        (format!("redis://poor:hush@127.0.0.1:{}", engine.port()), "publish"),
        ("http://127.0.0.1:6379".to_owned(), "redis://"),
    ] {
        let (output, words) = refused(&config, &url);
        assert!(!output.status.success(), "{url} was taken");
        assert!(words.to_lowercase().contains(part), "{url}: {words}");
        assert!(!words.contains("hush"), "the password is said: {words}");
        assert!(words.trim().lines().count() <= 3, "{words}");
    }
    std::fs::remove_file(config).unwrap();
}

/// The peers are seen: by the command, and by metrics.
///
/// Proves: N14.
#[test]
fn the_nodes_are_listed() {
    on_shared_nodes(|trio| {
        eventually("the command lists all three", || {
            let output = trio.nodes[0].broker().command("nodes").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success()
                && ["a", "b", "c"].iter().all(|name| text.split_whitespace().any(|w| w == *name)))
            .then_some(())
        });
        let metrics = plain(&trio.nodes[0].admin, "/metrics");
        assert!(
            metrics.text().lines().any(|line| line.starts_with("heliostat_cluster_")),
            "no metric of the cluster"
        );
    });
}

/// A node that starts takes no clients before it knows what the others have: the first roster that it gives is whole.
///
/// Proves: N17, N5.
#[test]
fn a_starting_node_knows_everybody_before_it_takes_joins() {
    let engine = Engine::standalone();
    let setup = Setup::on(&engine);
    let one = setup.start_node("a");
    let channel = unique("presence-room-");
    let _members: Vec<_> = (0..50).map(|n| member(&one, &channel, &format!("u{n}"))).collect();
    for round in 0..3 {
        let node = setup.begin(&format!("b{round}"));
        // Clients come as soon as it listens. Who is refused comes again.
        let roster = eventually("a join is taken", || {
            let mut socket = node.target.upgrade("protocol=7");
            loop {
                match socket.receive() {
                    heliostat_protocol_tests::Incoming::Message(message) => {
                        if message.event != "pusher:connection_established" {
                            continue;
                        }
                        socket.id = message.decoded()["socket_id"].as_str()?.to_owned();
                        socket.join(&channel, &json!({ "user_id": format!("late{round}") }).to_string());
                        return Some(
                            socket.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded(),
                        );
                    }
                    heliostat_protocol_tests::Incoming::Close(_)
                    | heliostat_protocol_tests::Incoming::End => {
                        return None;
                    }
                    _ => {}
                }
            }
        });
        let count = roster["presence"]["count"].as_u64().unwrap_or_default();
        assert!(count > 50, "{count} of 50 and itself: {}", roster["presence"]["ids"]);
        node.broker().terminate();
        let _ = node.broker().await_exit(heliostat_protocol_tests::patience());
    }
    let users: Value = json!(one.users(&channel).len());
    assert_eq!(users, json!(50));
}
