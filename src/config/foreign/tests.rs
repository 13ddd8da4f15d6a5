//! Every row of the tables, and which of several names counts.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;

use super::*;
use crate::app::App;
use crate::config::{Flags, Loaded, Mode, load, only};

type Variables<'v> = &'v [(&'v str, &'v str)];

fn sources(variables: Variables<'_>, file: Option<&str>, flags: Flags) -> Result<Loaded, Vec<Error>> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let config = file.map(|_| "h.toml".into());
    load(variables, &Flags { config, ..flags }, |path| match file {
        Some(text) => only(text.as_bytes())(path),
        None => Err(io::ErrorKind::NotFound.into()),
    })
}

fn loaded(variables: Variables<'_>) -> Loaded {
    sources(variables, None, Flags::default()).unwrap_or_else(|errors| panic!("{variables:?}: {errors:?}"))
}

fn complaints(variables: Variables<'_>) -> Vec<String> {
    let errors = sources(variables, None, Flags::default()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn warnings(variables: Variables<'_>) -> Vec<String> {
    loaded(variables).warnings.iter().map(ToString::to_string).collect()
}

const OWN: [(&str, &str); 3] =
    [("HELIOSTAT_APP_ID", "7"), ("HELIOSTAT_APP_KEY", "k"), ("HELIOSTAT_APP_SECRET", "s")];

/// A value of each variable that sets something, and the lines of `print-config` that come of it.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("SOKETI_HOST", "127.0.0.2", &["host = \"127.0.0.2\""]),
    ("SOKETI_PORT", "7001", &["port = 7001"]),
    ("SOKETI_PATH_PREFIX", "/realtime/", &["path_prefix = \"/realtime\""]),
    ("SOKETI_SSL_CERT", "/c.pem", &["tls_certificate = \"/c.pem\""]),
    ("SOKETI_SSL_KEY", "/k.pem", &["tls_key = \"/k.pem\""]),
    ("SOKETI_SHUTDOWN_GRACE_PERIOD", "3500", &["shutdown_grace_seconds = 3.5"]),
    ("SOKETI_DEBUG", "1", &["level = \"debug\""]),
    ("SOKETI_METRICS_ENABLED", "1", &["enabled = true"]),
    ("SOKETI_METRICS_SERVER_PORT", "9602", &["port = 9602"]),
    ("SOKETI_METRICS_PROMETHEUS_PREFIX", "app_", &["metrics_prefix = \"app_\""]),
    ("SOKETI_DEFAULT_APP_ID", "42", &["id = \"42\""]),
    ("SOKETI_DEFAULT_APP_KEY", "\"quoted\"", &["key = \"quoted\""]),
    ("SOKETI_DEFAULT_APP_SECRET", "hush", &["secret = \"hush\""]),
    ("SOKETI_DEFAULT_APP_ENABLED", "false", &["enabled = false"]),
    ("SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", "true", &["client_events = true"]),
    ("SOKETI_DEFAULT_APP_USER_AUTHENTICATION", "1", &["authorized_connections = true"]),
    ("SOKETI_DEFAULT_APP_MAX_CONNS", "-1", &["connections = 0"]),
    ("SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC", "25", &["client_events_per_second = 25"]),
    ("SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC", "500", &["backend_events_per_second = 500"]),
    ("SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC", "-1", &["read_requests_per_second = 0"]),
    ("SOKETI_USER_AUTHENTICATION_TIMEOUT", "30000", &["authorization_timeout_seconds = 30"]),
    ("SOKETI_CHANNEL_LIMITS_MAX_NAME_LENGTH", "180", &["channel_name_chars = 180"]),
    ("SOKETI_CHANNEL_CACHE_TTL", "3600", &["cache_ttl_seconds = 3600"]),
    ("SOKETI_EVENT_MAX_BATCH_SIZE", "20", &["events_per_batch = 20"]),
    ("SOKETI_EVENT_MAX_CHANNELS_AT_ONCE", "50", &["channels_per_event = 50"]),
    ("SOKETI_EVENT_MAX_NAME_LENGTH", "100", &["event_name_chars = 100"]),
    (
        "SOKETI_EVENT_MAX_SIZE_IN_KB",
        "100",
        &["event_payload_bytes = 102400", "client_event_payload_bytes = 102400"],
    ),
    ("SOKETI_PRESENCE_MAX_MEMBERS", "500", &["presence_members_per_channel = 500"]),
    ("SOKETI_PRESENCE_MAX_MEMBER_SIZE", "2", &["presence_member_bytes = 2048"]),
    ("SOKETI_WEBHOOKS_BATCHING", "true", &["batching = true"]),
    ("SOKETI_WEBHOOKS_BATCHING_DURATION", "50", &["batch_window_seconds = 0.05"]),
    ("REVERB_SERVER_HOST", "127.0.0.3", &["host = \"127.0.0.3\""]),
    ("REVERB_SERVER_PORT", "8080", &["port = 8080"]),
    ("REVERB_SERVER_PATH", "ws", &["path_prefix = \"/ws\""]),
    ("REVERB_MAX_REQUEST_SIZE", "10000", &["http_body_bytes = 10000"]),
    ("REVERB_APP_ID", "43", &["id = \"43\""]),
    ("REVERB_APP_KEY", "rk", &["key = \"rk\""]),
    ("REVERB_APP_SECRET", "rs", &["secret = \"rs\""]),
    ("REVERB_APP_MAX_CONNECTIONS", "100", &["connections = 100"]),
    (
        "REVERB_APP_MAX_MESSAGE_SIZE",
        "20000",
        &["message_bytes = 20000", "client_event_payload_bytes = 20000"],
    ),
    ("REVERB_APP_PING_INTERVAL", "60", &["ping_after_seconds = 60"]),
    ("REVERB_APP_ACTIVITY_TIMEOUT", "30", &["activity_timeout_seconds = 30"]),
    (
        "REVERB_APP_ALLOWED_ORIGINS",
        "example.com,*.example.com",
        &["allowed_origins = [\"example.com:*\", \"*.example.com:*\"]"],
    ),
    ("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "members", &["client_events = true"]),
    ("PUSHER_APP_ID", "44", &["id = \"44\""]),
    ("PUSHER_APP_KEY", "pk", &["key = \"pk\""]),
    ("PUSHER_APP_SECRET", "ps", &["secret = \"ps\""]),
    ("PUSHER_KEY", "pk", &["key = \"pk\""]),
    ("PUSHER_SECRET", "ps", &["secret = \"ps\""]),
    ("PORT", "3000", &["port = 3000"]),
];

#[test]
fn every_row_sets_what_it_says_and_is_named_as_the_origin() {
    for (name, value, lines) in EXAMPLES {
        // The rest of the credentials, so that there is an app.
        let given = |own: &str| lines[0].starts_with(&own.replace("HELIOSTAT_APP_", "").to_lowercase());
        let rest: Vec<_> = OWN.into_iter().filter(|(own, _)| !given(own)).collect();
        let all: Vec<_> = rest.into_iter().chain([(*name, *value)]).collect();
        let loaded = loaded(&all);
        assert_eq!(loaded.read, [*name], "{name}");
        let printed = loaded.to_toml(true);
        for line in *lines {
            let origin = format!("# environment variable {name}");
            let found = printed.lines().any(|l| l.starts_with(&format!("{line} ")) && l.ends_with(&origin));
            assert!(found, "{name}: {line:?} is missing in\n{printed}");
        }
    }
}

#[test]
fn every_row_that_sets_something_has_an_example() {
    let sets = |meaning| matches!(meaning, Meaning::Sets(..));
    let rows: BTreeSet<_> = TABLES
        .iter()
        .filter(|table| table.without.is_empty())
        .flat_map(|table| table.variables().filter(|(_, meaning)| sets(*meaning)).map(|(name, _)| name))
        .collect();
    assert_eq!(rows, EXAMPLES.iter().map(|(name, ..)| *name).collect());
    for setting in soketi::NAMES.iter().flat_map(|row| match row.meaning {
        Meaning::Sets(paths, _) => paths,
        _ => &[],
    }) {
        let known = super::super::settings::node_settings().iter().any(|known| known.path == *setting)
            || super::super::settings::app_settings()
                .iter()
                .any(|known| setting.strip_prefix("apps.") == Some(known.path));
        assert!(known, "{setting}");
    }
}

#[test]
fn old_names_without_a_prefix_are_read() {
    let old = EXAMPLES.iter().filter_map(|(name, value, _)| Some((name.strip_prefix("SOKETI_")?, *value)));
    let old: Vec<_> = old.filter(|(name, _)| name.starts_with("DEFAULT_APP_")).collect();
    assert!(old.len() > 7);
    let app = &loaded(&old).config.apps[0].app;
    assert_eq!((app.id.as_str(), app.keys[0].key.as_str()), ("42", "quoted"));
    assert!(app.client_events && !app.enabled);
    assert_eq!(warnings(&[("HOST", "9.9.9.9"), ("DEBUG", "1"), ("DEFAULT_APP_THEME", "dark")]), [""; 0]);
}

#[test]
fn the_first_that_has_a_say_counts() {
    let rising =
        [("PORT", "1"), ("REVERB_SERVER_PORT", "2"), ("SOKETI_PORT", "3"), ("HELIOSTAT_SERVER_PORT", "5")];
    let port = |variables: Variables<'_>, file, flags: Flags| {
        sources(variables, file, flags).unwrap().config.server.port
    };
    for (index, (_, expected)) in rising.iter().enumerate() {
        let got = port(&rising[..=index], None, Flags::default());
        assert_eq!(got.to_string(), *expected);
    }
    let file = "[server]\nport = 4\n[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"s\"\n";
    assert_eq!(port(&rising[..3], Some(file), Flags::default()), 4);
    assert_eq!(port(&rising, Some(file), Flags::default()), 5);
    assert_eq!(port(&rising, Some(file), Flags::default().with("--port", "6")), 6);
    // What is beaten is not read, not even if it is wrong.
    let beaten = sources(&[("SOKETI_PORT", "x"), ("SOKETI_HOST", "")], Some(file), Flags::default()).unwrap();
    assert_eq!(beaten.read, [""; 0]);
}

#[test]
fn an_app_of_a_file_is_left_alone() {
    let file = "[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"s\"\n";
    let variables =
        [("PUSHER_APP_SECRET", "other"), ("SOKETI_DEFAULT_APP_MAX_CONNS", "0"), ("SOKETI_PORT", "7001")];
    let loaded = sources(&variables, Some(file), Flags::default()).unwrap();
    assert_eq!(loaded.config.apps[0].app, App::new("7", "k", "s"));
    assert_eq!(loaded.read, ["SOKETI_PORT"]);
    assert_eq!(loaded.unused, ["SOKETI_DEFAULT_APP_MAX_CONNS", "PUSHER_APP_SECRET"]);
    // A file without an app leaves it to the variables.
    let whole = [("PUSHER_APP_ID", "1"), ("PUSHER_APP_KEY", "pk"), ("PUSHER_APP_SECRET", "ps")];
    let loaded = sources(&whole, Some("[server]\nport = 1\n"), Flags::default()).unwrap();
    assert_eq!(loaded.config.apps[0].app, App::new("1", "pk", "ps"));
}

#[test]
fn credentials_are_those_of_one_server() {
    let pusher = [("PUSHER_APP_ID", "1"), ("PUSHER_APP_KEY", "pk"), ("PUSHER_APP_SECRET", "ps")];
    let reverb = [("REVERB_APP_ID", "2"), ("REVERB_APP_KEY", "rk"), ("REVERB_APP_SECRET", "rs")];
    let app = |variables: Variables<'_>| loaded(variables).config.apps[0].app.clone();
    assert_eq!(app(&[pusher, reverb].concat()), App::new("2", "rk", "rs"));
    let half = [&pusher[..], &reverb[..2]].concat();
    assert_eq!(app(&half), App::new("1", "pk", "ps"));
    let expected = "REVERB_APP_*: not read, because REVERB_APP_SECRET is missing; the credentials are those of PUSHER_APP_*";
    assert_eq!(warnings(&half), [expected]);
    // So are those that are complete, and come too late.
    let later = "PUSHER_APP_*: not read, because the credentials are those of REVERB_APP_*, which come first";
    assert_eq!(warnings(&[pusher, reverb].concat()), [later]);
    let same = reverb.map(|(name, value)| (name.replace("REVERB", "PUSHER"), value));
    let same: Vec<_> = same.iter().map(|(name, value)| (name.as_str(), *value)).chain(reverb).collect();
    assert_eq!(warnings(&same), [""; 0]);
    let file = "[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"s\"\n";
    let beaten = sources(&[pusher, reverb].concat(), Some(file), Flags::default()).unwrap();
    assert_eq!(beaten.warnings, [], "the credentials are nobody's");
    // One of ours completes them.
    let completed = [&half[1..], &[("HELIOSTAT_APP_SECRET", "own")]].concat();
    assert_eq!(app(&completed), App::new("2", "rk", "own"));
    let alone = complaints(&[("SOKETI_DEFAULT_APP_SECRET", "hush")]);
    assert_eq!(
        alone,
        [
            "SOKETI_DEFAULT_APP_SECRET: an app needs \"id\", which is missing; HELIOSTAT_APP_ID may give it too"
        ]
    );
}

#[test]
fn a_secret_of_ones_own_ends_development_mode() {
    let with_secret = |secret| {
        [
            ("SOKETI_DEFAULT_APP_ID", "a"),
            ("SOKETI_DEFAULT_APP_KEY", "k"),
            ("SOKETI_DEFAULT_APP_SECRET", secret),
        ]
    };
    let real = loaded(&with_secret("hush"));
    assert_eq!((real.mode, real.config.development.auth_endpoints), (Mode::Configured, false));
    assert_eq!(real.config.apps[0].app, App::new("a", "k", "hush"));
    assert_eq!(loaded(&with_secret(App::DEFAULT_SECRET)).mode, Mode::DevelopmentByDefault);
    let public = [&with_secret(App::DEFAULT_SECRET)[..], &[("SOKETI_HOST", "0.0.0.0")]].concat();
    assert_eq!(loaded(&public).mode, Mode::Configured);
    assert!(warnings(&public)[0].contains("public knowledge"));
    assert!(complaints(&[("SOKETI_HOST", "0.0.0.0")])[0].contains("public knowledge"));
}

#[test]
fn credentials_that_development_mode_completes_are_told() {
    let half = [("PUSHER_APP_ID", "1"), ("PUSHER_APP_KEY", "pk")];
    let loaded = loaded(&half);
    assert_eq!(loaded.mode, Mode::DevelopmentByDefault);
    assert_eq!(loaded.config.apps[0].app.keys[0].key, "pk");
    let told = "PUSHER_APP_*: PUSHER_APP_SECRET is missing, and development mode's own is used in its place";
    assert_eq!(warnings(&half), [told]);
    let completed = [&half[..], &[("HELIOSTAT_APP_SECRET", App::DEFAULT_SECRET)]].concat();
    assert_eq!(warnings(&completed), [""; 0]);
}

#[test]
fn what_means_nothing_here_is_answered_with_what_to_do_instead() {
    let cases: [(Variables<'_>, &str); 11] = [
        (
            &[
                ("SOKETI_METRICS_SERVER_PORT", "9601"),
                ("SOKETI_DEFAULT_APP_ID", "a"),
                ("SOKETI_DEFAULT_APP_KEY", "k"),
                ("SOKETI_DEFAULT_APP_SECRET", "hush"),
            ],
            "SOKETI_METRICS_SERVER_PORT: the listener is off",
        ),
        (
            &[("SOKETI_METRICS_HOST", "0.0.0.0")],
            "SOKETI_METRICS_HOST: the admin listener, which has the metrics, stays",
        ),
        (
            &[("SOKETI_ADAPTER_DRIVER", "nats")],
            "SOKETI_ADAPTER_DRIVER: the nodes of a broker are joined here by a Redis",
        ),
        (
            &[("SOKETI_APP_MANAGER_DRIVER", "mysql")],
            "SOKETI_APP_MANAGER_DRIVER: apps stand in the configuration file",
        ),
        (&[("SOKETI_SSL_PASS", "hush")], "SOKETI_SSL_PASS: a key with a passphrase is not read"),
        (
            &[("SOKETI_DB_MYSQL_HOST", "db"), ("SOKETI_DB_MYSQL_PASSWORD", "hush")],
            "SOKETI_DB_MYSQL_* (2 variables): this broker has no database",
        ),
        (
            &[("SOKETI_DB_REDIS_HOST", "r"), ("SOKETI_DB_REDIS_PASSWORD", "hush")],
            "SOKETI_DB_REDIS_HOST and 1 more: SOKETI_ADAPTER_DRIVER, which is adapter.driver, is not redis",
        ),
        (
            &[("REVERB_SCALING_ENABLED", "yes"), ("REDIS_PASSWORD", "hush")],
            "REVERB_SCALING_ENABLED: it is true or false",
        ),
        (
            &[("SOKETI_DEFAULT_APP_MAX_CONNECTIONS", "5")],
            "SOKETI_DEFAULT_APP_MAX_CONNECTIONS: unknown environment variable; did you mean \"SOKETI_DEFAULT_APP_MAX_CONNS\"?",
        ),
        (
            &[("SOKETI_REDIS_HOST", "r")],
            "SOKETI_REDIS_HOST: unknown environment variable; did you mean \"SOKETI_DB_REDIS_HOST\"?",
        ),
        (&[("SOKETI_QWXZ", "1")], "SOKETI_QWXZ: unknown environment variable"),
    ];
    for (variables, expected) in cases {
        let told = warnings(variables);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
        assert!(!told[0].contains("hush"));
    }
    let as_here = [
        ("SOKETI_ADAPTER_DRIVER", "local"),
        ("SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC", "-1"),
        ("SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC", "100"),
        ("REVERB_SCALING_ENABLED", "(false)"),
        ("PUSHER_HOST", "broker.example.com"),
        ("PUSHER_PORT", "443"),
        ("SOKETI_DB_REDIS_HOST", ""),
        ("REDIS_HOST", "r"),
        ("REVERB_SCALING_CHANNEL", "reverb"),
    ];
    let loaded = loaded(&as_here);
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.server.port, 6001, "PUSHER_PORT says where clients dial");
    assert_eq!(loaded.config.cluster.url, None, "REDIS_HOST is of other things");
}

#[test]
fn soketis_prefix_of_metrics_is_the_admin_listeners() {
    let prefix =
        |text: &str| loaded(&[("SOKETI_METRICS_PROMETHEUS_PREFIX", text)]).config.admin.metrics_prefix;
    assert_eq!([prefix("soketi_"), prefix("my:app_"), prefix("")], ["soketi_", "my:app_", ""]);
}

#[test]
fn values_that_do_not_fit_are_explained() {
    let cases = [
        (
            "SOKETI_METRICS_PROMETHEUS_PREFIX",
            "so-keti",
            "SOKETI_METRICS_PROMETHEUS_PREFIX: admin.metrics_prefix must be at most 64 letters, digits, _ and :, of which \
             the first is no digit, such as \"soketi_\", or empty, got \"so-keti\"",
        ),
        ("SOKETI_PORT", "x", "SOKETI_PORT: server.port must be an integer from 0 to 65535, got \"x\""),
        (
            "SOKETI_DEFAULT_APP_MAX_CONNS",
            "0",
            "SOKETI_DEFAULT_APP_MAX_CONNS: apps.limits.connections must be an integer above 0, or -1 for no limit",
        ),
        ("SOKETI_DEBUG", "yes", "SOKETI_DEBUG: logging.level must be true, false, 1 or 0"),
        (
            "SOKETI_SHUTDOWN_GRACE_PERIOD",
            "soon",
            "SOKETI_SHUTDOWN_GRACE_PERIOD: server.shutdown_grace_seconds must be a whole number of milliseconds",
        ),
        (
            "REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM",
            "me",
            "REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM: apps.client_events must be \"members\"",
        ),
        (
            "SOKETI_DEFAULT_APP_WEBHOOKS",
            "[hush",
            "SOKETI_DEFAULT_APP_WEBHOOKS: apps.webhooks must be a JSON array",
        ),
    ];
    for (name, value, expected) in cases {
        let told = complaints(&[(name, value)]);
        assert!(told.len() == 1 && told[0].starts_with(expected) && !told[0].contains("hush"), "{told:?}");
    }
}

#[test]
fn webhooks_are_read_from_json() {
    let json = r#"[{"url":"https://example.com/a","event_types":["client_event","channel_occupied"],
        "headers":{"X-Token":"hush"},"filter":{"channel_name_starts_with":"private-","channel_name_ends_with":"-1"}},
        {"lambda_function":"f","event_types":["member_added"]},{"url":"http://127.0.0.1:1/"}]"#;
    let loaded = loaded(&[("SOKETI_DEFAULT_APP_WEBHOOKS", json)]);
    let printed = loaded.to_toml(true);
    for line in [
        "[[apps.webhooks]]  # environment variable SOKETI_DEFAULT_APP_WEBHOOKS",
        "events = [\"channel_occupied\", \"client_event\"]",
        "channels = \"private-*-1\"",
        "headers = { \"x-token\" = \"hush\" }",
        "url = \"http://127.0.0.1:1/\"",
    ] {
        assert!(printed.lines().any(|l| l == line), "{line} is missing in\n{printed}");
    }
    let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("AWS Lambda"), "{told:?}");
}

#[test]
fn headers_of_webhooks_that_are_no_texts_are_written_as_such_or_told() {
    let json = r#"[{"url":"https://example.com/a",
        "headers":{"X-Version":2,"X-Final":true,"X-None":null,"X-Empty":"","X-List":["hush"]}}]"#;
    let loaded = loaded(&[("SOKETI_DEFAULT_APP_WEBHOOKS", json)]);
    let headers = &loaded.config.apps[0].webhooks.endpoints[0].headers;
    let mut headers: Vec<_> = headers.iter().map(|header| (header.name(), header.value())).collect();
    headers.sort_unstable();
    assert_eq!(headers, [("x-empty", ""), ("x-final", "true"), ("x-version", "2")]);
    let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = "SOKETI_DEFAULT_APP_WEBHOOKS: a webhook's headers are texts; others are left out";
    assert_eq!(told, [expected; 2]);
}

#[test]
fn what_kubernetes_makes_for_a_service_of_that_name_is_skipped() {
    let made = [
        ("SOKETI_PORT", "tcp://10.0.0.1:6001"),
        ("SOKETI_PORT_6001_TCP", "tcp://10.0.0.1:6001"),
        ("SOKETI_PORT_6001_TCP_PORT", "6001"),
        ("SOKETI_SERVICE_HOST", "10.0.0.1"),
        ("SOKETI_SERVICE_PORT", "6001"),
        ("PORT", "tcp://10.0.0.1:80"),
    ];
    let loaded = loaded(&made);
    assert_eq!(loaded.config.server.port, 6001);
    assert_eq!((loaded.warnings.len(), loaded.skipped.len()), (0, 6));
}

/// What variables of the engine come to: the URL, the user, the password, that at the sentinels, and the prefix.
fn engine(variables: Variables<'_>) -> [String; 5] {
    let loaded = loaded(variables);
    let cluster = &loaded.config.cluster;
    let secret = |secret: &Option<crate::app::Secret>| {
        secret.as_ref().map(|secret| secret.text().to_owned()).unwrap_or_default()
    };
    [
        cluster.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        cluster.username.clone(),
        secret(&cluster.password),
        secret(&cluster.sentinel_password),
        cluster.node.prefix.to_string(),
    ]
}

#[test]
fn what_other_servers_are_told_of_their_engine_is_put_together() {
    const SOKETI: (&str, &str) = ("SOKETI_ADAPTER_DRIVER", "redis");
    const REVERB: (&str, &str) = ("REVERB_SCALING_ENABLED", "true");
    let sentinels = r#"[{"host":"s1","port":26379},{"host":"s2"}]"#;
    let cases: [(Variables<'_>, [&str; 5]); 12] = [
        (&[SOKETI], ["redis://127.0.0.1:6379", "", "", "", "heliostat"]),
        (
            &[
                SOKETI,
                ("SOKETI_DB_REDIS_HOST", "r"),
                ("SOKETI_DB_REDIS_PORT", "7"),
                ("SOKETI_DB_REDIS_DB", "2"),
                ("SOKETI_DB_REDIS_USERNAME", "u"),
                ("SOKETI_DB_REDIS_PASSWORD", "p@/:"),
                ("SOKETI_DB_REDIS_KEY_PREFIX", "keys"),
                ("SOKETI_ADAPTER_REDIS_PREFIX", "shop"),
            ],
            ["redis://r:7/2", "u", "p@/:", "", "shop"],
        ),
        (
            &[
                SOKETI,
                ("SOKETI_DB_REDIS_SENTINELS", sentinels),
                ("SOKETI_DB_REDIS_INSTANCE_NAME", "main"),
                ("SOKETI_DB_REDIS_SENTINEL_PASSWORD", "sp"),
                ("SOKETI_DB_REDIS_KEY_PREFIX", "keys"),
            ],
            ["redis+sentinel://s1:26379,s2:26379/main", "", "", "sp", "keys"],
        ),
        (
            &[
                SOKETI,
                ("SOKETI_DB_REDIS_CLUSTER_NODES", r#"[{"host":"c1","port":"7000"},{"host":"::1","port":1}]"#),
            ],
            ["redis+cluster://c1:7000,[::1]:1", "", "", "", "heliostat"],
        ),
        (
            &[SOKETI, ("SOKETI_ADAPTER_REDIS_CLUSTER_MODE", "true"), ("SOKETI_DB_REDIS_HOST", "c1")],
            ["redis+cluster://c1:6379", "", "", "", "heliostat"],
        ),
        (
            &[
                REVERB,
                ("REDIS_HOST", "tls://r"),
                ("REDIS_PASSWORD", "null"),
                ("REVERB_SCALING_CHANNEL", "reverb"),
            ],
            ["rediss://r:6379", "", "", "", "reverb"],
        ),
        (
            &[REVERB, ("REDIS_HOST", "::1"), ("REDIS_PORT", "7"), ("REDIS_DB", "0"), ("REDIS_USERNAME", "u")],
            ["redis://[::1]:7", "u", "", "", "heliostat"],
        ),
        (
            &[
                REVERB,
                ("REDIS_URL", "tls://u:p@r:7?database=3"),
                ("REDIS_HOST", "beaten"),
                ("REDIS_PASSWORD", "beaten"),
            ],
            ["rediss://u:…@r:7/3", "", "", "", "heliostat"],
        ),
        (&[REVERB, ("REDIS_URL", "tcp://10.0.0.5:6380")], ["redis://10.0.0.5:6380", "", "", "", "heliostat"]),
        (
            &[REVERB, ("REDIS_URL", "redis://r"), ("REDIS_PASSWORD", "p")],
            ["redis://r:6379", "", "p", "", "heliostat"],
        ),
        (&[SOKETI, REVERB, ("REDIS_HOST", "r")], ["redis://127.0.0.1:6379", "", "", "", "heliostat"]),
        (
            &[SOKETI, ("SOKETI_DB_REDIS_PASSWORD", "beaten"), ("HELIOSTAT_CLUSTER_URL", "redis://own")],
            ["redis://own:6379", "", "", "", "heliostat"],
        ),
    ];
    let mut seen = BTreeSet::new();
    for (variables, expected) in cases {
        assert_eq!(engine(variables), expected.map(str::to_owned), "{variables:?}");
        seen.extend(variables.iter().map(|(name, _)| *name));
    }
    let rows = TABLES.iter().flat_map(|table| table.variables());
    for (name, _) in rows.filter(|(_, meaning)| matches!(meaning, Meaning::Engine(_))) {
        assert!(seen.contains(name), "{name} has no example");
    }
    let read = loaded(&[SOKETI, ("SOKETI_DB_REDIS_HOST", "r"), ("SOKETI_DB_REDIS_PASSWORD", "p")]).read;
    assert_eq!(read, ["SOKETI_ADAPTER_DRIVER", "SOKETI_DB_REDIS_HOST", "SOKETI_DB_REDIS_PASSWORD"]);
    let wrong = complaints(&[SOKETI, ("SOKETI_DB_REDIS_HOST", "a b"), ("SOKETI_DB_REDIS_PASSWORD", "hush")]);
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("SOKETI_DB_REDIS_HOST: cluster.url must be a URL"),
        "{wrong:?}"
    );
    assert!(!wrong[0].contains("hush"));
}
