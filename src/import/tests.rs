//! What becomes of whole files, and that nothing in one can do harm.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Flags, load, only};

const LARAVEL: &str = "\
APP_NAME=Shop\nDB_PASSWORD=hush\nBROADCAST_CONNECTION=pusher\n
PUSHER_APP_ID=1001\nPUSHER_APP_KEY=\"${APP_NAME}-key\"\nPUSHER_APP_SECRET='s3cret'
PUSHER_HOST=127.0.0.1\nPUSHER_PORT=6001\nPUSHER_SCHEME=http\nVITE_PUSHER_APP_KEY=\"${PUSHER_APP_KEY}\"
SOKETI_DEBUG=1\nSOKETI_ADAPTER_DRIVER=redis\nSOKETI_DB_REDIS_HOST=redis\nREDIS_HOST=cache\nPORT=3000\n";

const SOKETI: &str = r#"{
    "debug": false, "port": 7001, "eventLimits.maxBatchSize": 20, "eventLimits": { "maxNameLength": 150 },
    "adapter": { "driver": "redis", "redis": { "prefix": "shop" } },
    "database": { "redis": { "sentinels": [{ "host": "s1", "port": 7 }], "name": "main", "password": "p" } }, "cors": { "credentials": true },
    "appManager.array.apps": [
        { "id": "a", "key": "ka", "secret": "sa", "maxConnections": 100, "enableClientMessages": true,
          "webhooks": [{ "url": "https://example.com/h", "event_types": ["member_added"], "headers": { "X-T": "t" },
                         "filter": { "channel_name_starts_with": "presence-" } }] },
        { "AppId": "b", "AppKey": "kb", "AppSecret": "sb", "MaxConnections": -1, "MaxEventBatchSize": 5,
          "MaxBackendEventsPerSecond": 500, "MaxReadRequestsPerSecond": -1 },
        { "id": 3, "key": "kc", "secret": "sc", "max_connections": "7", "max_client_events_per_sec": 9, "webhooks": "[]",
          "max_backend_events_per_sec": "40", "max_read_req_per_sec": 20 }
    ]
}"#;

const MYSQL: &str = r#"-- MySQL dump 10.13
/*!40101 SET NAMES utf8 */;
CREATE TABLE `users` (`id` int NOT NULL, `name` varchar(10));
INSERT INTO `users` VALUES (1,'it''s; (a) \'trap\'');
CREATE TABLE IF NOT EXISTS `apps` (
  `id` varchar(255) NOT NULL, `key` varchar(255) NOT NULL, `secret` varchar(255) NOT NULL,
  `max_connections` int(11) NOT NULL, `max_backend_events_per_sec` int(11) NOT NULL,
  `max_read_req_per_sec` int(11) NOT NULL, `enable_client_messages` tinyint(1) NOT NULL,
  `webhooks` json DEFAULT NULL, PRIMARY KEY (`id`), KEY `k` (`key`));
INSERT INTO `apps` VALUES ('a','ka','s\'a',100,50,-1,1,'[{\"url\":\"https://example.com/h\"}]'),('b','kb','sb',-1,-1,20,0,NULL);
"#;

const POSTGRES: &str = r#"
INSERT INTO public.apps (id, key, secret, max_connections, max_backend_events_per_sec, max_read_req_per_sec, enable_client_messages, webhooks,
  created_at) VALUES
  ('a', 'ka', 's''a', 100, 50, -1, true, '[{"url":"https://example.com/h"}]'::json, now()),
  ('b', 'kb', E's\x62'::text, -1, -1, 20, false, NULL, now()) ON CONFLICT DO NOTHING;
"#;

const COPY: &str = "SET x = 1;\nCOPY public.users (id) FROM stdin;\n1\n\\.\n\
COPY public.apps (id, key, secret, max_connections, max_backend_events_per_sec, max_read_req_per_sec, \
enable_client_messages, webhooks) FROM stdin;\n\
a\tka\ts'a\t100\t50\t-1\tt\t[{\"url\":\"https://example.com/h\"}]\nb\tkb\tsb\t-1\t-1\t20\tf\t\\N\n\\.\nSELECT 1;\n";

const CSV: &str = "id,key,secret,max_connections,max_backend_events_per_sec,max_read_req_per_sec,enable_client_messages,webhooks\n\
a,ka,s'a,100,50,-1,1,\"[{\"\"url\"\":\"\"https://example.com/h\"\"}]\"\nb,kb,sb,-1,-1,20,0,NULL\n";

fn imported(name: &str, text: &str) -> ImportedConfig {
    import(name, text.as_bytes()).unwrap_or_else(|failure| panic!("{name}: {failure:?}"))
}

/// What a broker makes of the file, and that nothing about it is odd.
fn config(imported: &ImportedConfig) -> Config {
    let flags = Flags { config: Some("h.toml".into()), ..Flags::default() };
    let loaded = load([], &flags, only(imported.toml.as_bytes()))
        .unwrap_or_else(|e| panic!("{e:?} in\n{}", imported.toml));
    assert_eq!(loaded.warnings, [], "{}", imported.toml);
    loaded.config
}

#[test]
fn a_dotenv_of_laravel_becomes_a_file() {
    let imported = imported(".env", LARAVEL);
    let config = config(&imported);
    let app = &config.apps[0].app;
    assert_eq!(
        (app.id.as_str(), app.keys[0].key.as_str(), app.keys[0].secret.text()),
        ("1001", "Shop-key", "s3cret")
    );
    assert_eq!((config.server.port, config.logging.level.as_str()), (6001, "debug"));
    assert!(imported.toml.contains("level = \"debug\"  # SOKETI_DEBUG"), "{}", imported.toml);
    assert!(imported.toml.contains("key = \"Shop-key\"  # PUSHER_APP_KEY"), "{}", imported.toml);
    assert!(!imported.toml.contains("hush"));
    let remarks = imported.remarks.join("\n");
    for part in [
        "PORT: left out",
        "PUSHER_HOST, PUSHER_PORT, PUSHER_SCHEME: left out, because clients are told so where to dial; the broker listens on 127.0.0.1:6001",
        "other variables that concern no broker: 5",
    ] {
        assert!(remarks.contains(part), "{part} is missing in\n{remarks}");
    }
    let url = config.cluster.url.as_ref().map(ToString::to_string);
    assert_eq!(url.as_deref(), Some("redis://redis:6379"));
}

#[test]
fn what_a_dotenv_gives_in_vain_is_told() {
    let reverb =
        "REVERB_APP_ID=2\nREVERB_APP_KEY=rk\nREVERB_APP_SECRET=rs\nSOKETI_PORT=tcp://10.0.0.1:6001\n";
    let imported = imported(".env", &format!("{LARAVEL}{reverb}"));
    assert_eq!(config(&imported).apps[0].app.id, "2");
    for remark in [
        "PUSHER_APP_*: not read, because the credentials are those of REVERB_APP_*, which come first",
        "SOKETI_PORT: left out, because such values are those that Kubernetes and Docker make for a service",
    ] {
        assert!(imported.remarks.iter().any(|told| told == remark), "{remark}: {:?}", imported.remarks);
    }
}

#[test]
fn a_file_of_soketi_becomes_one_of_ours() {
    let imported = imported("config.json", SOKETI);
    let config = config(&imported);
    assert_eq!((config.server.port, imported.apps), (7001, 3));
    let read = |index: usize| {
        let app = &config.apps[index].app;
        (app.id.clone(), app.limits.connections, app.limits.events_per_batch, app.limits.event_name_chars)
    };
    assert_eq!(read(0), ("a".to_owned(), 100, 20, 150));
    assert_eq!(read(1), ("b".to_owned(), 0, 5, 150));
    assert_eq!(read(2), ("3".to_owned(), 7, 20, 150));
    assert_eq!(config.apps[2].app.limits.client_events_per_second, 9);
    let rates = |index: usize| {
        let limits = &config.apps[index].app.limits;
        (limits.backend_events_per_second, limits.read_requests_per_second)
    };
    assert_eq!([0, 1, 2].map(rates), [(0, 0), (500, 0), (40, 20)]);
    assert!(config.apps[0].app.client_events);
    let endpoint = &config.apps[0].webhooks.endpoints[0];
    assert_eq!(endpoint.headers[0].value(), "t");
    assert_eq!(endpoint.channels.as_ref().map(ToString::to_string).as_deref(), Some("presence-*"));
    assert!(imported.toml.contains("# The TCP port."), "{}", imported.toml);
    assert!(imported.toml.contains("port = 7001  # config.json: port"), "{}", imported.toml);
    let url = config.cluster.url.as_ref().map(ToString::to_string);
    assert_eq!(url.as_deref(), Some("redis+sentinel://s1:7/main"));
    let password = config.cluster.password.as_ref().map(|secret| secret.text());
    assert_eq!((password, &*config.cluster.node.prefix), (Some("p"), "shop"));
    let local = SOKETI.replace("\"driver\": \"redis\"", "\"driver\": \"local\"");
    let told = self::imported("config.json", &local).remarks.pop().unwrap_or_default();
    let expected = "config.json: database.redis.password and 3 more: SOKETI_ADAPTER_DRIVER";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(imported.remarks, ["config.json: cors.credentials: it has no counterpart here",]);
}

#[test]
fn a_table_of_apps_is_the_same_in_every_form() {
    let expected = config(&imported("apps.csv", CSV));
    assert_eq!(expected.apps.len(), 2);
    let first = &expected.apps[0];
    assert_eq!((first.app.keys[0].secret.text(), first.app.limits.connections), ("s'a", 100));
    let rates = expected.apps.iter().map(|app| &app.app.limits);
    let rates = rates.map(|limits| (limits.backend_events_per_second, limits.read_requests_per_second));
    assert_eq!(rates.collect::<Vec<_>>(), [(50, 0), (0, 20)]);
    assert_eq!((first.app.client_events, first.webhooks.endpoints.len()), (true, 1));
    // Without the ending of the name, too.
    for (name, text) in [("dump.sql", MYSQL), ("dump", POSTGRES), ("copy", COPY), ("table", CSV)] {
        let mut read = config(&imported(name, text));
        if text == POSTGRES {
            // \x62 is taken for x62: what follows the x is not known to MySQL.
            assert_eq!(read.apps[1].app.keys[0].secret.text(), "sx62");
            read.apps[1] = expected.apps[1].clone();
        }
        assert_eq!(read, expected, "{name}");
    }
}

/// The ids of the apps of a dump.
fn ids(dump: &str) -> Vec<String> {
    config(&imported("dump.sql", dump)).apps.into_iter().map(|app| app.app.id).collect()
}

#[test]
fn a_column_named_key_needs_no_quotes() {
    let created = [
        "id character varying(255) NOT NULL, key character varying(255) NOT NULL, secret text, index integer",
        "id varchar(255), key varchar(255), secret varchar(255), index int",
        "id, key, secret, index",
        "id text, key public.citext NOT NULL, secret text, index int DEFAULT (1), CONSTRAINT p PRIMARY KEY (id)",
        "id int, \"key\" text, secret text, \"index\" int, KEY (id), KEY k (\"key\"), INDEX \"i\" (id), KEY u USING BTREE (id)",
    ];
    for columns in created {
        let dump = format!(
            "CREATE TABLE public.apps ({columns});\nINSERT INTO public.apps VALUES ('a', 'ka', 'sa', NULL);"
        );
        assert_eq!(ids(&dump), ["a"], "{columns}");
    }
}

#[test]
fn an_index_of_any_kind_is_no_column() {
    let created = [
        "`id` varchar(255), `key` varchar(255), `secret` text, FULLTEXT KEY `s` (`secret`)",
        "`id` varchar(255), FULLTEXT INDEX `s` (`secret`), `key` varchar(255), SPATIAL KEY (`secret`), `secret` text",
        "id text, key text, secret text, fulltext (secret), FULLTEXT s (secret) WITH PARSER ngram",
    ];
    for columns in created {
        let dump = format!("CREATE TABLE `apps` ({columns});\nINSERT INTO `apps` VALUES ('a', 'ka', 'sa');");
        assert_eq!(ids(&dump), ["a"], "{columns}");
    }
    let column = "CREATE TABLE apps (id text, key text, secret text, fulltext text);\n\
        INSERT INTO apps VALUES ('a', 'ka', 'sa', 'x');";
    assert_eq!(ids(column), ["a"]);
}

#[test]
fn keys_with_dots_lead_anywhere() {
    let nested = r#"{"port": 7, "appManager": {"array": {"apps": [
        {"id": "a", "key": "ka", "secret": "sa", "maxConnections": 5,
         "webhooks": [{"url": "http://h/", "event_types": ["channel_occupied"], "headers": {"X.Y": "1"}}]},
        {"id": "b", "key": "kb", "secret": "sb"}]}}}"#;
    let expected = config(&imported("config.json", nested));
    assert_eq!((expected.apps.len(), expected.apps[0].webhooks.endpoints.len()), (2, 1));
    let dotted = [
        r#"{"port": 7, "appManager.array.apps.1.id": "b", "appManager.array.apps.0.id": "a",
            "appManager.array.apps.0.key": "ka", "appManager.array.apps.1.key": "kb",
            "appManager.array.apps.1.secret": "sb", "appManager.array.apps.0.secret": "sa",
            "appManager.array.apps.0.webhooks.0.url": "http://h/", "appManager.array.apps.0.maxConnections": 5,
            "appManager.array.apps.0.webhooks.0.event_types": ["channel_occupied"],
            "appManager.array.apps.0.webhooks.0.headers.X.Y": "1"}"#,
        r#"{"port": 7, "appManager.array": {"apps.1": {"id": "b", "key": "kb", "secret": "sb"}, "apps.0.id": "a",
            "apps": [{"key": "ka", "secret": "sa", "maxConnections": 5}],
            "apps.0.webhooks": {"0": {"url": "http://h/", "event_types": ["channel_occupied"], "headers": {"X.Y": "1"}}}}}"#,
    ];
    for text in dotted {
        assert_eq!(config(&imported("config.json", text)), expected, "{text}");
    }
    // What no number leads to is told, and what is no app is refused.
    let rest = r#"{"appManager.array.apps.x.id": "c", "appManager.array.apps.0": {"id": "a", "key": "k", "secret": "s"}}"#;
    assert_eq!(
        imported("config.json", rest).remarks,
        [
            "config.json: appManager.*: this broker has no database: apps stand in the configuration file, and \
          `heliostat import` makes it of a dump of the table"
        ]
    );
    let failure = import("config.json", br#"{"appManager.array.apps.0": 5}"#).unwrap_err();
    assert!(failure.0[0].contains("appManager.array.apps[0]"), "{failure:?}");
    // The port of the metrics turns nothing on.
    let port = nested.replace("\"port\": 7", "\"metrics.port\": 9601");
    assert_eq!(
        imported("config.json", &port).remarks,
        [
            "config.json: metrics.port: the listener is off: metrics.enabled, which is SOKETI_METRICS_ENABLED, turns it on"
        ]
    );
}

#[test]
fn a_backtick_in_a_text_makes_no_mysql() {
    let postgres = "-- `\nINSERT INTO notes VALUES ('`', 'C:\\');\nCOPY notes (a) FROM stdin;\n`it's\n\\.\n\
        CREATE FUNCTION f() RETURNS text AS $f$ it's a `;$$ $f$ LANGUAGE sql;\n\
        INSERT INTO apps (id, \"key\", secret) VALUES ('a', 'ka', 's`\\');";
    let read = config(&imported("dump.sql", postgres));
    assert_eq!(read.apps[0].app.keys[0].secret.text(), "s`\\");
    let mysql = "# Sequel's dump\n/*!40101 SET NAMES utf8 */;\n# It's MySQL's\n\
        INSERT INTO `apps` (`id`, `key`, `secret`) VALUES (\"a\", 'ka', 's\\'a');";
    let read = config(&imported("dump.sql", mysql));
    assert_eq!(read.apps[0].app.keys[0].secret.text(), "s'a");
}

#[test]
fn of_tables_that_could_be_it_the_one_named_apps_is_taken() {
    let insert = |table: &str, id: &str| {
        format!("INSERT INTO {table} (id, \"key\", secret) VALUES ('{id}', 'k{id}', 's{id}');\n")
    };
    let copy = "COPY public.partners (id, key, secret) FROM stdin;\np\tkp\tsp\n\\.\n";
    for apps in ["apps", "public.apps", "\"public\".\"apps\"", "APPS"] {
        let dump = [&insert("clients", "c"), copy, &insert(apps, "a"), &insert(apps, "b")].concat();
        assert_eq!(ids(&dump), ["a", "b"], "{apps}");
        let left_out = ["clients", "partners"]
            .map(|table| format!("table {table:?}: left out, because there is a table apps"));
        assert_eq!(imported("dump.sql", &dump).remarks, left_out);
    }
    let dump = [&insert("clients", "c"), copy].concat();
    assert_eq!(ids(&dump), ["c", "p"]);
    let taken = ["clients", "partners"].map(|table| {
        format!("table {table:?}: its rows are taken for apps, because it has the columns id, key and secret")
    });
    assert_eq!(imported("dump.sql", &dump).remarks, taken);
}

/// The last line has no end, and nothing ends the lines.
#[test]
fn a_copy_that_was_cut_off_ends() {
    let (whole, _) = COPY.rsplit_once("\nb\tkb").unwrap_or_default();
    assert_eq!(config(&imported("cut.sql", whole)).apps.len(), 1);
}

#[test]
fn rubbish_is_explained_with_its_place() {
    let cases = [
        ("a.env", "A=1\nB-C=hush\n", "a.env:2:2: expected NAME=value"),
        ("a.env", "A=1\n", "a.env: expected an app with its credentials"),
        ("a.env", "PUSHER_APP_ID=1\nPUSHER_APP_KEY=k\n", "a.env: expected an app with its credentials"),
        (
            "a.env",
            "\nSOKETI_PORT=hush!\n",
            "a.env:2: SOKETI_PORT: server.port must be an integer from 0 to 65535",
        ),
        ("a.json", "{\n  \"port\": hush\n}", "a.json:2:11: not valid JSON"),
        ("a.json", "[]", "a.json:1:1: expected an object of options"),
        ("a.json", "{}", "a.json: expected an app with its credentials"),
        (
            "a.json",
            "{\"appManager\":{\"array\":{\"apps\":[7]}}}",
            "a.json: appManager.array.apps[0]: an app must be an object",
        ),
        (
            "a.json",
            "{\"appManager.array.apps\":[{\"id\":\"1\"}]}",
            "a.json: appManager.array.apps[0]: an app needs \"key\"",
        ),
        (
            "a.json",
            "{\"port\":-1,\"appManager.array.apps\":[{\"id\":\"1\",\"key\":\"k\",\"secret\":\"s\"}]}",
            "a.json: port: server.port must be an integer from 0 to 65535, got \"-1\"",
        ),
        ("a.sql", "SELECT 1;", "a.sql:1:1: expected INSERT or COPY statements"),
        ("a.sql", "INSERT INTO apps VALUES ('hush');", "a.sql:1:18: expected the names of the columns"),
        (
            "a.sql",
            "\nINSERT INTO apps (id,key,secret) VALUES\n ('a','hush');",
            "a.sql:3:2: expected 3 values",
        ),
        (
            "a.sql",
            "INSERT INTO apps (id,key,secret) VALUES ('a','hush",
            "a.sql:1:46: the quote that begins here",
        ),
        ("a.csv", "a,b\n1,2\n", "a.csv:1:1: expected a header with the columns id, key and secret"),
        ("a.csv", "id,key,secret\n1,hush\n", "a.csv:2:1: expected 3 fields"),
        ("twice.csv", "id,key,secret\n1,k,s\n1,l,s\n", "twice.csv: row of line 3"),
    ];
    for (name, text, expected) in cases {
        let Err(ImportFailure(lines)) = import(name, text.as_bytes()) else { panic!("{text}") };
        assert!(lines[0].starts_with(expected), "{lines:?}, not {expected}");
        assert!(!lines[0].contains("hush\"") || name == "a.env", "{lines:?}");
    }
    let Err(ImportFailure(lines)) = import("x", b"A=1\n\xff") else { panic!("no text") };
    assert_eq!(lines, ["x:2:1: expected UTF-8 text, got other bytes"]);
}

const NAMES: [&str; 5] = [".env", "a.json", "a.sql", "a.csv", "a"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Whatever a file holds, it is read or refused; and what is written loads.
    #[test]
    fn nothing_that_a_file_holds_can_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), name in 0..NAMES.len()) {
        let _ = import(NAMES[name], &bytes);
    }

    #[test]
    fn a_sound_file_with_a_wound_is_read_or_refused(
        which in 0_usize..6, at in 0_usize..2000, cut in 0_usize..40, put in "[\\\\'\"`();,{}\\[\\]=#\n\t$A0-]{0,6}", name in 0..NAMES.len(),
    ) {
        let sound = [LARAVEL, SOKETI, MYSQL, POSTGRES, COPY, CSV][which];
        let chars: Vec<char> = sound.chars().collect();
        let at = at % (chars.len() + 1);
        let rest = chars.iter().skip((at + cut).min(chars.len()));
        let text: String = chars.iter().take(at).copied().chain(put.chars()).chain(rest.copied()).collect();
        for name in [NAMES[name], "a"] {
            if let Ok(imported) = import(name, text.as_bytes()) {
                let flags = Flags { config: Some("h.toml".into()), ..Flags::default() };
                            let loaded = load([], &flags, only(imported.toml.as_bytes()));
                prop_assert!(loaded.is_ok(), "{:?} in\n{}", loaded.map(|_| ()), imported.toml);
            }
        }
    }
}
