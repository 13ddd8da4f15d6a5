//! Several brokers that are one, over an engine: how they are set up, started, and found ready.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Connection, Response};
use crate::{Broker, Engine, Forwarder, Shared, Target, be_patient, patience};

/// How long one expected thing may take that several nodes do together, on a machine that is busy with something else: the
/// death of a node takes up to 10 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// The apps of nodes, unless a test has its own: as in [`crate::target::MAIN_APP`], and one that counts subscribers.
pub const NODE_APPS: &str = r#"
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
client_events = true
watchlist_events = true
limits = { client_events_per_second = 0 }

[[apps]]
id = "1007"
key = "counting-key"
secret = "counting-secret"
client_events = true
subscription_count = true
"#;

/// Seconds of silence after which a node pings a client: longer than any test. A client of a test answers only while the test
/// reads it, and one that waits for nodes and engines for longer than 75 s would find its clients closed, as they should be.
const PING_AFTER: u32 = 3600;

/// Who may use the API of the admin listener.
const TOKEN: &str = "a-token-of-the-nodes";

/// How nodes are started.
#[derive(Clone, Debug)]
pub struct Setup {
    url: String,
    prefix: String,
    apps: String,
    server: String,
    cluster: String,
    flag: bool,
    port: Option<u16>,
    environment: Vec<(String, String)>,
}

/// One node: a broker with an admin listener.
#[derive(Debug)]
pub struct Node {
    /// The node as its clients and backends see it.
    pub target: Target,
    /// Its admin listener.
    pub admin: Target,
    /// Its name.
    pub name: String,
}

impl Setup {
    /// Nodes on this engine, with apps of their own and a prefix that nobody else has.
    #[must_use]
    pub fn on(engine: &Engine) -> Setup {
        Setup::at(&engine.url())
    }

    /// Nodes on the engine behind a forwarder.
    #[must_use]
    pub fn through(forwarder: &Forwarder) -> Setup {
        Setup::at(&format!("redis://127.0.0.1:{}", forwarder.port()))
    }

    fn at(url: &str) -> Setup {
        be_patient(PATIENCE);
        Setup {
            url: url.to_owned(),
            prefix: crate::unique("t"),
            apps: NODE_APPS.to_owned(),
            server: String::new(),
            cluster: String::new(),
            flag: false,
            port: None,
            environment: Vec::new(),
        }
    }

    /// The same for a node that reaches the engine in another way.
    #[must_use]
    pub fn reaching(&self, forwarder: &Forwarder) -> Setup {
        Setup { url: format!("redis://127.0.0.1:{}", forwarder.port()), ..self.clone() }
    }

    /// With these apps instead.
    #[must_use]
    pub fn apps(mut self, apps: &str) -> Setup {
        apps.clone_into(&mut self.apps);
        self
    }

    /// With these lines in `[server]`, and whatever tables follow them.
    #[must_use]
    pub fn server(mut self, lines: &str) -> Setup {
        lines.clone_into(&mut self.server);
        self
    }

    /// With these lines in `[cluster]`.
    #[must_use]
    pub fn cluster(mut self, lines: &str) -> Setup {
        lines.clone_into(&mut self.cluster);
        self
    }

    /// With another prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Setup {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// The prefix of what these nodes have at the engine.
    #[must_use]
    pub fn prefix_text(&self) -> &str {
        &self.prefix
    }

    /// With the engine named by the flag instead of the file.
    #[must_use]
    pub fn by_flag(mut self) -> Setup {
        self.flag = true;
        self
    }

    /// With this variable in the environment of the process.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With clients at this port.
    #[must_use]
    pub fn at_port(mut self, port: u16) -> Setup {
        self.port = Some(port);
        self
    }

    /// The configuration of a node of this name.
    #[must_use]
    pub fn configuration(&self, name: &str) -> String {
        let Setup { url, prefix, apps, server, cluster, flag, .. } = self;
        let url = if *flag { String::new() } else { format!("url = \"{url}\"\n") };
        format!(
            "[server]\nworkers = 1\n{server}\n[admin]\nenabled = true\nport = 0\ntoken = \"{TOKEN}\"\n\
             [connection]\nping_after_seconds = {PING_AFTER}\n\
             [cluster]\n{url}prefix = \"{prefix}\"\nnode_name = \"{name}\"\nstart_without_bus = \"wait\"\n{cluster}\n{apps}"
        )
    }

    /// Starts so many nodes, `a`, `b` and so on, and waits until all are ready.
    #[must_use]
    pub fn start<const N: usize>(&self) -> [Node; N] {
        let nodes: [Node; N] = std::array::from_fn(|n| self.begin(&Setup::name(n)));
        for node in &nodes {
            node.await_ready();
        }
        nodes
    }

    /// The name of the node of this number.
    #[must_use]
    pub fn name(n: usize) -> String {
        char::from(b'a' + u8::try_from(n).unwrap_or_default()).to_string()
    }

    /// Starts a node, and waits until it is ready.
    #[must_use]
    pub fn start_node(&self, name: &str) -> Node {
        let node = self.begin(name);
        node.await_ready();
        node
    }

    /// Starts a node, and waits until it listens.
    #[must_use]
    pub fn begin(&self, name: &str) -> Node {
        let flag = if self.flag { vec!["--cluster", &self.url] } else { Vec::new() };
        let configuration = self.configuration(name);
        let broker = match self.port {
            Some(port) => Broker::start_at(&configuration, port),
            None => {
                let environment =
                    self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Broker::start_with(Some(&configuration), &flag, &environment.collect::<Vec<_>>())
            }
        };
        let broker = Arc::new(broker);
        let line = broker.await_line("serves the admin listener on http://");
        let port =
            line.split("://").nth(1).and_then(|rest| rest.rsplit_once(':')).map_or("", |(_, port)| port);
        let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
        let target = Target::at(broker, Shared::Main.credentials());
        let mut admin = target.clone();
        admin.port = port[..digits].parse().expect("the port of the admin listener");
        Node { target, admin, name: name.to_owned() }
    }
}

impl Node {
    /// Its process.
    ///
    /// # Panics
    /// Never: the harness has started it.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        self.target.broker().expect("the harness has started it")
    }

    /// The node seen as another app.
    #[must_use]
    pub fn as_app(&self, app: Shared) -> Target {
        self.target.with_credentials(app.credentials())
    }

    /// What `/ready` of its admin listener answers.
    #[must_use]
    pub fn ready(&self) -> Response {
        plain(&self.admin, "/ready")
    }

    /// What `/ready` of the listener for clients answers.
    #[must_use]
    pub fn ready_for_clients(&self) -> Response {
        plain(&self.target, "/ready")
    }

    /// Asks the API of its admin listener; a null body is none.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> Response {
        let (content_type, body) = match body {
            Value::Null => ("", String::new()),
            body => ("Content-Type: application/json\r\n", body.to_string()),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{content_type}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Connection::open(&self.admin).exchange(request.as_bytes()).expect("an answer")
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// If it never is.
    #[track_caller]
    pub fn await_ready(&self) {
        let deadline = Instant::now() + patience() * 2;
        loop {
            let answer = self.ready();
            if answer.status == 200 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "node {} is not ready: {answer}\n{}",
                self.name,
                self.broker().log()
            );
            pause();
        }
    }

    /// Waits until its admin listener says that it is not ready, and returns why.
    ///
    /// # Panics
    /// If it never does.
    #[track_caller]
    pub fn await_not_ready(&self) -> String {
        let deadline = Instant::now() + patience();
        loop {
            let answer = self.ready();
            if answer.status == 503 {
                return answer.text().to_owned();
            }
            assert!(Instant::now() < deadline, "node {} is still ready: {answer}", self.name);
            pause();
        }
    }

    /// The sum of the samples of a metric, those whose labels hold `label`.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = plain(&self.admin, "/metrics");
        let samples = answer.text().lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The users of a presence channel, sorted, as this node lists them.
    #[must_use]
    pub fn users(&self, channel: &str) -> Vec<String> {
        let answer = self.target.get(&format!("/channels/{channel}/users")).send().json();
        let users = answer["users"].as_array().cloned().unwrap_or_default();
        let mut users: Vec<_> =
            users.iter().filter_map(|user| user["id"].as_str().map(str::to_owned)).collect();
        users.sort_unstable();
        users
    }

    /// What this node says of a channel, with these attributes.
    #[must_use]
    pub fn channel(&self, channel: &str, info: &str) -> Value {
        self.target.get(&format!("/channels/{channel}")).query("info", info).send().json()
    }
}

/// A GET without a signature.
#[must_use]
pub fn plain(target: &Target, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    Connection::open(target).exchange(request.as_bytes()).expect("an answer")
}

/// Between two questions to a node that is about to change its answer.
#[expect(
    clippy::disallowed_methods,
    reason = "a node says nothing of this by itself, and is not to be asked all the time"
)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}
