//! What a test is aimed at: a host, a port, and one app's credentials.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::broker::Broker;
use crate::skip::{is_external, skipped};
use crate::socket::Socket;
use crate::transport::Transport;
use crate::wire::Wire;

/// The configuration of the broker that tests share.
const SHARED_CONFIG: &str = include_str!("shared.toml");

/// The usual app for a configuration of a test's own: the credentials of [`Shared::Main`], client events on.
pub const MAIN_APP: &str = r#"
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
client_events = true
"#;

/// One app's id and one of its pairs of key and secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Names the app in HTTP API paths.
    pub app_id: String,
    /// Names the app in `/app/{key}`.
    pub key: String,
    /// Signs.
    pub secret: String,
}

impl Credentials {
    /// Puts the three together.
    #[must_use]
    pub fn new(app_id: &str, key: &str, secret: &str) -> Self {
        Credentials { app_id: app_id.to_owned(), key: key.to_owned(), secret: secret.to_owned() }
    }
}

/// The apps of the shared broker; `shared.toml` says what each is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Client events on, all else default. The one that has its counterpart on an external server.
    Main,
    /// All default, so client events off.
    Plain,
    /// Another tenant, by its older key.
    Other,
    /// The same tenant, by its newer key.
    OtherNewer,
    /// Switched off.
    Disabled,
    /// Only over TLS.
    TlsOnly,
    /// Room for one connection.
    Crowded,
    /// Subscription counts on.
    Counting,
    /// With pipe rules.
    Piped,
    /// With small limits.
    Small,
}

impl Shared {
    /// Its credentials.
    #[must_use]
    pub fn credentials(self) -> Credentials {
        let (id, word) = match self {
            Shared::Main => ("1001", "app"),
            Shared::Plain => ("1002", "plain"),
            Shared::Other => ("1003", "other"),
            Shared::OtherNewer => ("1003", "newer"),
            Shared::Disabled => ("1004", "disabled"),
            Shared::TlsOnly => ("1005", "tls"),
            Shared::Crowded => ("1006", "crowded"),
            Shared::Counting => ("1007", "counting"),
            Shared::Piped => ("1008", "piped"),
            Shared::Small => ("1009", "small"),
        };
        Credentials::new(id, &format!("{word}-key"), &format!("{word}-secret"))
    }
}

/// A server and one app of it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port, without TLS.
    pub port: u16,
    /// What comes before `/app` and `/apps`; usually nothing.
    pub path_prefix: String,
    /// The app.
    pub credentials: Credentials,
    /// What clients connect over.
    pub transport: Transport,
    /// What clients call themselves, if they do.
    name: Option<String>,
    broker: Option<Arc<Broker>>,
}

impl Target {
    /// The usual target: the external server if one is named by the environment, else the shared broker's main
    /// app.
    ///
    /// # Panics
    /// If the environment names a server but no credentials, or the broker does not start.
    #[must_use]
    pub fn main() -> Target {
        external().unwrap_or_else(|| Target::at(shared_broker(), Shared::Main.credentials()))
    }

    /// An app of the shared broker. `None`, after saying that the test is skipped, on an external server, of
    /// which only one app is known.
    #[must_use]
    pub fn shared(app: Shared) -> Option<Target> {
        let skipped = skipped("it needs an app with other settings");
        (!skipped).then(|| Target::at(shared_broker(), app.credentials()))
    }

    /// A broker of the test's own with this configuration, seen as the app of [`MAIN_APP`]. `None`, after saying
    /// that the test is skipped, when the suite is aimed at an external server.
    #[must_use]
    pub fn own(config: &str) -> Option<Target> {
        Target::own_with(Some(config), &[], &[])
    }

    /// As [`Target::own`], with more command-line arguments and environment.
    #[must_use]
    pub fn own_with(
        config: Option<&str>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Option<Target> {
        if skipped("it needs a broker with other settings") {
            return None;
        }
        let broker = Broker::start_with(config, arguments, environment);
        Some(Target::at(Arc::new(broker), Shared::Main.credentials()))
    }

    /// The same server seen as another app.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Target {
        let mut target = self.clone();
        target.credentials = credentials;
        target
    }

    /// The broker behind it, if the harness started it.
    #[must_use]
    pub fn broker(&self) -> Option<&Broker> {
        self.broker.as_deref()
    }

    /// A share in the broker, if the harness started it: it runs as long as somebody has one.
    pub(crate) fn share_broker(&self) -> Option<Arc<Broker>> {
        self.broker.clone()
    }

    /// `/app/{key}` with a query; no `?` if the query is empty. With a name, `/r/{name}/app/{key}`.
    #[must_use]
    pub fn socket_path(&self, query: &str) -> String {
        let name = self.name.as_ref().map_or(String::new(), |name| format!("/r/{name}"));
        format!("{}{name}{}", self.path_prefix, self.path_of_app(query))
    }

    /// What a client of SockJS names in its first message.
    #[must_use]
    pub(crate) fn introduced_path(&self, query: &str) -> String {
        format!("{}{}", self.path_prefix, self.path_of_app(query))
    }

    fn path_of_app(&self, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("/app/{}{question}{query}", self.credentials.key)
    }

    /// Where the HTTP fallbacks are, for clients that call themselves so.
    #[must_use]
    pub(crate) fn fallback_base(&self) -> String {
        match &self.name {
            Some(name) => format!("{}/r/{name}", self.path_prefix),
            None => format!("{}/pusher", self.path_prefix),
        }
    }

    /// The same server, with clients that call themselves so in all their paths.
    #[must_use]
    pub fn named(&self, name: &str) -> Target {
        let mut target = self.clone();
        target.name = Some(name.to_owned());
        target
    }

    /// Connects as a client of today: protocol 7, `pusher:connection_established` awaited.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Socket {
        self.connect_as("protocol=7&client=js&version=8.4.0&flash=false")
    }

    /// Connects with another query and awaits the first frame under either of its names.
    #[must_use]
    #[track_caller]
    pub fn connect_as(&self, query: &str) -> Socket {
        let mut socket = self.upgrade(query);
        socket.await_established();
        socket
    }

    /// Completes the upgrade with this query, or what comes before the first frame on another transport, and awaits
    /// nothing.
    #[must_use]
    #[track_caller]
    pub fn upgrade(&self, query: &str) -> Socket {
        // A target that was made before the scenario is carried like those that are made in it.
        let transport = match self.transport {
            Transport::WebSocket => Transport::current(),
            other => other,
        };
        match transport {
            Transport::WebSocket => Socket::upgrade(self, &self.socket_path(query), &[]),
            other => Socket::over(Wire::begin(self, other, query), self),
        }
    }

    /// The same server, with clients that connect over this transport.
    #[must_use]
    pub fn over(&self, transport: Transport) -> Target {
        let mut target = self.clone();
        target.transport = transport;
        target
    }

    /// An app of a broker that the harness started.
    #[must_use]
    pub fn at(broker: Arc<Broker>, credentials: Credentials) -> Target {
        let mut target = Target::reached_at("127.0.0.1", broker.port(), credentials);
        target.broker = Some(broker);
        target
    }

    /// An app of a server that somebody else started.
    #[must_use]
    pub fn reached_at(host: &str, port: u16, credentials: Credentials) -> Target {
        Target {
            host: host.to_owned(),
            port,
            path_prefix: String::new(),
            credentials,
            transport: Transport::current(),
            name: None,
            broker: None,
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let (true, Some(broker)) = (std::thread::panicking(), &self.broker) {
            eprintln!("  the broker's log:\n{}", broker.log());
        }
    }
}

/// The server named by the environment.
fn external() -> Option<Target> {
    if !is_external() {
        return None;
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let required = |name: &str| {
        variable(name).unwrap_or_else(|| panic!("PUSHER_HOST is set, so {name} must be set as well"))
    };
    let host = required("PUSHER_HOST");
    let port = match variable("PUSHER_PORT") {
        Some(port) => port.parse().unwrap_or_else(|_| panic!("PUSHER_PORT {port:?} is not a port")),
        None => 80,
    };
    let credentials = Credentials::new(
        &required("PUSHER_APP_ID"),
        &required("PUSHER_APP_KEY"),
        &required("PUSHER_APP_SECRET"),
    );
    Some(Target::reached_at(&host, port, credentials))
}

/// The shared broker, started by the first test that wants it and ended when no test holds it: a static would
/// never be dropped, and the process would outlive the tests.
fn shared_broker() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::start(SHARED_CONFIG));
        *shared = Arc::downgrade(&broker);
        broker
    })
}
