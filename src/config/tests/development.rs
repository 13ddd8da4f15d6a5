//! When development mode holds, and what it changes.

use std::net::SocketAddr;

use super::*;

/// Mode, pages and auth endpoints.
type Outcome = (Mode, bool, bool);

/// File, variables and flags, and what becomes of them.
type Case<'c> = (Option<&'c str>, &'c [(&'c str, &'c str)], Flags, Outcome);

fn outcome(sources: &Sources<'_>) -> Outcome {
    let loaded = sources.load().unwrap_or_else(|errors| panic!("{errors:?}"));
    let Development { pages, auth_endpoints, .. } = loaded.config.development;
    (loaded.mode, pages, auth_endpoints)
}

const CREDENTIALS: [(&str, &str); 3] =
    [("HELIOSTAT_APP_ID", "9"), ("HELIOSTAT_APP_KEY", "k9"), ("HELIOSTAT_APP_SECRET", "s9")];

#[test]
fn without_any_source_the_values_are_those_of_development() {
    let loaded = Sources::default().load().unwrap();
    assert!(loaded.brings_admin_along());
    let development = Config::development();
    let admin = AdminConfig { enabled: true, ..AdminConfig::default() };
    assert_eq!(loaded.config, Config { admin, ..development });
    assert_eq!((loaded.mode, loaded.file, loaded.warnings), (Mode::DevelopmentByDefault, None, vec![]));
    let app = &loaded.config.apps[0].app;
    assert_eq!(
        (app.id.as_str(), app.keys[0].key.as_str(), app.keys[0].secret.text()),
        ("1001", "app-key", "app-secret")
    );
    assert_eq!(
        (app.limits.client_event_payload_bytes, app.limits.client_events_per_second),
        (1_048_576, 100)
    );
    assert_eq!(loaded.config.apps[0].pipe.len(), 5);
}

#[test]
fn the_origins_tell_what_development_mode_changed() {
    let origins = Sources::default().load().unwrap().origins;
    let changed = [
        "development.pages",
        "development.auth_endpoints",
        "apps[0].id",
        "apps[0].key",
        "apps[0].secret",
        "apps[0].client_events",
        "apps[0].limits.client_event_payload_bytes",
        "apps[0].limits.client_events_per_second",
        "apps[0].pipe[0]",
        "apps[0].pipe[1]",
    ];
    for path in changed {
        assert_eq!(origins.of(path), &Origin::Development, "{path}");
    }
    for path in ["server.port", "apps[0].enabled", "apps[0].limits.connections"] {
        assert_eq!(origins.of(path), &Origin::Default, "{path}");
    }
}

#[test]
fn the_mode_depends_on_file_address_and_will() {
    use Mode::{Configured, DevelopmentByDefault, DevelopmentByName};
    let file = with_app("");
    let file = Some(file.as_str());
    let host = |host: &str, development| Flags { development, ..Flags::default().with("--host", host) };
    let by_name = [("HELIOSTAT_DEVELOPMENT_PAGES", "true"), ("HELIOSTAT_DEVELOPMENT_AUTH_ENDPOINTS", "true")];
    let off = [("HELIOSTAT_DEVELOPMENT_PAGES", "false"), ("HELIOSTAT_DEVELOPMENT_AUTH_ENDPOINTS", "false")];
    let insisting = [("HELIOSTAT_DEVELOPMENT", "true")];
    let public = [CREDENTIALS[0], CREDENTIALS[1], ("HELIOSTAT_APP_SECRET", App::DEFAULT_SECRET)];
    let none: &[(&str, &str)] = &[];
    let loopback = || host("127.8.8.8", false);
    let cases: [Case<'_>; 15] = [
        (None, none, loopback(), (DevelopmentByDefault, true, true)),
        (None, none, host("::1", false), (DevelopmentByDefault, true, true)),
        (None, none, host("localhost", false), (DevelopmentByDefault, true, true)),
        (None, &off, loopback(), (DevelopmentByDefault, false, false)),
        (None, &CREDENTIALS, loopback(), (Configured, false, false)),
        (None, &CREDENTIALS, host("::1", true), (DevelopmentByName, true, true)),
        (None, &public, loopback(), (DevelopmentByDefault, true, true)),
        (None, &CREDENTIALS[..2], loopback(), (DevelopmentByDefault, true, true)),
        (None, &CREDENTIALS, host("0.0.0.0", false), (Configured, false, false)),
        (None, none, host("0.0.0.0", true), (DevelopmentByName, true, true)),
        (file, none, loopback(), (Configured, false, false)),
        (file, &by_name, host("::", false), (Configured, true, true)),
        (file, none, host("::", true), (DevelopmentByName, true, true)),
        (file, &insisting, loopback(), (DevelopmentByName, true, true)),
        (file, &off, host("127.0.0.1", true), (DevelopmentByName, false, false)),
    ];
    for (number, (file, variables, flags, expected)) in cases.into_iter().enumerate() {
        assert_eq!(
            outcome(&Sources { file, variables, flags, ..Sources::default() }),
            expected,
            "case {number}"
        );
    }
}

/// Flags of a process that was started with sockets, of which the first so many are named as the main one is.
fn started_with(sockets: &[&str], main: usize) -> Flags {
    let addresses: Vec<SocketAddr> = sockets.iter().map(|address| address.parse().unwrap()).collect();
    let all = addresses.iter().map(SocketAddr::ip).collect();
    Flags::default().at(InheritedAddresses { all, main: addresses[..main].to_vec(), admin: Vec::new() })
}

#[test]
fn development_mode_is_off_where_any_socket_that_was_passed_on_can_be_reached() {
    let local = started_with(&["127.0.0.1:7001", "[::1]:7002"], 2);
    let loaded = Sources { flags: local, ..Sources::default() }.load().unwrap();
    let ServerConfig { host, port, .. } = loaded.config.server;
    assert_eq!(
        (loaded.mode, host.to_string().as_str(), port),
        (Mode::DevelopmentByDefault, "127.0.0.1", 7001)
    );
    for main in 0..=2 {
        let mut flags = started_with(&["127.0.0.1:7001", "0.0.0.0:7002"], main);
        let sources = Sources { flags: flags.clone(), ..Sources::default() };
        let complaints = sources.complaints();
        assert!(complaints[0].contains("0.0.0.0"), "{complaints:?}");
        flags.development = true;
        let loaded = Sources { flags: flags.of_file(None), ..Sources::default() }.load().unwrap();
        assert_eq!(loaded.config.server.widest_host().to_string(), "0.0.0.0");
        assert_eq!(loaded.warnings.len(), 2, "the public secret and the endpoints: {:?}", loaded.warnings);
    }
}

#[test]
fn a_socket_that_a_listener_is_configured_at_is_not_the_main_one() {
    let text = with_app("[[server.listeners]]\naddress = \"127.0.0.1:7001\"\nproxy_protocol = true");
    let variables = &[("HELIOSTAT_SERVER_PORT", "7")];
    for (sockets, port) in [
        (&["127.0.0.1:7001", "127.0.0.1:7002"][..], 7002),
        (&["127.0.0.1:7003", "127.0.0.1:7001"], 7003),
        (&["127.0.0.1:7001"], 7),
    ] {
        let flags = started_with(sockets, sockets.len());
        let loaded = Sources { file: Some(&text), variables, flags, ..Sources::default() }.load().unwrap();
        assert_eq!(
            (loaded.config.server.port, loaded.config.server.listeners.len()),
            (port, 1),
            "{sockets:?}"
        );
    }
}

#[test]
fn a_socket_of_the_admin_listener_decides_what_has_to_be_shown_there() {
    let text = with_app("[admin]\nenabled = true");
    let passed_on = |sockets: &[&str]| {
        let mut flags = started_with(sockets, 0);
        flags.inherited.admin = sockets.iter().map(|address| address.parse().unwrap()).collect();
        Sources { file: Some(&text), flags, ..Sources::default() }.load().unwrap().config.admin
    };
    for (sockets, host, port) in [
        (&["127.0.0.1:7001"][..], "127.0.0.1", 7001),
        (&["127.0.0.1:7001", "[::1]:7002"], "127.0.0.1", 7001),
        (&["127.0.0.1:7001", "0.0.0.0:7002"], "0.0.0.0", 7002),
        (&["[2001:db8::1]:7002", "127.0.0.1:7001"], "2001:db8::1", 7002),
        (&[], "127.0.0.1", 9601),
    ] {
        let admin = passed_on(sockets);
        assert_eq!((admin.host.to_string().as_str(), admin.port), (host, port), "{sockets:?}");
        assert_eq!(admin.check().is_ok(), admin.host.is_loopback(), "{sockets:?}");
    }
}

#[test]
fn where_a_socket_was_passed_on_other_ports_stay_at_the_address_that_was_configured() {
    let text = with_app("[server]\nhost = \"127.0.0.2\"");
    for (sockets, host) in [(&["0.0.0.0:7001"][..], "0.0.0.0"), (&[], "127.0.0.2")] {
        let flags = started_with(sockets, sockets.len());
        let server = Sources { file: Some(&text), flags, ..Sources::default() }.load().unwrap().config.server;
        assert_eq!(
            (server.host.to_string().as_str(), server.own_host().to_string().as_str()),
            (host, "127.0.0.2")
        );
    }
}

#[test]
fn the_file_decides_by_its_own_address_and_switches() {
    let text = with_app("development = { pages = true }");
    let sources = Sources { file: Some(&text), ..Sources::default() };
    assert_eq!(outcome(&sources), (Mode::Configured, true, false));
}

#[test]
fn an_app_of_the_environment_is_a_development_app_only_if_that_is_asked_for() {
    let flags = Flags { development: true, ..Flags::default() };
    let development = Sources { variables: &CREDENTIALS, flags, ..Sources::default() }.load().unwrap();
    let mut expected = AppConfig::development();
    expected.app.id = "9".to_owned();
    expected.app.keys = crate::app::App::new("9", "k9", "s9").keys;
    assert_eq!(development.config.apps, [expected]);

    let flags = Flags { pipe: vec!["a:e=b".to_owned()], ..Flags::default().with("--host", "0.0.0.0") };
    let exposed = Sources { variables: &CREDENTIALS, flags, ..Sources::default() }.load().unwrap();
    let pipe = vec![RuleSpec::parse("a:e=b").unwrap()];
    assert_eq!(
        exposed.config.apps,
        [AppConfig { pipe, ..AppConfig::new(crate::app::App::new("9", "k9", "s9")) }]
    );
    assert_eq!(exposed.warnings, []);
}

#[test]
fn a_secret_of_ones_own_ends_development_mode_and_wants_the_rest_of_its_app() {
    let complaints = Sources { variables: &CREDENTIALS[2..], ..Sources::default() }.complaints();
    let missing =
        "HELIOSTAT_APP_SECRET: an app needs \"id\", which is missing; HELIOSTAT_APP_ID may give it too";
    assert_eq!(complaints, [missing]);
    let local = Sources { variables: &CREDENTIALS, ..Sources::default() }.load().unwrap();
    assert_eq!(local.config.apps, [AppConfig::new(crate::app::App::new("9", "k9", "s9"))]);
}

#[test]
fn rules_of_ones_own_join_those_of_development_mode() {
    let flags = Flags { pipe: vec!["a:e=b".into(), "stream:frame=mirror:frame".into()], ..Flags::default() };
    let loaded =
        Sources { variables: &[("HELIOSTAT_PIPE", "c:e=d")], flags, ..Sources::default() }.load().unwrap();
    let heard: Vec<_> = loaded.config.apps[0].pipe.iter().map(|rule| rule.from.to_string()).collect();
    assert_eq!(heard[..2], ["stream", "private-stream"]);
    assert_eq!(heard[5..], ["c", "a"]);
}

#[test]
fn insisting_brings_the_default_app_only_where_there_is_none() {
    let insist = Flags { development: true, ..Flags::default() };
    let own = with_app("");
    let loaded = Sources { file: Some(&own), flags: insist.clone(), ..Sources::default() }.load().unwrap();
    assert_eq!(loaded.config.apps, [AppConfig::new(crate::app::App::new("7", "key-7", "hush"))]);
    let loaded =
        Sources { file: Some("[server]\nport = 1"), flags: insist, ..Sources::default() }.load().unwrap();
    assert_eq!(loaded.config.apps, [AppConfig::development()]);
}

#[test]
fn where_others_can_reach_the_broker_the_default_secret_is_refused() {
    let exposed = || Flags::default().with("--host", "0.0.0.0");
    let complaints = Sources { flags: exposed(), ..Sources::default() }.complaints();
    assert_eq!(
        complaints,
        [
            "0.0.0.0 can be reached from other machines, where the default app's secret is public knowledge: set \
          HELIOSTAT_APP_ID, HELIOSTAT_APP_KEY and HELIOSTAT_APP_SECRET, or give a file with --config, or insist \
          with --development"
        ]
    );
    let complaints =
        Sources { variables: &CREDENTIALS[..2], flags: exposed(), ..Sources::default() }.complaints();
    assert!(complaints[0].contains(": set HELIOSTAT_APP_SECRET, or give"), "{complaints:?}");
}

#[test]
fn what_is_open_to_others_is_warned_of() {
    let host = "0.0.0.0".parse().unwrap();
    let flags = Flags { development: true, ..Flags::default().with("--host", "0.0.0.0") };
    let warnings = Sources { flags, ..Sources::default() }.load().unwrap().warnings;
    assert_eq!(
        warnings,
        [Warning::PublicSecret { host, app: "1001".to_owned() }, Warning::OpenAuthEndpoints { host }]
    );
    let text = with_app("server = { host = '0.0.0.0' }");
    assert_eq!(Sources { file: Some(&text), ..Sources::default() }.load().unwrap().warnings, []);
}
