//! Two whole brokers as nodes of one: what a backend that is connected to one of them hears of the clients of the other.

use std::convert::Infallible;
use std::net::TcpStream;
use std::time::Instant;

use super::Broker;
use super::other_nodes::{DEADLINE, client, pipe, read_until, say};
use crate::app::App;
use crate::cluster;
use crate::cluster::RunningNode;
use crate::cluster::config::ClusterConfig;
use crate::cluster::local::LocalEngine;
use crate::cluster::shared_settings::SharedSettings;
use crate::config::Config;

struct OneOfTwo {
    broker: Broker,
    _running: RunningNode,
}

impl OneOfTwo {
    fn start(engine: &LocalEngine, name: &str) -> Self {
        let mut config = Config::development();
        config.server.port = 0;
        config.server.workers = 1;
        config.admin.enabled = false;
        let broker = Broker::start(config).unwrap();
        let (config, engine) =
            (ClusterConfig { node_name: name.into(), ..ClusterConfig::default() }, engine.clone());
        let join = async move |inbox| Ok::<_, Infallible>(engine.join(inbox));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let running =
            runtime.block_on(cluster::start(&broker.hub, config, SharedSettings::default(), join)).unwrap();
        OneOfTwo { broker, _running: running }
    }

    fn is_listened_to(&self) -> bool {
        self.broker.hub.state_by_key(App::DEFAULT_KEY).unwrap().is_listened_to(Some("a"), "frame")
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

/// A backend that has subscribed, and has been told so.
fn subscribed(node: &OneOfTwo, params: &str) -> TcpStream {
    let mut backend = pipe(&node.broker);
    read_until(&mut backend, "connection_established");
    say(&mut backend, &format!(r#"{{"id":"s","method":"subscribe","params":{params}}}"#));
    read_until(&mut backend, r#""id":"s","error":null"#);
    backend
}

#[test]
fn a_backend_hears_the_clients_of_the_other_node_and_they_may_say_what_it_listens_for() {
    let engine = LocalEngine::new();
    let [one, other] = ["one", "other"].map(|name| OneOfTwo::start(&engine, name));
    assert!(!other.is_listened_to());
    let mut backend = subscribed(&one, r#"{"events":["socket_message","socket_existence"]}"#);
    until("it is known there", || other.is_listened_to());
    let mut socket = client(&other.broker);
    read_until(&mut socket, "connection_established");
    read_until(&mut backend, "socket_opened");
    say(&mut socket, r#"{"event":"pusher:subscribe","data":{"channel":"a"}}"#);
    read_until(&mut socket, "subscription_succeeded");
    for n in 0..3 {
        say(&mut socket, &format!(r#"{{"event":"frame","channel":"a","data":{{"n": {n}}}}}"#));
    }
    let heard = read_until(&mut backend, r#""n": 2"#);
    assert_eq!(
        heard.matches(r#""event":"frame","data":{"n": "#).count(),
        3,
        "each once, as it came: {heard}"
    );
    assert!(heard.contains(r#""source":"client""#), "{heard}");
    drop(socket);
    read_until(&mut backend, "socket_closed");
    drop(backend);
    until("nobody listens", || !other.is_listened_to());
}
