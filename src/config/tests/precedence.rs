//! What beats what, and what is remembered of it.

use super::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn each_source_beats_the_one_before() {
    let text = with_app("[server]\nport = 2\nworkers = 2\nbacklog = 2");
    let sources = Sources {
        apps: None,
        file: Some(&text),
        variables: &[("HELIOSTAT_SERVER_PORT", "3"), ("HELIOSTAT_SERVER_WORKERS", "3")],
        flags: Flags::default().with("--port", "4"),
    };
    let loaded = sources.load().unwrap();
    let server = &loaded.config.server;
    assert_eq!((server.port, server.workers, server.backlog, server.cors), (4, 3, 2, true));
    let comments = ["server.port", "server.workers", "server.backlog", "server.cors"];
    let comments = comments.map(|path| loaded.origins.of(path).comment());
    assert_eq!(
        comments,
        ["flag --port", "environment variable HELIOSTAT_SERVER_WORKERS", "h.toml:4", "default"]
    );
}

#[test]
fn every_form_is_read_from_a_file_and_from_a_variable() {
    let as_text = [
        ("HELIOSTAT_SERVER_HOST", "::1"),
        ("HELIOSTAT_SERVER_PATH_PREFIX", "/a/b/"),
        ("HELIOSTAT_SERVER_CORS", "0"),
        ("HELIOSTAT_CONNECTION_ACTIVITY_TIMEOUT_SECONDS", "60"),
        ("HELIOSTAT_CONNECTION_PING_AFTER_SECONDS", "0.25"),
        ("HELIOSTAT_CONNECTION_WITHOUT_VERSION", "strict"),
        ("HELIOSTAT_LOGGING_FORMAT", "json"),
        ("HELIOSTAT_LOGGING_LEVEL", "warn,heliostat::pipe=trace"),
        ("HELIOSTAT_DEVELOPMENT_PUSHER_JS", "/srv/pusher.js"),
    ];
    let in_toml = "\
        server = { host = '::1', path_prefix = 'a/b', cors = false }
        connection = { activity_timeout_seconds = 60, ping_after_seconds = 0.25, without_version = 'strict' }
        logging = { format = 'json', level = 'warn,heliostat::pipe=trace' }
        development = { pusher_js = '/srv/pusher.js' }";
    let (plain, full) = (with_app(""), with_app(in_toml));
    let by_variables =
        Sources { file: Some(&plain), variables: &as_text, ..Sources::default() }.load().unwrap();
    let by_file = Sources { file: Some(&full), ..Sources::default() }.load().unwrap();
    assert_eq!(by_variables.config, by_file.config);
    let Config { server, connection, logging, development, .. } = by_file.config;
    assert_eq!(server.address().to_string(), "[::1]:6001");
    assert_eq!(server.path_prefix, "/a/b");
    assert!(!server.cors);
    assert_eq!(connection.activity_timeout, Duration::from_secs(60));
    assert_eq!(connection.ping_after, Duration::from_millis(250));
    assert_eq!(connection.without_version, WithoutVersion::Strict);
    assert_eq!(logging.format, LogFormat::Json);
    assert_eq!(development.pusher_js.as_deref(), Some(Path::new("/srv/pusher.js")));
}

#[test]
fn spellings_are_brought_into_one_form() {
    let cases = [
        ("HELIOSTAT_SERVER_HOST", "localhost", "server.host = localhost"),
        ("HELIOSTAT_SERVER_HOST", "[::1]", "server.host = ::1"),
        ("HELIOSTAT_SERVER_PATH_PREFIX", "x", "path_prefix = /x"),
        ("HELIOSTAT_SERVER_PATH_PREFIX", "/", "path_prefix = "),
        ("HELIOSTAT_SERVER_PATH_PREFIX", "/x-1/y.z~/", "path_prefix = /x-1/y.z~"),
    ];
    for (variable, value, expected) in cases {
        let server =
            Sources { variables: &[(variable, value)], ..Sources::default() }.load().unwrap().config.server;
        let got = match variable {
            "HELIOSTAT_SERVER_HOST" => format!("server.host = {}", server.host),
            _ => format!("path_prefix = {}", server.path_prefix),
        };
        assert_eq!(got, expected, "{value:?}");
    }
}

#[test]
fn the_flag_names_the_file_before_the_variable_does() {
    let variables = || [("HELIOSTAT_CONFIG".into(), "variable.toml".into())];
    let named = |flags: &Flags| {
        let mut named = PathBuf::new();
        let loaded = load(variables(), flags, |path| {
            let text = with_app("");
            only(text.as_bytes())(path).inspect(|_| named = path.to_owned())
        });
        assert_eq!(loaded.unwrap().file.as_ref(), Some(&named));
        named
    };
    assert_eq!(named(&Flags::default()), Path::new("variable.toml"));
    assert_eq!(
        named(&Flags { config: Some("flag.toml".into()), ..Flags::default() }),
        Path::new("flag.toml")
    );
}

#[test]
fn the_environment_changes_the_first_app_of_the_file() {
    let text = with_app("") + "[[apps]]\nid = \"8\"\nkey = \"key-8\"\nsecret = \"s8\"\n";
    let variables = [
        ("HELIOSTAT_APP_SECRET", "other"),
        ("HELIOSTAT_APP_CLIENT_EVENTS", "true"),
        ("HELIOSTAT_APP_LIMITS_CONNECTIONS", "5"),
    ];
    let loaded = Sources { file: Some(&text), variables: &variables, ..Sources::default() }.load().unwrap();
    let [first, second] = &loaded.config.apps[..] else { panic!("two apps") };
    assert_eq!((first.app.id.as_str(), first.app.keys[0].secret.text()), ("7", "other"));
    assert_eq!((first.app.client_events, first.app.limits.connections), (true, 5));
    assert_eq!((second.app.client_events, second.app.limits.connections), (false, 0));
    assert_eq!(loaded.origins.of("apps[0].secret"), &Origin::Variable("HELIOSTAT_APP_SECRET".to_owned()));
    assert_eq!(loaded.origins.of("apps[1].secret").comment(), "h.toml:9");
}

#[test]
fn the_environment_completes_an_app_or_defines_the_only_one() {
    let partial = "[[apps]]\nid = \"7\"\nkey = \"key-7\"\n";
    let variables = [("HELIOSTAT_APP_SECRET", "given")];
    let loaded = Sources { file: Some(partial), variables: &variables, ..Sources::default() }.load().unwrap();
    assert_eq!(loaded.config.apps[0].app.keys[0].secret.text(), "given");

    let variables = [("HELIOSTAT_APP_ID", "9"), ("HELIOSTAT_APP_KEY", "k9"), ("HELIOSTAT_APP_SECRET", "s9")];
    let loaded =
        Sources { file: Some("[server]\nport = 1"), variables: &variables, ..Sources::default() }.load();
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config.apps, [AppConfig::new(crate::app::App::new("9", "k9", "s9"))]);
    assert_eq!(loaded.mode, Mode::Configured);
}

#[test]
fn several_keys_are_kept_oldest_first_unless_the_environment_replaces_them() {
    let text = "[[apps]]\nid = \"7\"\nkeys = [{ key = \"old\", secret = \"s1\" }, { secret = \"s2\", key = \"new\" }]";
    let keys = |variables: &[(&str, &str)]| {
        let loaded = Sources { file: Some(text), variables, ..Sources::default() }.load().unwrap();
        let keys = loaded.config.apps[0].app.keys.iter().map(|k| format!("{}:{}", k.key, k.secret.text()));
        keys.collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), ["old:s1", "new:s2"]);
    assert_eq!(keys(&[("HELIOSTAT_APP_KEY", "k"), ("HELIOSTAT_APP_SECRET", "s")]), ["k:s"]);
}

#[test]
fn rules_add_up_without_repetition() {
    let text = with_app("")
        + "[[apps.pipe]]\nfrom = \"a-*\"\nevent = \"e\"\nto = \"b-*\"\nas = \"f\"\npick = [\"x\"]\n\
           add = { n = 18446744073709551615, deep = { list = [true, 0.5] } }\nsource = [\"http\"]\n\
           [[apps.pipe]]\nfrom = \"c\"\nevent = \"e\"\nto = \"d\"\nas = \"e\"\n";
    let sources = Sources {
        apps: None,
        file: Some(&text),
        variables: &[("HELIOSTAT_PIPE", " c:e=d ; g:e=h;")],
        flags: Flags { pipe: vec!["g:e=h".to_owned(), "i:e=j:k".to_owned()], ..Flags::default() },
    };
    let loaded = sources.load().unwrap();
    let pipe = &loaded.config.apps[0].pipe;
    let shown: Vec<_> =
        pipe.iter().map(|r| format!("{}:{}={}:{:?}", r.from, r.event, r.to[0], r.rename)).collect();
    assert_eq!(shown, [r#"a-*:e=b-*:Some("f")"#, "c:e=d:None", "g:e=h:None", r#"i:e=j:Some("k")"#]);
    assert_eq!(
        serde_json::to_string(&pipe[0].add).unwrap(),
        r#"{"deep":{"list":[true,0.5]},"n":18446744073709551615}"#
    );
    assert_eq!(pipe[0].pick.as_deref(), Some(&["x".to_owned()][..]));
    assert_eq!((pipe[0].hears_clients, pipe[0].hears_http), (false, true));
    assert_eq!((pipe[1].hears_clients, pipe[1].hears_http), (true, false));
    let origins: Vec<_> =
        (0..4).map(|n| loaded.origins.of(&format!("apps[0].pipe[{n}]")).comment()).collect();
    assert_eq!(origins, ["h.toml:6", "h.toml:14", "environment variable HELIOSTAT_PIPE", "flag --pipe"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let text = format!("\u{feff}{}", with_app("[server]\nport = 2"));
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    assert_eq!(loaded.origins.of("server.port").comment(), "h.toml:2");
}
