//! Why a broker cannot start, and finding that out without starting one.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::TooFewFiles;
use super::engine::{self, EngineTrouble};
use super::inherited::InheritError;
use super::wanted::{OverlappingListeners, wanted_listeners};
use crate::admin::OpenAdmin;
use crate::app::DuplicateApp;
use crate::config::{AppConfig, Config};
use crate::net::tls::{self, Certificates, PairFiles, TlsError};
use crate::outbound::ConnectorError;
use crate::pipe::BadRule;
use crate::relay;
use crate::webhook;

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two apps could not be told apart.
    #[error(transparent)]
    Apps(#[from] DuplicateApp),
    /// TLS is configured but cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Webhooks are configured but cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] ConnectorError),
    /// A relay is configured but could not send.
    #[error(transparent)]
    Relays(ConnectorError),
    /// A pipe is for an app that does not exist.
    #[error("a pipe was added to the app {0:?}, but no app has this id")]
    PipeWithoutApp(String),
    /// A pipe rule could not work in its app.
    #[error("a pipe rule of the app {app:?} could not work: {source}")]
    PipeRule {
        /// The app's id.
        app: String,
        /// Why.
        source: BadRule,
    },
    /// The system lets the process open too few files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// What a service manager has passed on cannot be used.
    #[error(transparent)]
    Inherited(#[from] InheritError),
    /// The admin listener would be open to the world.
    #[error(transparent)]
    OpenAdmin(#[from] OpenAdmin),
    /// The admin listener cannot have its address.
    #[error(
        "the admin listener cannot listen on {address}: {error}; choose another address with --admin=ADDRESS:PORT"
    )]
    Admin {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Another program listens there.
    #[error(
        "cannot listen on {0}: the port is in use; stop the other program, or choose another port with --port"
    )]
    PortInUse(SocketAddr),
    /// This machine has no such address.
    #[error("cannot listen on {0}: this machine has no such address; check --host")]
    NoSuchAddress(SocketAddr),
    /// The port is reserved.
    #[error(
        "cannot listen on {0}: permission denied; ports below 1024 are reserved, choose another with --port"
    )]
    PermissionDenied(SocketAddr),
    /// Another program listens at the path.
    #[error("cannot listen on unix:{}: another program listens there; stop it, or choose another path", .0.display())]
    SocketInUse(PathBuf),
    /// Something else is at the path, and not to be removed.
    #[error("cannot listen on unix:{}: there is something else at that path", .0.display())]
    NotASocket(PathBuf),
    /// Two places to listen exclude each other.
    #[error(transparent)]
    Overlap(#[from] OverlappingListeners),
    /// The node is to be one of several, and the engine between them cannot be joined.
    #[error("{0}")]
    Engine(String),
    /// The system refused for another reason.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where the broker was to listen.
        address: String,
        /// Why.
        error: io::Error,
    },
}

/// Finds what would keep a broker of this configuration from starting, as far as it can be found without starting;
/// returns what is allowed but probably not meant.
///
/// # Errors
/// See [`StartError`].
pub(crate) fn check(config: &Config) -> Result<Vec<String>, StartError> {
    config.admin.check()?;
    if config.cluster.url.is_some() {
        engine::check_program(&config.cluster)?;
    }
    let certificates = tls::prepare(pair_files(config)?)?;
    wanted_listeners(config)?;
    check_apps(config)?;
    Ok(certificates.warnings(SystemTime::now()))
}

/// Finds what would keep an app from working as it is configured.
pub(crate) fn check_apps(config: &Config) -> Result<(), StartError> {
    config.apps.iter().try_for_each(|AppConfig { app, pipe, webhooks, relays }| {
        webhook::check(webhooks)?;
        relay::check(relays).map_err(StartError::Relays)?;
        let bad_rule = |source| StartError::PipeRule { app: app.id.clone(), source };
        pipe.iter().try_for_each(|rule| rule.check_targets(app)).map_err(bad_rule)
    })
}

impl From<EngineTrouble> for StartError {
    fn from(trouble: EngineTrouble) -> Self {
        StartError::Engine(trouble.to_string())
    }
}

/// The files of the certificates that a configuration wants to be served.
pub(super) fn pair_files(config: &Config) -> Result<Vec<PairFiles>, TlsError> {
    let server = &config.server;
    tls::pair_files(server.tls_certificate.as_deref(), server.tls_key.as_deref(), &server.certificates)
}

/// The certificates that a configuration wants to be served, if it wants TLS.
pub(super) fn load_certificates(config: &Config) -> Result<Option<Arc<Certificates>>, TlsError> {
    let pairs = pair_files(config)?;
    Ok(if pairs.is_empty() { None } else { Some(Certificates::new(tls::prepare(pairs)?)) })
}
