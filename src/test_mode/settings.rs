//! The configuration of a broker that is started for tests.

use crate::app::App;
use crate::config::{AppConfig, ClusterSettings, Config, Loaded, Mode, Origin, Warning};

use super::credentials::draw_app;

/// Worker threads of a broker for tests: enough that what goes from one to another is tested, and soon started.
const WORKERS: usize = 2;

/// An app for tests, with credentials that nobody can guess. What passes here should pass in production: its limits are
/// those of hosted Pusher. Client events are on, because nobody can be asked to switch them on.
pub(crate) fn app_for_tests() -> AppConfig {
    draw_app(&AppConfig::new(App { client_events: true, ..App::new("", "", "") }))
}

/// A configuration for tests, with one such app, on a free port that only this machine can reach.
pub fn config_for_tests() -> Config {
    let mut config = Config { apps: vec![app_for_tests()], ..Config::default() };
    (config.server.port, config.server.workers) = (0, WORKERS);
    config
}

/// Makes a loaded configuration one for tests. Where it has no file, its app is one with limits as they are in
/// production, client events on, and credentials that nobody can guess, but for what the environment says. The log is
/// silent unless it was asked for.
pub(crate) fn for_tests(loaded: &mut Loaded, silent: bool) {
    let Loaded { config, mode, file, origins, warnings, .. } = loaded;
    let is_given = |path: &str| !matches!(origins.of(path), Origin::Default | Origin::Development);
    if silent && !is_given("logging.level") {
        config.logging.level = "off".to_owned();
    }
    // Whatever it is told of the project's broker, a broker for tests is alone.
    config.cluster = ClusterSettings::default();
    if !is_given("server.workers") {
        config.server.workers = WORKERS;
    }
    if !is_given("admin.enabled") {
        config.admin.enabled = false;
    }
    if file.is_some() || !mode.is_development() {
        return;
    }
    *mode = Mode::Configured;
    if !is_given("development.pages") {
        config.development.pages = false;
    }
    if !is_given("development.auth_endpoints") {
        config.development.auth_endpoints = false;
    }
    let Some(first) = config.apps.first_mut() else { return };
    let development = AppConfig::development();
    // The conveniences of development mode are none for tests.
    let plain = app_for_tests().app;
    if !is_given("apps[0].limits.client_event_payload_bytes") {
        first.app.limits.client_event_payload_bytes = plain.limits.client_event_payload_bytes;
    }
    if !is_given("apps[0].limits.client_events_per_second") {
        first.app.limits.client_events_per_second = plain.limits.client_events_per_second;
    }
    if !is_given("apps[0].http_streams") {
        first.app.http_streams = plain.http_streams;
    }
    first.pipe.retain(|rule| !development.pipe.contains(rule));
    if !is_given("apps[0].id") {
        first.app.id = plain.id;
    }
    let (mut key, drawn_key) = match (first.app.keys.first().cloned(), plain.keys.into_iter().next()) {
        (Some(key), Some(drawn)) => (key, drawn),
        _ => return,
    };
    if !is_given("apps[0].key") {
        key.key = drawn_key.key;
    }
    if !is_given("apps[0].secret") {
        key.secret = drawn_key.secret;
    }
    first.app.keys = vec![key];
    // Its secret is not public knowledge any more.
    warnings.retain(|warning| {
        !matches!(warning, Warning::PublicSecret { .. } | Warning::OpenAuthEndpoints { .. })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load, only};

    fn loaded(environment: &[(&str, &str)], file: Option<&str>) -> Loaded {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let flags =
            Flags { config: file.map(|_| "x.toml".into()), development: file.is_none(), ..Flags::default() };
        let mut loaded = load(environment, &flags, only(file.unwrap_or_default().as_bytes())).unwrap();
        for_tests(&mut loaded, true);
        loaded
    }

    #[test]
    fn without_a_file_the_app_is_as_in_production() {
        let one = loaded(&[], None).config;
        let app = &one.apps[0];
        assert!(app.app.client_events && app.pipe.is_empty());
        assert_eq!(app.app.limits, App::new("", "", "").limits);
        assert_ne!(app.app.keys[0].key, App::DEFAULT_KEY);
        assert_ne!(app.app.keys[0].secret.text(), App::DEFAULT_SECRET);
        assert!(
            !one.admin.enabled
                && !one.development.pages
                && !one.development.auth_endpoints
                && !app.app.http_streams
        );
        assert_eq!(one.server.workers, WORKERS);
        assert_eq!(one.logging.level, "off");
        assert_ne!(loaded(&[], None).config.apps[0].app.id, app.app.id);
    }

    #[test]
    fn what_is_given_stays() {
        let environment = [
            ("HELIOSTAT_APP_KEY", "my-key"),
            ("HELIOSTAT_APP_LIMITS_CLIENT_EVENTS_PER_SECOND", "7"),
            ("HELIOSTAT_LOGGING_LEVEL", "debug"),
            ("HELIOSTAT_SERVER_WORKERS", "5"),
            ("HELIOSTAT_APP_HTTP_STREAMS", "true"),
            ("HELIOSTAT_ADMIN_ENABLED", "true"),
            ("HELIOSTAT_PIPE", "a:e=b"),
        ];
        let config = loaded(&environment, None).config;
        assert_eq!(config.apps[0].app.keys[0].key, "my-key");
        assert_eq!(config.apps[0].app.limits.client_events_per_second, 7);
        assert_eq!((config.logging.level.as_str(), config.apps[0].pipe.len()), ("debug", 1));
        assert!(config.server.workers == 5 && config.apps[0].app.http_streams && config.admin.enabled);
    }

    #[test]
    fn a_file_is_taken_as_it_is() {
        let config = loaded(&[], Some("[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"s\"\n")).config;
        assert_eq!((config.apps[0].app.id.as_str(), config.apps[0].app.client_events), ("7", false));
    }
}
