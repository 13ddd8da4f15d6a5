//! `[cluster]`: every mistake in it, and what is kept of its secrets.

use super::*;

#[test]
fn every_setting_tells_what_was_expected_and_no_secret() {
    let url = EngineUrl::EXPECTED;
    let cases = [
        ("url", "\"10.0.0.5\"", format!("{url}, or empty, got one without a scheme")),
        ("url", "\"amqp://u:hush@h\"", format!("{url}, or empty, got one with the unknown scheme \"amqp\"")),
        ("url", "\"redis://u:hush@\"", format!("{url}, or empty, got one without a host, or with one that is none")),
        ("url", "\"redis://u:…@h\"", format!("{url}, or empty, got one with the mask that print-config writes in place of secrets")),
        ("url", "6379", format!("{url}, or empty, got an integer")),
        ("username", "\"a\\nb\"", "at most 512 bytes without control characters, or empty, got the string \"a\\nb\"".to_owned()),
        ("password", "\"hush\\u0000\"", "at most 512 bytes without control characters, or empty, got one with control characters in it".to_owned()),
        ("password", "\"…\"", "at most 512 bytes without control characters, or empty, got the mask that print-config writes in place of secrets".to_owned()),
        ("sentinel_username", "1", "at most 512 bytes without control characters, or empty, got 1".to_owned()),
        ("sentinel_password", "[\"hush\"]", "at most 512 bytes without control characters, or empty, got an array of 1".to_owned()),
        ("ca_file", "1", "the path of a file, or empty, got 1".to_owned()),
        ("tls_certificate", "1", "the path of a file, or empty, got 1".to_owned()),
        ("tls_key", "true", "the path of a file, or empty, got true".to_owned()),
        ("prefix", "\"\"", "a string of 1 to 64 letters, digits and - _ . :, got the string \"\"".to_owned()),
        ("prefix", "\"a*\"", "a string of 1 to 64 letters, digits and - _ . :, got the string \"a*\"".to_owned()),
        ("prefix", "\"{a}\"", "a string of 1 to 64 letters, digits and - _ . :, got the string \"{a}\"".to_owned()),
        ("node_name", "\"a b\"", "at most 64 letters, digits and - _ . :, or empty, got the string \"a b\"".to_owned()),
        ("start_without_bus", "\"go\"", "\"fail\" or \"wait\", got the string \"go\"".to_owned()),
        ("bus_lost", "true", "\"degrade\" or \"drain\", got true".to_owned()),
        ("connect_timeout_seconds", "0", "a number of seconds from 0.1 to 86400, got 0".to_owned()),
        ("join_wait_seconds", "0", "a number of seconds from 0.001 to 86400, got 0".to_owned()),
        ("state_wait_seconds", "-1", "a number of seconds from 0.001 to 86400, got -1".to_owned()),
        ("linger_seconds", "nan", "a number of seconds from 0 to 86400, got nan".to_owned()),
        ("settle_listen_seconds", "1e9", "a number of seconds from 0 to 86400, got 1e9".to_owned()),
        ("settle_most_seconds", "\"ten\"", "a number of seconds from 0 to 86400, got the string \"ten\"".to_owned()),
        ("inbox_words", "0", "an integer from 1 to 1000000000, got 0".to_owned()),
        ("inbox_bytes", "1", "an integer from 1024 to 1000000000, got 1".to_owned()),
        ("message_bytes", "1000", "an integer from 1048576 to 1000000000, got 1000".to_owned()),
        ("prefix", "\"x{\"", "a string of 1 to 64 letters, digits and - _ . :, got the string \"x{\"".to_owned()),
        ("outgoing_bytes", "1.5", "an integer from 1024 to 1000000000, got 1.5".to_owned()),
        ("numbered_channels", "0", "an integer from 1 to 1000000000, got 0".to_owned()),
        ("waiting_events", "-1", "an integer from 0 to 1000000000, got -1".to_owned()),
        ("waiting_bytes", "-1", "an integer from 0 to 1000000000, got -1".to_owned()),
    ];
    let known: Vec<_> = super::super::settings::node_settings().iter().map(|setting| setting.path).collect();
    for path in known.iter().filter_map(|path| path.strip_prefix("cluster.")) {
        assert!(cases.iter().any(|(key, ..)| *key == path), "cluster.{path} has no case");
    }
    for (key, value, expected) in cases {
        let text = with_app(&format!("[cluster]\n{key} = {value}"));
        let told = Sources { file: Some(&text), ..Sources::default() }.complaints();
        let place = format!("h.toml:2:{}: cluster.{key} must be ", key.len() + 4);
        assert_eq!(told, [format!("{place}{expected}")], "{key}");
        assert!(!told[0].contains("hush"), "{key}");
    }
}

#[test]
fn a_url_in_the_place_of_the_table_is_not_shown() {
    let text = with_app("cluster = \"redis://:hush@h\"");
    let told = Sources { file: Some(&text), ..Sources::default() }.complaints();
    assert_eq!(told, ["h.toml:1:11: cluster must be a table, got a string"]);
}

#[test]
fn the_flag_and_the_variables_say_the_same_as_the_file() {
    let variables = &[
        ("HELIOSTAT_CLUSTER_URL", "redis://beaten"),
        ("HELIOSTAT_CLUSTER_PASSWORD", "hush"),
        ("HELIOSTAT_CLUSTER_PREFIX", "shop"),
        ("HELIOSTAT_CLUSTER_BUS_LOST", "drain"),
        ("HELIOSTAT_CLUSTER_START_WITHOUT_BUS", "wait"),
    ];
    let flags = Flags::default().with("--cluster", "rediss://u@r.example.com/2");
    let loaded = Sources { variables, flags, ..Sources::default() }.load().unwrap();
    let cluster = &loaded.config.cluster;
    assert_eq!(
        cluster.url.as_ref().map(ToString::to_string).as_deref(),
        Some("rediss://u@r.example.com:6379/2")
    );
    assert_eq!(cluster.login().password.map(|secret| secret.text().to_owned()).as_deref(), Some("hush"));
    assert_eq!(&*cluster.node.prefix, "shop");
    assert_eq!((cluster.node.bus_lost, cluster.start_without_bus), (BusLost::Drain, StartWithoutBus::Wait));
    // To be one of several changes nothing else: it is development mode still.
    assert!(loaded.mode.is_development());
    let flags = Flags::default().with("--cluster", "r.example.com");
    let told = Sources { flags, ..Sources::default() }.complaints();
    assert!(
        told.len() == 1 && told[0].starts_with("--cluster: cluster.url must be a URL such as"),
        "{told:?}"
    );
}

#[test]
fn nodes_find_the_settings_in_which_they_differ() {
    let differing = |text: &str| {
        let text = with_app(text);
        let config = Sources { file: Some(&text), ..Sources::default() }.load().unwrap().config;
        Config::default().shared_settings().differing(&config.shared_settings().digests())
    };
    for own in ["[server]\nport = 7", "[cluster]\nnode_name = \"a\"", "[server]\nworkers = 3", ""] {
        assert_eq!(differing(own), [""; 0], "{own}");
    }
    let settings = super::super::settings::node_settings();
    for path in super::super::SHARED {
        assert!(settings.iter().any(|setting| setting.path == path), "{path}");
    }
    for (shared, path) in [
        ("[server]\npath_prefix = \"/x\"", "server.path_prefix"),
        ("[server]\nhttp_body_bytes = 7", "server.http_body_bytes"),
        ("[connection]\nmin_protocol = 5", "connection.min_protocol"),
        ("[fallback]\nenabled = false", "fallback.enabled"),
    ] {
        assert_eq!(differing(shared), [path], "{shared}");
    }
}
