//! The whole: builds the parts from a configuration, joins them on the sockets that the broker listens on, and ends them
//! in order.

mod accepting;
mod admin;
mod app_listeners;
mod bound;
pub(crate) mod control;
mod engine;
mod error;
mod files;
mod inherited;
mod joining;
mod linking;
mod listening;
mod notify;
mod passed_place;
mod passing;
mod patience;
mod predecessor;
mod proof;
mod reload;
mod role;
mod route_name;
mod routes;
mod service;
mod shared_apps;
mod socket_file;
mod stop;
mod successor;
mod upgrade;
mod wanted;

pub use crate::admin::OpenAdmin;
pub use crate::net::tls::{CertificateStatus, TlsError, TlsFile};
pub use crate::outbound::ConnectorError;
pub use bound::BoundServer;
pub use error::StartError;
pub(crate) use error::{check, check_apps};
pub use files::TooFewFiles;
pub use inherited::InheritError;
pub(crate) use inherited::InheritedSockets;
pub(crate) use notify::Supervision;
pub(crate) use patience::Patience;
pub(crate) use predecessor::Predecessor;
pub(crate) use reload::{PlannedReload, ReloadAsShown};
pub use reload::{Reloaded, Reloader};
pub use wanted::OverlappingListeners;

use std::sync::Arc;

use crate::admin::{Access, Admin, ControlRoutes};
use crate::app_admin::{AppsApi, LiveApps, ManagedApps};
use crate::cluster::ClusterView;
use crate::config::Config;
use crate::console::{Console, ConsoleParts, Watchers};
use crate::http::{RequestCounts, UnfinishedBodies};
use crate::hub::{Hub, Listener, RefusedAddresses};
use crate::metrics::{MetricSources, Metrics, SoketiNames};
use crate::net::slots::ConnectionSlots;
use crate::net::tls::Certificates;
use crate::node::Readiness;
use crate::pipe::wire::PipeWire;
use crate::pipe::{Hook, HookFigures, Pipe, RuleBook, Tap, TapListener};
use crate::relay::Relays;
use crate::test_mode::{TestMode, draw_token};
use crate::transport::fallback::Sessions;
use crate::usage::UsageBook;
use crate::webhook::Webhooks;

use admin::AdminListener;
use app_listeners::AppListeners;
use error::load_certificates;
use files::OpenFiles;
use inherited::InheritedSocket;
use joining::JoiningNode;
use listening::ListeningSocket;
use role::Role;
use service::ServiceParts;
use wanted::{WantedListener, wanted_admin, wanted_listeners};

/// A broker that has been put together and does not listen yet.
pub struct Server {
    config: Config,
    /// Each with the id of its app.
    taps: Vec<(String, Arc<dyn Tap>)>,
    hooks: Vec<(String, Hook)>,
    test_mode: Option<Arc<TestMode>>,
    inherited: InheritedSockets,
    /// The files that the apps are of.
    managed: Option<Arc<ManagedApps>>,
    /// Nobody asked for the admin listener by name.
    admin_is_dispensable: bool,
    /// Its configuration as text, with origins and without secrets.
    written_config: Option<String>,
}

impl Server {
    /// A broker of this configuration, with its pipe rules.
    pub fn new(config: Config) -> Self {
        Server {
            config,
            taps: Vec::new(),
            hooks: Vec::new(),
            test_mode: None,
            inherited: InheritedSockets::default(),
            managed: None,
            admin_is_dispensable: false,
            written_config: None,
        }
    }

    /// Adds a pipe to the app with this id.
    #[must_use]
    pub fn pipe(mut self, app_id: impl Into<String>, pipe: impl Pipe) -> Self {
        self.hooks.push((app_id.into(), Hook::new(pipe)));
        self
    }

    /// Adds a tap to the app with this id.
    #[must_use]
    pub fn tap(mut self, app_id: impl Into<String>, tap: impl Tap) -> Self {
        self.taps.push((app_id.into(), Arc::new(tap)));
        self
    }

    /// Puts all its apps under test, and serves the control API.
    #[must_use]
    pub(crate) fn test_mode(mut self, test_mode: Arc<TestMode>) -> Self {
        // Compressed broadcasts could not be looked into.
        self.config.connection.compression = false;
        self.test_mode = Some(test_mode);
        self
    }

    /// Serves on these sockets what is to be served where they listen.
    #[must_use]
    pub(crate) fn inherit(mut self, sockets: InheritedSockets) -> Self {
        self.inherited = sockets;
        self
    }

    /// Lets these apps be changed by the API of the admin listener.
    #[must_use]
    pub(crate) fn managed(mut self, apps: Arc<ManagedApps>) -> Self {
        self.managed = Some(apps);
        self
    }

    /// The configuration is this as text, with the origins of its settings and without secrets: for the console.
    #[must_use]
    pub(crate) fn written_as(mut self, text: String) -> Self {
        self.written_config = Some(text);
        self
    }

    /// Has the admin listener take another port where its own is taken, and does without where there are too few files for
    /// it.
    #[must_use]
    pub(crate) fn dispensable_admin(mut self) -> Self {
        self.admin_is_dispensable = true;
        self
    }

    /// Takes the configured addresses.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind.
    pub fn bind(self) -> Result<BoundServer, StartError> {
        let Server {
            config,
            taps,
            hooks,
            test_mode,
            inherited,
            managed,
            admin_is_dispensable,
            written_config,
        } = self;
        config.admin.check()?;
        check_apps(&config)?;
        let (listeners, told) = listeners_of(taps, &hooks, &config, test_mode.clone())?;
        let TellsOthers { watchers, webhooks, relays, wire, rules } = told;
        let apps = config.apps.iter().map(|of| (of.app.clone(), listeners.of(of))).collect();
        let workers = config.server.worker_threads();
        let (admin, wanted) = all_wanted(&config, inherited)?;
        let (files, has_admin) = open_files(&config, &wanted, admin_is_dispensable)?;
        let hub = Hub::new(apps, config.connection.clone(), workers, files.bounds.max_connections)?;
        bound_hub(&hub, &config);
        let certificates = load_certificates(&config)?;
        let tls = certificates.as_ref().map(|certificates| certificates.server_config()).transpose()?;
        let sockets = bind_all(wanted, config.server.backlog, tls.as_ref())?;
        let address = sockets.iter().find_map(ListeningSocket::address);
        let mut joining = JoiningNode::prepare(&config, &hub, address.map(|address| address.port()))?;
        let bind_admin = |wanted| AdminListener::bind(wanted, config.server.backlog, admin_is_dispensable);
        let admin = admin.filter(|_| has_admin).map(bind_admin).transpose()?;
        let reloader = Reloader::new(Arc::clone(&hub), listeners, certificates.clone(), config.clone());
        if let Some(test_mode) = &test_mode {
            test_mode.set_broker(reloader.as_broker());
        }
        let most_http = config.server.max_http_connections;
        let slots = Arc::new(ConnectionSlots::new(most_http, files.bounds.per_worker, workers));
        let readiness = readiness_of(&hub, &slots, joining.as_ref(), &config);
        let usage = usage_book(&config, &hub);
        let parts = ServiceParts {
            hub,
            guesses: Arc::default(),
            sessions: Arc::new(Sessions::new(config.fallback.max_sessions)),
            unfinished: Arc::new(UnfinishedBodies::new(config.server.http_unfinished_bytes)),
            config,
            wire,
            test_mode,
            slots,
            readiness,
            requests: Arc::new(RequestCounts::default()),
            relays,
            feed: Arc::clone(watchers.feed()),
            admin: admin.iter().flatten().filter_map(ListeningSocket::address).collect(),
        };
        let told = (&parts, joining.as_ref().map(JoiningNode::view));
        let piped = PipeParts { rules, hooks: hook_figures(&hooks) };
        let metrics = metrics_of(told, &webhooks, usage.as_ref(), certificates.as_ref(), &piped, &sockets);
        let admin = admin.zip(usage.clone()).map(|(sockets, usage)| {
            let api = api(&parts.config, managed.clone(), &reloader);
            let heard = (watchers, &webhooks, piped);
            let told = (written_config, joining.as_ref().map(JoiningNode::view));
            admin_listener(sockets, &parts, heard, (api, metrics.clone(), usage), told)
        });
        if let Some(joining) = &mut joining {
            joining.reached_at(admin.as_ref().and_then(AdminListener::place));
        }
        Ok(BoundServer {
            parts,
            reloader,
            webhooks,
            hooks,
            sockets,
            admin,
            files,
            metrics,
            usage,
            certificates,
            patience: Patience::default(),
            supervision: None,
            predecessor: None,
            upgrades: None,
            joining,
            managed,
        })
    }
}

/// Has as many files open as are wanted, and tells whether there are some for the admin listener.
fn open_files(
    config: &Config,
    wanted: &[AssignedListener],
    admin_is_dispensable: bool,
) -> Result<(OpenFiles, bool), StartError> {
    let workers = config.server.worker_threads();
    let listeners = wanted.iter().map(|(wanted, _)| wanted.sockets()).sum();
    let raise = |more| OpenFiles::raise(config.server.max_connections, workers, listeners, more);
    match raise(if config.admin.enabled { admin::FILES } else { 0 }) {
        Err(_) if admin_is_dispensable => Ok((raise(0)?, false)),
        raised => Ok((raised?, config.admin.enabled)),
    }
}

/// The API by which apps are changed.
fn api(config: &Config, managed: Option<Arc<ManagedApps>>, reloader: &Reloader) -> Arc<AppsApi> {
    let live: Arc<dyn LiveApps> = Arc::new(reloader.clone());
    Arc::new(AppsApi::new(managed, live, config.server.http_request_timeout))
}

/// Those who are told of what happens in apps, whichever app it is.
struct TellsOthers {
    watchers: Arc<Watchers>,
    webhooks: Webhooks,
    relays: Relays,
    wire: Arc<PipeWire>,
    rules: Arc<RuleBook>,
}

/// What the rules of all apps have done, and the pipes of the embedding program.
struct PipeParts {
    rules: Arc<RuleBook>,
    /// Each with the id of its app.
    hooks: Vec<(String, HookFigures)>,
}

fn hook_figures(hooks: &[(String, Hook)]) -> Vec<(String, HookFigures)> {
    hooks.iter().map(|(app_id, hook)| (app_id.clone(), hook.figures())).collect()
}

/// Who hears the apps of this node.
///
/// # Errors
/// If something is to hear an app that there is not.
fn listeners_of(
    taps: Vec<(String, Arc<dyn Tap>)>,
    hooks: &[(String, Hook)],
    config: &Config,
    test_mode: Option<Arc<TestMode>>,
) -> Result<(AppListeners, TellsOthers), StartError> {
    let watchers = Arc::new(Watchers::new(Arc::default()));
    let (webhooks, relays) = (Webhooks::watched_by(Arc::clone(watchers.feed())), Relays::new());
    let wire = PipeWire::new(config.pipe.clone());
    let rules = Arc::<RuleBook>::default();
    let listeners = AppListeners::new(
        pipes(taps, hooks),
        webhooks.clone(),
        relays.clone(),
        Arc::clone(&wire),
        (test_mode, Arc::clone(&watchers), Arc::clone(&rules)),
    );
    if let Some(app_id) = listeners.without_app(&config.apps) {
        return Err(StartError::PipeWithoutApp(app_id.to_owned()));
    }
    Ok((listeners, TellsOthers { watchers, webhooks, relays, wire, rules }))
}

/// Whether new clients should be sent here, alone or as one of several nodes.
fn readiness_of(
    hub: &Arc<Hub>,
    slots: &Arc<ConnectionSlots>,
    joining: Option<&JoiningNode>,
    config: &Config,
) -> Arc<Readiness> {
    let readiness = Readiness::new(Arc::clone(hub), Arc::clone(slots));
    Arc::new(match joining {
        Some(joining) => readiness.of_cluster(joining.view(), config.cluster.node.bus_lost),
        None => readiness,
    })
}

/// What the console tells besides: the configuration, and the node among others.
type AdminFacts = (Option<String>, Option<Arc<dyn ClusterView>>);

/// The console, for the admin listener.
fn console(
    parts: &ServiceParts,
    (watchers, webhooks, piped): (Arc<Watchers>, &Webhooks, PipeParts),
    apps_api: Arc<AppsApi>,
    (written_config, cluster): AdminFacts,
) -> Arc<Console> {
    Arc::new(Console::new(ConsoleParts {
        hub: Arc::clone(&parts.hub),
        readiness: Arc::clone(&parts.readiness),
        watchers,
        apps_api,
        webhooks: webhooks.clone(),
        wire: Arc::clone(&parts.wire),
        rules: piped.rules,
        hooks: piped.hooks,
        cluster,
        written_config,
        body_timeout: parts.config.server.http_request_timeout,
    }))
}

/// The admin listener at these sockets, with the console beside what it tells.
fn admin_listener(
    sockets: Vec<ListeningSocket>,
    parts: &ServiceParts,
    watched: (Arc<Watchers>, &Webhooks, PipeParts),
    (api, metrics, usage): (Arc<AppsApi>, Metrics, UsageBook),
    told: AdminFacts,
) -> AdminListener {
    let console = console(parts, watched, Arc::clone(&api), told);
    let admin = admin_of(parts, metrics, usage, (api, Arc::clone(&console)));
    AdminListener { sockets, admin: Arc::new(admin), console }
}

/// What the admin listener serves.
fn admin_of(
    parts: &ServiceParts,
    metrics: Metrics,
    usage: UsageBook,
    (api, console): (Arc<AppsApi>, Arc<Console>),
) -> Admin {
    let access = access(&parts.config, &parts.guesses);
    let routes = (api as Arc<dyn ControlRoutes>, Box::new(console) as Box<dyn ControlRoutes>);
    Admin::new(access, Arc::clone(&parts.hub), Arc::clone(&parts.readiness), metrics, usage, routes)
}

/// Who may ask the admin listener, and where guesses are counted.
fn access(config: &Config, guesses: &Arc<RefusedAddresses>) -> Access {
    guesses.set_most(Access::guesses(config.server.max_refusals_per_address_per_minute));
    let proxies = Arc::new(config.server.trusted_proxies.clone());
    Access::new(&config.admin, draw_token).counting(Arc::clone(guesses), proxies)
}

/// Tells of all these parts.
fn metrics_of(
    (parts, cluster): (&ServiceParts, Option<Arc<dyn ClusterView>>),
    webhooks: &Webhooks,
    usage: Option<&UsageBook>,
    certificates: Option<&Arc<Certificates>>,
    piped: &PipeParts,
    sockets: &[ListeningSocket],
) -> Metrics {
    Metrics::new(MetricSources {
        hub: Arc::clone(&parts.hub),
        guesses: Arc::clone(&parts.guesses),
        feed: Arc::clone(&parts.feed),
        sessions: Arc::clone(&parts.sessions),
        slots: Arc::clone(&parts.slots),
        unfinished: Arc::clone(&parts.unfinished),
        requests: Arc::clone(&parts.requests),
        wire: Arc::clone(&parts.wire),
        webhooks: webhooks.clone(),
        relays: parts.relays.clone(),
        certificates: certificates.cloned(),
        usage: usage.cloned(),
        rules: Arc::clone(&piped.rules),
        hooks: piped.hooks.clone(),
        soketi: soketi_names(&parts.config, sockets),
        cluster,
    })
}

/// A place to listen, with the sockets that were passed on for it.
type AssignedListener = (WantedListener, Vec<InheritedSocket>);

/// Where to listen for those who run the broker, and for everybody else.
fn all_wanted(
    config: &Config,
    inherited: InheritedSockets,
) -> Result<(Option<AssignedListener>, Vec<AssignedListener>), StartError> {
    let wanted = wanted_listeners(config)?.into_iter().chain(wanted_admin(config));
    let wanted = inherited.assign(wanted.collect())?.into_iter();
    let (admin, wanted): (Vec<_>, Vec<_>) = wanted.partition(|(wanted, _)| wanted.role == Role::Admin);
    Ok((admin.into_iter().next(), wanted))
}

/// The sockets of all these, or none.
fn bind_all(
    wanted: Vec<AssignedListener>,
    backlog: u32,
    tls: Option<&rustls::ServerConfig>,
) -> Result<Vec<ListeningSocket>, StartError> {
    let bound = wanted.into_iter().map(|wanted| ListeningSocket::bind(wanted, backlog, tls));
    let sockets: Vec<_> = bound.collect::<Result<_, _>>()?;
    Ok(sockets.into_iter().flatten().collect())
}

/// Bounds what comes from one client address, and what is kept for those who come back.
fn bound_hub(hub: &Hub, config: &Config) {
    hub.set_recovery(config.recovery.clone());
    hub.set_video(&config.video);
    hub.addresses().set_most(config.server.max_connections_per_address);
    hub.refused_addresses().set_most(config.server.max_refusals_per_address_per_minute);
}

/// Takes note of what apps use, where anybody can ask for it, or it is kept.
fn usage_book(config: &Config, hub: &Arc<Hub>) -> Option<UsageBook> {
    let file = config.admin.usage_file.clone();
    (config.admin.enabled || file.is_some()).then(|| UsageBook::open(Arc::clone(hub), file))
}

/// The names of soketi under which some metrics are told again, where there is a prefix for them. The port is the one that
/// clients are told of first.
fn soketi_names(config: &Config, sockets: &[ListeningSocket]) -> Option<SoketiNames> {
    let prefix = config.admin.metrics_prefix.clone();
    let port = sockets.iter().find_map(ListeningSocket::address).map_or(config.server.port, |at| at.port());
    (!prefix.is_empty()).then_some(SoketiNames { prefix, port })
}

/// What hears the events of apps within this program, each with the id of its app.
fn pipes(taps: Vec<(String, Arc<dyn Tap>)>, hooks: &[(String, Hook)]) -> Vec<(String, Arc<dyn Listener>)> {
    let taps = taps.into_iter().map(|(app_id, tap)| {
        let listener: Arc<dyn Listener> = Arc::new(TapListener(tap));
        (app_id, listener)
    });
    let hooks = hooks.iter().map(|(app_id, hook)| (app_id.clone(), Arc::clone(&hook.listener)));
    taps.chain(hooks).collect()
}
