//! Every mistake outside the apps of the file, and the sentence it gets.

use super::*;

#[test]
fn mistakes_in_the_node_sections_name_line_and_column() {
    let cases = [
        ("[server]\nport = 70000", "h.toml:2:8: server.port must be an integer from 0 to 65535, got 70000"),
        ("[server]\nport = -1", "h.toml:2:8: server.port must be an integer from 0 to 65535, got -1"),
        (
            "[server]\nport = \"6001\"",
            "h.toml:2:8: server.port must be an integer from 0 to 65535, got the string \"6001\"",
        ),
        (
            "[server]\nport = 0x1_0000",
            "h.toml:2:8: server.port must be an integer from 0 to 65535, got 0x10000",
        ),
        ("[server]\nport = 1.5", "h.toml:2:8: server.port must be an integer from 0 to 65535, got 1.5"),
        (
            "[server]\nport = [1, 2]",
            "h.toml:2:8: server.port must be an integer from 0 to 65535, got an array of 2",
        ),
        ("[server]\ncors = \"yes\"", "h.toml:2:8: server.cors must be true or false, got the string \"yes\""),
        (
            "[server]\nworkers = 99999999999999999999999999",
            "h.toml:2:11: server.workers must be an integer from 0 to 512, got 99999999999999999999999999",
        ),
        (
            "[server]\nhost = \"example.com\"",
            "h.toml:2:8: server.host must be an IP address without a port, such as \"127.0.0.1\", \"0.0.0.0\" or \
             \"::1\", or \"localhost\", got the string \"example.com\"",
        ),
        (
            "[server]\npath_prefix = \"/a//b\"",
            "h.toml:2:15: server.path_prefix must be empty, or a path such as \"/realtime\" whose segments are \
             letters, digits and - _ . ~, got the string \"/a//b\"",
        ),
        (
            "[admin]\nmetrics_prefix = \"1x-\"",
            "h.toml:2:18: admin.metrics_prefix must be at most 64 letters, digits, _ and :, of which the first is no \
             digit, such as \"soketi_\", or empty, got the string \"1x-\"",
        ),
        ("server = 1", "h.toml:1:10: server must be a table, got 1"),
        (
            "[connection]\nping_after_seconds = 0",
            "h.toml:2:22: connection.ping_after_seconds must be a number of seconds from 0.001 to 86400, got 0",
        ),
        (
            "[connection]\nping_after_seconds = nan",
            "h.toml:2:22: connection.ping_after_seconds must be a number of seconds from 0.001 to 86400, got nan",
        ),
        (
            "[connection]\npong_timeout_seconds = -1",
            "h.toml:2:24: connection.pong_timeout_seconds must be a number of seconds from 0.001 to 86400, got -1",
        ),
        (
            "[connection]\npong_timeout_seconds = inf",
            "h.toml:2:24: connection.pong_timeout_seconds must be a number of seconds from 0.001 to 86400, got inf",
        ),
        (
            "[connection]\nactivity_timeout_seconds = 0",
            "h.toml:2:28: connection.activity_timeout_seconds must be a whole number of seconds from 1 to 86400, \
             got 0",
        ),
        (
            "[connection]\nactivity_timeout_seconds = 1.5",
            "h.toml:2:28: connection.activity_timeout_seconds must be a whole number of seconds from 1 to 86400, \
             got 1.5",
        ),
        (
            "connection.min_protocol = 9",
            "h.toml:1:27: connection.min_protocol must be an integer from 1 to 7, got 9",
        ),
        (
            "connection.without_version = \"lenient\"",
            "h.toml:1:30: connection.without_version must be \"legacy\" or \"strict\", got the string \"lenient\"",
        ),
        (
            "logging.level = \"inof\"",
            "h.toml:1:17: logging.level must be off, error, warn, info, debug or trace, or a filter such as \
             \"info,heliostat::pipe=debug\", got the string \"inof\"",
        ),
        (
            "logging.level = \"heliostat=loud\"",
            "h.toml:1:17: logging.level must be off, error, warn, info, debug or trace, or a filter such as \
             \"info,heliostat::pipe=debug\", got the string \"heliostat=loud\"",
        ),
    ];
    for (text, expected) in cases {
        let text = with_app(text);
        assert_eq!(Sources { file: Some(&text), ..Sources::default() }.complaints(), [expected], "{text}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let cases = [
        ("[server]\nprot = 1", "h.toml:2:1: unknown key \"server.prot\"; did you mean \"server.port\"?"),
        ("port = 1", "h.toml:1:1: unknown key \"port\"; did you mean \"server.port\"?"),
        ("[sever]\nport = 1", "h.toml:1:2: unknown key \"sever\"; did you mean \"server\"?"),
        (
            "[connection]\nping_after = 1",
            "h.toml:2:1: unknown key \"connection.ping_after\"; did you mean \"connection.ping_after_seconds\"?",
        ),
        ("[server]\nzzz = 1", "h.toml:2:1: unknown key \"server.zzz\""),
        ("[logging]\nport = 1", "h.toml:2:1: unknown key \"logging.port\"; did you mean \"server.port\"?"),
        ("[[app]]", "h.toml:1:3: unknown key \"app\"; did you mean \"apps\"?"),
    ];
    for (text, expected) in cases {
        let text = with_app(text);
        assert_eq!(Sources { file: Some(&text), ..Sources::default() }.complaints(), [expected], "{text}");
    }
}

#[test]
fn mistakes_in_variables_name_them() {
    let cases = [
        (
            "HELIOSTAT_SERVER_PORT",
            "70000",
            "HELIOSTAT_SERVER_PORT: server.port must be an integer from 0 to 65535, got \"70000\"",
        ),
        (
            "HELIOSTAT_SERVER_PORT",
            "",
            "HELIOSTAT_SERVER_PORT: server.port must be an integer from 0 to 65535, got \"\"",
        ),
        (
            "HELIOSTAT_SERVER_CORS",
            "yes",
            "HELIOSTAT_SERVER_CORS: server.cors must be true or false, got \"yes\"",
        ),
        (
            "HELIOSTAT_DEVELOPMENT",
            "on",
            "HELIOSTAT_DEVELOPMENT: development mode must be true or false, got \"on\"",
        ),
        (
            "HELIOSTAT_APP_ID",
            "a/b",
            "HELIOSTAT_APP_ID: apps.id must be a string of at most 200 letters, digits and - _, got \"a/b\"",
        ),
        (
            "HELIOSTAT_APP_SECRET",
            " hush",
            "HELIOSTAT_APP_SECRET: apps.secret must be a non-empty string without white space around it, got one with white space around it",
        ),
        (
            "HELIOSTAT_DEVELOPMENT_ENCRYPTION_MASTER_KEY_BASE64",
            "YWJj",
            "HELIOSTAT_DEVELOPMENT_ENCRYPTION_MASTER_KEY_BASE64: development.encryption_master_key_base64 must be 32 bytes in Base64, or empty, got a string of 4 characters that is not",
        ),
        (
            "HELIOSTAT_PIPE",
            "a:e=b;c",
            "HELIOSTAT_PIPE: expected 'channel:event=channel' or 'channel:event=channel:event', got \"c\"",
        ),
        (
            "HELIOSTAT_CONFIG",
            "gone.toml",
            "cannot read the configuration file gone.toml, named by HELIOSTAT_CONFIG: there is no such file",
        ),
        (
            "HELIOSTAT_CONFIG",
            "",
            "cannot read the configuration file \"\", named by HELIOSTAT_CONFIG: there is no such file",
        ),
    ];
    for (name, value, expected) in cases {
        let complaints = Sources { variables: &[(name, value)], ..Sources::default() }.complaints();
        assert_eq!(complaints, [expected], "{name}={value}");
    }
}

#[test]
fn mistakes_in_flags_name_them() {
    let cases = [
        (
            Flags::default().with("--port", "-1"),
            "--port: server.port must be an integer from 0 to 65535, got \"-1\"",
        ),
        (
            Flags::default().with("--workers", "two"),
            "--workers: server.workers must be an integer from 0 to 512, got \"two\"",
        ),
        (
            Flags::default().with("--log-format", "xml"),
            "--log-format: logging.format must be \"human\" or \"json\", got \"xml\"",
        ),
        (
            Flags { pipe: vec!["a".into()], ..Flags::default() },
            "--pipe: expected 'channel:event=channel' or 'channel:event=channel:event', got \"a\"",
        ),
        (
            Flags { config: Some("gone.toml".into()), ..Flags::default() },
            "cannot read the configuration file gone.toml, named by --config: there is no such file",
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(Sources { flags, ..Sources::default() }.complaints(), [expected]);
    }
}

#[test]
fn text_that_is_no_toml_is_placed_without_being_shown() {
    let cases = [
        ("[server\nport = 1", "h.toml:1:8: not valid TOML: "),
        ("[[apps]]\nsecret = hush", "h.toml:2:10: not valid TOML: "),
        ("[server]\nport = 1\nport = 2", "h.toml:3:1: not valid TOML: duplicate key"),
    ];
    for (text, expected) in cases {
        let complaints = Sources { file: Some(text), ..Sources::default() }.complaints();
        assert!(complaints.len() == 1 && complaints[0].starts_with(expected), "{complaints:?}");
        assert!(!complaints[0].contains("hush"), "{complaints:?}");
        assert!(!complaints[0].contains('\n'), "{complaints:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let flags = Flags { config: Some("h.toml".into()), ..Flags::default() };
    let cases = [
        (io::ErrorKind::NotFound, "there is no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a directory, not a file"),
    ];
    for (kind, why) in cases {
        let errors = load([], &flags, |_| Err(kind.into())).unwrap_err();
        let text = format!("cannot read the configuration file h.toml, named by --config: {why}");
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    }
    let errors = load([], &flags, only(b"[server]\n# \xff\n")).unwrap_err();
    assert_eq!(errors[0].to_string(), "h.toml:2:3: expected UTF-8 text, got other bytes");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_an_error_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(b"\xff".to_vec());
    let errors = load([("HELIOSTAT_APP_KEY".into(), broken())], &Flags::default(), only(b"")).unwrap_err();
    assert_eq!(errors[0].to_string(), "HELIOSTAT_APP_KEY: expected UTF-8 text, got other bytes");
    let ours = OsString::from_vec(b"HELIOSTAT_\xff".to_vec());
    assert!(load([(ours, "1".into())], &Flags::default(), only(b"")).is_err());
    assert!(load([("OTHER".into(), broken()), (broken(), "1".into())], &Flags::default(), only(b"")).is_ok());
}

#[test]
fn half_a_pair_does_not_replace_a_list_of_keys() {
    let text = "[[apps]]\nid = '7'\nkeys = [{ key = 'a', secret = 'b' }]";
    for (name, value) in [("HELIOSTAT_APP_KEY", "k"), ("HELIOSTAT_APP_SECRET", "s")] {
        let complaints =
            Sources { file: Some(text), variables: &[(name, value)], ..Sources::default() }.complaints();
        let expected = "the first app has a list of \"keys\", which only HELIOSTAT_APP_KEY and \
                        HELIOSTAT_APP_SECRET together replace";
        assert_eq!(complaints, [format!("{name}: {expected}")]);
    }
}

#[test]
fn a_file_without_apps_is_told_what_to_add() {
    let complaints = Sources { file: Some("[server]\nport = 1"), ..Sources::default() }.complaints();
    let (sentence, snippet) = complaints[0].split_once("\n\n").unwrap();
    assert_eq!(sentence, "h.toml defines no app, so nobody could connect; add one, for example:");
    assert!(
        Sources { file: Some(snippet), ..Sources::default() }.load().is_ok(),
        "the snippet is ready to use"
    );
}

#[test]
fn all_mistakes_are_told_in_the_order_of_the_file() {
    let text = "[server]\nport = -1\nbacklog = 0\n[connection]\nmin_protocol = 0\n[[apps]]\nid = ''\n";
    let sources = Sources {
        apps: None,
        file: Some(text),
        variables: &[("HELIOSTAT_SERVER_WORKERS", "x")],
        flags: Flags::default().with("--host", "nowhere"),
    };
    let complaints = sources.complaints();
    let places: Vec<_> = complaints.iter().map(|text| text.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        ["h.toml:2:8", "h.toml:3:11", "h.toml:5:16", "h.toml:7:6", "HELIOSTAT_SERVER_WORKERS", "--host"]
    );
}

#[test]
fn long_values_are_cut_short() {
    let text = with_app(&format!("logging.level = \"{}\"", "é".repeat(500)));
    let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
    assert!(complaints[0].ends_with(&format!("got the string \"{}\" and 880 more bytes", "é".repeat(60))));
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    for (name, warning) in [
        (
            "HELIOSTAT_SERVER_PROT",
            "HELIOSTAT_SERVER_PROT: unknown environment variable; did you mean \"HELIOSTAT_SERVER_PORT\"?",
        ),
        (
            "HELIOSTAT_PIPES",
            "HELIOSTAT_PIPES: unknown environment variable; did you mean \"HELIOSTAT_PIPE\"?",
        ),
        ("HELIOSTAT_XYZZY", "HELIOSTAT_XYZZY: unknown environment variable"),
    ] {
        let loaded = Sources { variables: &[(name, "1")], ..Sources::default() }.load().unwrap();
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [warning]);
    }
}

#[test]
fn what_links_to_services_put_there_is_skipped() {
    let variables = &[
        ("HELIOSTAT_SERVER_PORT", "tcp://10.0.0.1:6001"),
        ("HELIOSTAT_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("HELIOSTAT_SERVER_SERVICE_PORT", "6001"),
        ("HELIOSTAT_SERVER_WORKERS", "3"),
    ];
    let loaded = Sources { variables, ..Sources::default() }.load().unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.server.workers, 3);
    assert_eq!(loaded.skipped, variables[..3].iter().map(|(name, _)| *name).collect::<Vec<_>>());
    // One alone is nobody's but ours, and a slip of the pen.
    for name in ["HELIOSTAT_SERVER_SERVICE_HOST", "HELIOSTAT_APP_ENV_SECRET"] {
        let loaded = Sources { variables: &[(name, "10.0.0.1")], ..Sources::default() }.load().unwrap();
        assert!(loaded.warnings.len() == 1 && loaded.skipped.is_empty(), "{name}");
    }
}

/// What the one error says of this file.
fn said_of(file: &str) -> Vec<String> {
    let errors = Sources { file: Some(file), ..Sources::default() }.load().unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn hints_lead_to_what_was_meant() {
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";
    for (line, meant) in [
        ("enableClientMessages = true", "apps.client_events"),
        ("max_connections = 5", "apps.limits.connections"),
        ("maxConnections = 5", "apps.limits.connections"),
        ("client_event = true", "apps.client_events"),
    ] {
        let said = said_of(&format!("{app}{line}\n"));
        assert!(said.len() == 1 && said[0].ends_with(&format!("did you mean {meant:?}?")), "{said:?}");
    }
    let said = said_of("[[apps.pipe]]\nfrom = \"a\"\n");
    assert!(said[0].contains("[[apps]], above what belongs to it, such as [[apps.pipe]]"), "{said:?}");
}

#[test]
fn a_key_that_stands_twice_is_named_with_both_lines() {
    let said = said_of("[server]\nport = 1\nhost = \"::1\"\nport = 2\n");
    assert_eq!(said, ["h.toml:4:1: not valid TOML: duplicate key \"port\", which stands in line 2, too"]);
}

#[test]
fn an_id_and_a_key_that_are_taken_are_both_told() {
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";
    let said = said_of(&format!("{app}{app}"));
    assert!(
        said.len() == 2 && said[0].contains("the id \"1\"") && said[1].contains("the key \"k\""),
        "{said:?}"
    );
}
