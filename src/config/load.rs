//! From the sources to a configuration: what beats what, and when development mode holds.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::builder::Builder;
use super::draft::AppDraft;
use super::environment::{self, Environment};
use super::file::File;
use super::flags::{self, Flags, InheritedAddresses};
use super::foreign::ForeignVariables;
use super::input_value::InputValue;
use super::origin::file_name;
use super::tables::Tables;
use super::{AppConfig, Config, Error, Origin, Origins, Warning, rules};
use crate::app::{App, DuplicateApp};
use crate::net::{ListenAddress, ListenHost};

/// A configuration, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loaded {
    /// The effective values. At least one app, no two with the same id or key.
    pub config: Config,
    /// Whether development mode holds, and why.
    pub mode: Mode,
    /// The configuration file, if there was one.
    pub file: Option<PathBuf>,
    /// The file of apps that commands and the API may change, whether it is there or not, if there may be one.
    pub apps_file: Option<PathBuf>,
    /// There is no app, and what would be needed for one. Nothing can run with that, but an app can be added.
    pub missing: Option<Error>,
    /// Of the apps, how many are not of that file. They come first.
    pub own_apps: usize,
    /// Where each value came from.
    pub origins: Origins,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Warning>,
    /// Variables that look like settings, and were passed over because Kubernetes or Docker made them for a service whose
    /// name begins so.
    pub skipped: Vec<String>,
    /// Variables of other servers that count.
    pub read: Vec<String>,
    /// Variables, and flags, that would concern an app, and do not, because the apps are those of a file.
    pub unused: Vec<String>,
}

/// Whether development mode holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The broker does what it was configured to do and nothing else.
    Configured,
    /// Development mode, because there is no configuration file, no secret of its own, and nobody else can reach the
    /// broker.
    DevelopmentByDefault,
    /// Development mode, because the user insists on it.
    DevelopmentByName,
}

impl Loaded {
    /// Whether nobody asked for the admin listener by name: where its port is taken, another will do.
    pub(crate) fn brings_admin_along(&self) -> bool {
        let is = |path: &str, origin: &Origin| self.origins.of(path) == origin;
        is("admin.enabled", &Origin::Development) && is("admin.port", &Origin::Default)
    }
}

impl Mode {
    /// Whether development mode holds.
    pub(crate) fn is_development(self) -> bool {
        match self {
            Mode::DevelopmentByDefault | Mode::DevelopmentByName => true,
            Mode::Configured => false,
        }
    }
}

/// The variable whose own value ends development mode, unless that is insisted on.
const APP_SECRET: &str = "HELIOSTAT_APP_SECRET";

/// Builds a configuration from the defaults, the variables of other servers, the configuration file, the environment and
/// the flags, in rising precedence. The file is the one that `--config` or `HELIOSTAT_CONFIG` names, or else the one to be
/// read where it is there, if any. Further apps are read from the apps file, if that is there. `read` fetches both.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub(crate) fn load(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
    read: impl FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<Error>> {
    load_for_change(environment, flags, read)?.with_apps()
}

/// The same for whoever may add an app: there need not be one.
///
/// # Errors
/// Everything else that is wrong, in the order of the file.
pub(crate) fn load_for_change(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
    mut read: impl FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<Error>> {
    let mut builder = Builder::new();
    let (ours, others): (Vec<_>, Vec<_>) =
        environment.into_iter().partition(|(name, _)| environment::is_ours(name));
    let environment = Environment::new(ours, &mut builder);
    let gives = |end: &str| environment.get(&format!("HELIOSTAT_APP_{end}")).is_some();
    let foreign = ForeignVariables::new(others, gives, &mut builder);
    let mut file = named_file(&environment, flags);
    let mut apps = Vec::new();
    if let Some((path, named_by)) = &file {
        match read(path) {
            Ok(bytes) => {
                apps = parse_file(path, &bytes, &mut builder, |mut tables, document| tables.read(document));
            }
            Err(error) if *named_by == Origin::Default && error.kind() == io::ErrorKind::NotFound => {
                file = None
            }
            Err(error) => {
                let (path, named_by, kind) = (path.clone(), named_by.clone(), error.kind());
                builder.errors.push(Error::Unreadable { path, named_by, kind });
            }
        }
    }
    environment.set_node(&mut builder);
    for (flag, path, value) in flags.settings() {
        builder.set_node(path, &InputValue::Text(value), Origin::Flag(flag));
    }
    set_inherited(&flags.inherited, &mut builder);
    foreign.set_node(&mut builder);
    let insists = flags.development || environment.insists_on_development(&mut builder);
    builder.stop_on_errors()?;

    let host = builder.config.server.widest_host();
    // Whoever gives a secret of their own means to keep it, and no proxy makes a loopback address less public.
    let secret = secret_of_first_app(&environment, &foreign);
    let own_secret = secret.as_ref().is_some_and(|(_, secret)| *secret != App::DEFAULT_SECRET);
    let mode = match (insists, &file) {
        (true, _) => Mode::DevelopmentByName,
        (false, None) if host.is_loopback() && !own_secret => Mode::DevelopmentByDefault,
        (false, _) => Mode::Configured,
    };
    if mode.is_development() {
        builder.development_defaults();
    }
    let file = file.map(|(path, _)| path);
    let has_apps = !apps.is_empty();
    let mut missing = None;
    if !has_apps {
        match first_app(mode, file.as_deref(), (&environment, &foreign), &mut builder) {
            Ok(first) => apps.push(first),
            Err(error) => missing = Some(error),
        }
    }
    let own_apps = apps.len();
    let apps_file = apps_file(file.as_deref(), &mut builder);
    if let Some(path) = &apps_file {
        apps.extend(read_apps_file(path, own_apps, read, &mut builder));
    }
    builder.stop_on_errors()?;
    if missing.is_some() {
        environment.leave_apps_alone(&mut builder);
        foreign.leave_apps_alone(&mut builder);
        builder.unused.extend(flags.pipe.first().map(|_| flags::PIPE.to_owned()));
    } else if let Some(first) = apps.first_mut() {
        set_first_app((first, has_apps), (&environment, &foreign), flags, &mut builder);
    }
    let loaded = Loaded::of_apps(builder, apps)?;
    let missing = missing.filter(|_| loaded.config.apps.is_empty());
    Ok(Loaded { mode, file, apps_file, own_apps, missing, ..loaded })
}

impl Loaded {
    /// The same, if there is an app.
    ///
    /// # Errors
    /// What would be needed for one.
    pub(crate) fn with_apps(mut self) -> Result<Self, Vec<Error>> {
        match self.missing.take() {
            Some(missing) => Err(vec![missing]),
            None => Ok(self),
        }
    }

    /// How many apps are of the apps file.
    pub(crate) fn apps_of_file(&self) -> usize {
        self.config.apps.len().saturating_sub(self.own_apps)
    }

    /// Warns where the apps file had apps before, and has none.
    pub(crate) fn warn_of_lost_apps(&mut self, before: usize) {
        if let Some(path) = self.apps_file.as_deref().filter(|_| before > 0 && self.apps_of_file() == 0) {
            self.warnings.push(Warning::NoAppsLeft { file: file_name(path).to_string(), before });
        }
    }

    /// What was gathered, with these apps.
    ///
    /// # Errors
    /// Everything that was wrong before, or is wrong with the apps.
    pub(super) fn of_apps(mut builder: Builder, apps: Vec<AppDraft>) -> Result<Self, Vec<Error>> {
        builder.stop_on_errors()?;
        builder.finish_apps(apps);
        builder.stop_on_errors()?;
        let Builder { config, origins, warnings: mut told, skipped, read, unused, .. } = builder;
        told.extend(warnings(&config));
        told.extend(port_of_nothing(&config, &origins));
        let own_apps = config.apps.len();
        let (mode, file, apps_file, missing, warnings) = (Mode::Configured, None, None, None, told);
        Ok(Loaded {
            config,
            mode,
            file,
            apps_file,
            missing,
            own_apps,
            origins,
            warnings,
            skipped,
            read,
            unused,
        })
    }
}

/// Gives the first app what the environment and the flags have for it. `is_of_file`: foreign names do not concern it.
fn set_first_app(
    (first, is_of_file): (&mut AppDraft, bool),
    (environment, foreign): (&Environment, &ForeignVariables),
    flags: &Flags,
    builder: &mut Builder,
) {
    environment.set_app(first, builder);
    if is_of_file {
        foreign.leave_apps_alone(builder);
    }
    environment.add_rules(first, builder);
    environment.add_webhooks(first, builder);
    for rule in &flags.pipe {
        rules::add(rule, Origin::Flag(flags::PIPE), first, builder);
    }
    if !is_of_file {
        foreign.set_app(first, builder);
    }
}

fn named_file(environment: &Environment, flags: &Flags) -> Option<(PathBuf, Origin)> {
    let by_flag = flags.config.clone().map(|path| (path, Origin::Flag(flags::CONFIG)));
    let by_variable = || {
        let path = environment.get(environment::CONFIG)?;
        Some((PathBuf::from(path), Origin::Variable(environment::CONFIG.to_owned())))
    };
    let found = || Some((flags.default_file.clone()?, Origin::Default));
    by_flag.or_else(by_variable).or_else(found)
}

/// Has sockets that the process was started with count for who can reach the broker, and one of them be the main address,
/// and one the admin listener's, whatever else was given for these.
fn set_inherited(inherited: &InheritedAddresses, builder: &mut Builder) {
    let Config { server, admin, .. } = &mut builder.config;
    server.inherited.clone_from(&inherited.all);
    let for_admin = admin.enabled.then_some(ListenAddress::Tcp(admin.host, admin.port));
    let is_listed = |address: SocketAddr| {
        let mut listed = server.listeners.iter().map(|one| &one.address).chain(&for_admin);
        listed.any(|one| one.is_at(address))
    };
    let main = inherited.main.iter().copied().find(|address| !is_listed(*address));
    server.replaced_host = main.map(|_| server.host);
    // Of several the one that others can reach decides what has to be shown there.
    let admin = inherited.admin.iter().find(|address| !ListenHost::from(address.ip()).is_loopback());
    let admin = admin.or(inherited.admin.first()).copied();
    for (address, flags, paths) in [
        (main, ["--host", "--port"], ["server.host", "server.port"]),
        (admin, ["--admin"; 2], ["admin.host", "admin.port"]),
    ] {
        let values = address.map(|address| [address.ip().to_string(), address.port().to_string()]);
        for (index, value) in values.iter().flatten().enumerate() {
            builder.set_node(paths[index], &InputValue::Text(value), Origin::Flag(flags[index]));
        }
    }
}

fn parse_file(
    path: &Path,
    bytes: &[u8],
    builder: &mut Builder,
    read: impl FnOnce(Tables<'_>, &DeTable<'_>) -> Vec<AppDraft>,
) -> Vec<AppDraft> {
    let parse = || {
        let file = File::new(path, bytes)?;
        let document = file.parse()?;
        Ok(read(Tables { file: &file, builder: &mut *builder }, &document))
    };
    parse().unwrap_or_else(|error| {
        builder.errors.push(error);
        Vec::new()
    })
}

/// Where the apps are that commands and the API change: where that is configured, or beside the configuration file.
fn apps_file(file: Option<&Path>, builder: &mut Builder) -> Option<PathBuf> {
    let Some(path) = &builder.config.admin.apps_file else {
        return file.map(|file| file.with_extension("apps.toml"));
    };
    if file.is_some_and(|file| is_same(file, path)) {
        let at = builder.origins.of("admin.apps_file").clone();
        builder.errors.push(Error::OneFileForBoth { at, file: file_name(path).to_string() });
        return None;
    }
    Some(path.clone())
}

/// Whether both lead to one file, however they are spelled.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().ok();
    one == other || place(one).is_some_and(|one| place(other) == Some(one))
}

/// Reads the apps of that file, of which the first is the app at `index`.
fn read_apps_file(
    path: &Path,
    index: usize,
    read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    builder: &mut Builder,
) -> Vec<AppDraft> {
    match read(path) {
        Ok(bytes) => {
            parse_file(path, &bytes, builder, |mut tables, document| tables.read_apps(index, document))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            builder.errors.push(Error::AppsFileUnreadable { path: path.to_owned(), kind: error.kind() });
            Vec::new()
        }
    }
}

/// The variable that gives the first app's secret, and its value.
fn secret_of_first_app<'e>(
    environment: &'e Environment,
    foreign: &'e ForeignVariables,
) -> Option<(&'e str, &'e str)> {
    let own = environment.get(APP_SECRET).map(|secret| (APP_SECRET, secret));
    own.or_else(|| foreign.given_credential("SECRET"))
}

/// The app that the environment defines or development mode brings along, where the file has none.
fn first_app(
    mode: Mode,
    file: Option<&Path>,
    (environment, foreign): (&Environment, &ForeignVariables),
    builder: &mut Builder,
) -> Result<AppDraft, Error> {
    const CREDENTIALS: [(&str, &str); 3] =
        [("HELIOSTAT_APP_ID", "ID"), ("HELIOSTAT_APP_KEY", "KEY"), (APP_SECRET, "SECRET")];
    if mode.is_development() {
        return Ok(builder.development_app());
    }
    let (mut given, mut missing) = (Vec::new(), Vec::new());
    for (name, end) in CREDENTIALS {
        match (environment.get(name), foreign.given_credential(end)) {
            (Some(_), _) => given.push(name),
            (None, Some((name, _))) => given.push(name),
            (None, None) => missing.push(name),
        }
    }
    match (file, given.first()) {
        (_, Some(name)) if missing.is_empty() => Ok(AppDraft::begun_at(Origin::Variable((*name).to_owned()))),
        // What is missing is said of the app that was begun: nobody else can reach this address.
        (None, Some(_)) if builder.config.server.widest_host().is_loopback() => {
            let secret = secret_of_first_app(environment, foreign).map_or(APP_SECRET, |(name, _)| name);
            Ok(AppDraft::begun_at(Origin::Variable(secret.to_owned())))
        }
        (None, _) => Err(Error::PublicSecret { host: builder.config.server.widest_host(), missing }),
        (Some(file), _) => Err(Error::NoApps { file: file_name(file).to_string() }),
    }
}

impl Builder {
    fn stop_on_errors(&mut self) -> Result<(), Vec<Error>> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let mut errors = std::mem::take(&mut self.errors);
        errors.sort_by_key(Error::line);
        Err(errors)
    }

    /// Turns on what was not turned off by name.
    fn development_defaults(&mut self) {
        let wanted = Config::development().development;
        let Config { development, .. } = &mut self.config;
        let switches = [
            ("development.pages", &mut development.pages, wanted.pages),
            ("development.auth_endpoints", &mut development.auth_endpoints, wanted.auth_endpoints),
        ];
        for (path, switch, wanted) in switches {
            if *self.origins.of(path) == Origin::Default {
                *switch = wanted;
                self.origins.record(path.to_owned(), Origin::Development);
            }
        }
        let admin = "admin.enabled";
        if *self.origins.of(admin) == Origin::Default {
            self.config.admin.enabled = true;
            self.origins.record(admin.to_owned(), Origin::Development);
        }
    }

    /// Development mode's app. What it shares with any app counts as a default.
    fn development_app(&mut self) -> AppDraft {
        let draft = AppDraft::of(&AppConfig::development());
        let plain = AppDraft::begun_at(Origin::Default);
        let own: Vec<_> =
            self.app_settings().filter(|s| s.write(&draft) != s.write(&plain)).map(|s| s.path).collect();
        for path in own {
            self.origins.record(format!("apps[0].{path}"), Origin::Development);
        }
        for index in 0..draft.pipe.len() {
            self.origins.record(format!("apps[0].pipe[{index}]"), Origin::Development);
        }
        draft
    }

    /// Makes apps of the drafts, if each is complete and all can be told apart.
    pub(super) fn finish_apps(&mut self, drafts: Vec<AppDraft>) {
        for (index, draft) in drafts.into_iter().enumerate() {
            match draft.finish(index, &self.origins) {
                Ok(app) => self.config.apps.push(app),
                Err(error) => self.errors.push(error),
            }
        }
        for source in DuplicateApp::all(self.config.apps.iter().map(|app| &app.app)) {
            let (at, first) = self.origins_of_duplicate(&source);
            self.errors.push(Error::Duplicate { at, first, source });
        }
    }

    /// Where the later of the two stands, and the first where that is in no other line of the same file.
    fn origins_of_duplicate(&self, duplicate: &DuplicateApp) -> (Origin, Option<Origin>) {
        let has = |app: &AppConfig| match duplicate {
            DuplicateApp::Id(id) => app.app.id == *id,
            DuplicateApp::Key(key) => app.app.secret_of(key).is_some(),
        };
        let fields: &[&str] = match duplicate {
            DuplicateApp::Id(_) => &["id"],
            DuplicateApp::Key(_) => &["key", "keys"],
        };
        let origin = |index: Option<usize>| {
            let index = index.unwrap_or_default();
            let mut origins = fields.iter().map(|field| self.origins.of(&format!("apps[{index}].{field}")));
            origins.find(|origin| **origin != Origin::Default).cloned().unwrap_or(Origin::Default)
        };
        let apps = &self.config.apps;
        let (at, first) = (origin(apps.iter().rposition(has)), origin(apps.iter().position(has)));
        let is_elsewhere = at.file() != first.file();
        (at, Some(first).filter(|_| is_elsewhere))
    }
}

/// Reads a configuration file of this text where there is no other file.
#[cfg(test)]
pub(crate) fn only(text: &[u8]) -> impl Fn(&Path) -> io::Result<Vec<u8>> {
    move |path| {
        let is_of_apps = path.to_string_lossy().ends_with(".apps.toml");
        if is_of_apps { Err(io::ErrorKind::NotFound.into()) } else { Ok(text.to_vec()) }
    }
}

fn warnings(config: &Config) -> Vec<Warning> {
    let host = config.server.widest_host();
    if host.is_loopback() {
        return Vec::new();
    }
    let uses_public_secret =
        |app: &&AppConfig| app.app.keys.iter().any(|key| key.secret.text() == App::DEFAULT_SECRET);
    let public_secrets = config.apps.iter().filter(uses_public_secret);
    let public_secrets = public_secrets.map(|app| Warning::PublicSecret { host, app: app.app.id.clone() });
    let open = config.development.auth_endpoints.then_some(Warning::OpenAuthEndpoints { host });
    public_secrets.chain(open).collect()
}

/// Another server's name for the port of the metrics turns nothing on alone, here as there.
fn port_of_nothing(config: &Config, origins: &Origins) -> Option<Warning> {
    let name = match origins.of("admin.port") {
        Origin::Variable(name) if !name.starts_with("HELIOSTAT_") => name.clone(),
        option @ Origin::Option { .. } => option.to_string(),
        _ => return None,
    };
    let advice = "the listener is off: metrics.enabled, which is SOKETI_METRICS_ENABLED, turns it on";
    (!config.admin.enabled).then_some(Warning::NoCounterpart { name, advice })
}
