//! A configuration that was loaded: its values, how they came to be, and what is odd about them.

use std::path::PathBuf;

use super::builder::Builder;
use super::draft::AppDraft;
use super::origin::file_name;
use super::{AppConfig, Config, Error, Origin, Origins, Warning};
use crate::app::App;

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

impl Mode {
    /// Whether development mode holds.
    pub(crate) fn is_development(self) -> bool {
        match self {
            Mode::DevelopmentByDefault | Mode::DevelopmentByName => true,
            Mode::Configured => false,
        }
    }
}

impl Loaded {
    /// Whether nobody asked for the admin listener by name: where its port is taken, another will do.
    pub(crate) fn brings_admin_along(&self) -> bool {
        let is = |path: &str, origin: &Origin| self.origins.of(path) == origin;
        is("admin.enabled", &Origin::Development) && is("admin.port", &Origin::Default)
    }

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
        let Builder { config, origins, mut warnings, skipped, read, unused, .. } = builder;
        warnings.extend(warnings_of(&config));
        warnings.extend(port_of_nothing(&config, &origins));
        Ok(Loaded {
            mode: Mode::Configured,
            file: None,
            apps_file: None,
            missing: None,
            own_apps: config.apps.len(),
            config,
            origins,
            warnings,
            skipped,
            read,
            unused,
        })
    }
}

fn warnings_of(config: &Config) -> Vec<Warning> {
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
