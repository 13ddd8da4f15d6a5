//! The first app: the one that the environment defines or development mode brings along where the file has none, and what
//! the environment and the flags say of the first of a file.

use std::path::Path;

use super::builder::Builder;
use super::draft::AppDraft;
use super::environment::Environment;
use super::flags::{self, Flags};
use super::foreign::ForeignVariables;
use super::loaded::Mode;
use super::origin::file_name;
use super::{AppConfig, Error, Origin, rules};

/// The variable whose own value ends development mode, unless that is insisted on.
const APP_SECRET: &str = "HELIOSTAT_APP_SECRET";

/// Gives the first app what the environment and the flags have for it. `is_of_file`: foreign names do not concern it.
pub(super) fn set_first_app(
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

/// The variable that gives the first app's secret, and its value.
pub(super) fn secret_of_first_app<'e>(
    environment: &'e Environment,
    foreign: &'e ForeignVariables,
) -> Option<(&'e str, &'e str)> {
    let own = environment.get(APP_SECRET).map(|secret| (APP_SECRET, secret));
    own.or_else(|| foreign.given_credential("SECRET"))
}

/// The app that the environment defines or development mode brings along, where the file has none.
pub(super) fn first_app(
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
        for index in 0..draft.app.channels.len() {
            self.origins.record(format!("apps[0].channels[{index}]"), Origin::Development);
        }
        draft
    }
}
