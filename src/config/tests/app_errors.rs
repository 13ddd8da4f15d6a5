//! Every mistake in an app or a pipe rule of the file, and the sentence it gets.

use super::*;

#[test]
fn mistakes_in_an_app_name_the_line() {
    let id = "h.toml:2:6: apps.id must be a string of at most 200 letters, digits and - _, got";
    let key =
        "apps.key must be a string of at most 200 letters, digits and - _ . ~, and neither . nor .., got";
    let secret = "h.toml:4:10: apps.secret must be a non-empty string without white space around it, got";
    let app = |id: &str, key: &str, secret: &str, more: &str| {
        format!("[[apps]]\nid = {id}\nkey = {key}\nsecret = {secret}\n{more}")
    };
    let good = |more: &str| app("'7'", "'k'", "'hush'", more);
    let cases = [
        (app("1001", "'k'", "'s'", ""), format!("{id} 1001")),
        (app("''", "'k'", "'s'", ""), format!("{id} the string \"\"")),
        (app("'a b'", "'k'", "'s'", ""), format!("{id} the string \"a b\"")),
        (app("'7'", "''", "'s'", ""), format!("h.toml:3:7: {key} the string \"\"")),
        (app("'7'", "'..'", "'s'", ""), format!("h.toml:3:7: {key} the string \"..\"")),
        (
            app(&format!("'{}'", "x".repeat(201)), "'k'", "'s'", ""),
            format!("{id} the string \"{}\" and 141 more bytes", "x".repeat(60)),
        ),
        (app("'7'", "'a/b'", "'s'", ""), format!("h.toml:3:7: {key} the string \"a/b\"")),
        (app("'7'", "'k'", "''", ""), format!("{secret} an empty string")),
        (app("'7'", "'k'", "'hush '", ""), format!("{secret} one with white space around it")),
        (app("'7'", "'k'", "\"hu\\tsh\"", ""), format!("{secret} one with control characters in it")),
        (app("'7'", "'k'", "271828", ""), format!("{secret} an integer")),
        (
            good("[apps.limits]\nconnections = -1"),
            "h.toml:6:15: apps.limits.connections must be an integer from 0 to 1000000000, got -1".to_owned(),
        ),
        (
            good("allowed_origins = ['https://a.com', 'https://a.com/x']"),
            "h.toml:5:19: apps.allowed_origins must be a list of origins such as \"https://example.com\", \
             \"https://*.example.com\" or \"localhost:*\", got \"https://a.com/x\""
                .to_owned(),
        ),
        (good("limits = 3"), "h.toml:5:10: apps.limits must be a table, got 3".to_owned()),
        (
            good("client_event = true"),
            "h.toml:5:1: unknown key \"apps.client_event\"; did you mean \"apps.client_events\"?".to_owned(),
        ),
        (
            good("message_bytes = 2048"),
            "h.toml:5:1: unknown key \"apps.message_bytes\"; did you mean \"apps.limits.message_bytes\"?".to_owned(),
        ),
        (
            good("[apps.limits]\nconections = 1"),
            "h.toml:6:1: unknown key \"apps.limits.conections\"; did you mean \"apps.limits.connections\"?".to_owned(),
        ),
        (
            good("keys = [{ key = 'a', secret = 'b' }]"),
            "h.toml:5:8: an app has either \"keys\" or one \"key\" with its \"secret\", got both".to_owned(),
        ),
        (
            "[[apps]]\nid = '7'\nkeys = []".to_owned(),
            "h.toml:3:8: apps.keys must be a list of at least one { key = \"…\", secret = \"…\" }, got an array of 0"
                .to_owned(),
        ),
        (
            "[[apps]]\nid = '7'\nkeys = ['a']".to_owned(),
            "h.toml:3:9: apps.keys must be a list of at least one { key = \"…\", secret = \"…\" }, got a string"
                .to_owned(),
        ),
        (
            "[[apps]]\nid = '7'\nkeys = [{ key = 'a' }]".to_owned(),
            "h.toml:3:9: an item of apps.keys needs \"secret\", which is missing".to_owned(),
        ),
        (
            "[[apps]]\nid = '7'\nkeys = [{ key = 'a', secret = 'b', secrte = 'c' }]".to_owned(),
            "h.toml:3:36: unknown key \"apps.keys.secrte\"; did you mean \"apps.keys.secret\"?".to_owned(),
        ),
        (
            "[[apps]]\nid = '7'\nkey = 'k'".to_owned(),
            "h.toml:1:1: an app needs \"secret\", which is missing; HELIOSTAT_APP_SECRET may give it too".to_owned(),
        ),
        (
            good("[[apps]]\nkey = 'k'"),
            "h.toml:5:1: an app needs \"id\", which is missing".to_owned(),
        ),
        (
            good("[[apps]]\nid = '7'\nkey = 'l'\nsecret = 's'"),
            "h.toml:6:6: two apps have the id \"7\"; ids must be unique".to_owned(),
        ),
        (
            good("[[apps]]\nid = '8'\nkey = 'k'\nsecret = 's'"),
            "h.toml:7:7: the key \"k\" is used twice; keys must be unique across all apps".to_owned(),
        ),
        (
            good("[[apps]]\nid = '8'\nkeys = [{ key = 'k', secret = 's' }]"),
            "h.toml:7:8: the key \"k\" is used twice; keys must be unique across all apps".to_owned(),
        ),
        (
            "apps = 7".to_owned(),
            "h.toml:1:8: apps must be one or more tables, each begun by [[apps]], got 7".to_owned(),
        ),
        (
            "[apps]\nid = '7'".to_owned(),
            "h.toml:1:1: apps must be one or more tables, each begun by [[apps]], got a table".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
        assert_eq!(complaints[0], expected, "{text}");
        assert!(!complaints.iter().any(|c| c.contains("hush") || c.contains("271828")), "{complaints:?}");
    }
}

#[test]
fn mistakes_in_a_rule_name_the_line() {
    let rule = |fields: &str| with_app("") + "[[apps.pipe]]\n" + fields;
    let whole = |more: &str| rule(&format!("from = 'a'\nevent = 'e'\nto = 'b'\n{more}"));
    let cases = [
        (rule("event = 'e'\nto = 'b'"), "h.toml:6:1: a pipe rule needs \"from\", which is missing"),
        (
            rule("from = 'a'\nevent = 'e'\nto = 'b-*'"),
            "h.toml:6:1: the target \"b-*\" holds a `*` but the source \"a\" holds none to fill it with",
        ),
        (
            rule("from = 'a b'\nevent = 'e'\nto = 'b'"),
            "h.toml:7:8: a channel name is made of letters, digits and _ - = @ , . ; but \"a b\" holds ' '",
        ),
        (rule("from = 'a'\nevent = 'e'\nto = ''"), "h.toml:9:6: a channel pattern may not be empty"),
        (rule("from = 'a'\nevent = 7\nto = 'b'"), "h.toml:8:9: apps.pipe.event must be a string, got 7"),
        (
            rule("from = 'a'\nevent = 'pusher:ping'\nto = 'b'"),
            "h.toml:6:1: \"pusher:ping\" cannot be an event name: it is empty, or begins with \
             \"pusher:\" or \"pusher_internal:\", which are reserved",
        ),
        (
            with_app("")
                + "limits = { channel_name_chars = 7 }\n[[apps.pipe]]\nfrom = 'a'\nevent = 'e'\nto = 'mirror-1'",
            "h.toml:7:1: the target \"mirror-1\" cannot be the name of a channel: it has 8 characters, at most 7 are allowed",
        ),
        (whole("source = []"), "h.toml:6:1: a rule must hear at least one source: \"client\" or \"http\""),
        (
            whole("source = ['clients']"),
            "h.toml:10:10: apps.pipe.source must be a list of \"client\" and \"http\", one or both, got \"clients\"",
        ),
        (
            whole("source = 'http'"),
            "h.toml:10:10: apps.pipe.source must be a list of strings, got the string \"http\"",
        ),
        (whole("pick = 'x'"), "h.toml:10:8: apps.pipe.pick must be a list of strings, got the string \"x\""),
        (
            whole("add = 'x'"),
            "h.toml:10:7: apps.pipe.add must be a table such as { message = \"Sending frame\" }, got the string \"x\"",
        ),
        (
            whole("add = { a = [1979-05-27] }"),
            "h.toml:10:14: apps.pipe.add must be made of what JSON can hold, got a date or time",
        ),
        (
            whole("add = { a = nan }"),
            "h.toml:10:13: apps.pipe.add must be made of what JSON can hold, got nan",
        ),
        (
            whole("where = { a = [{ x = 175928847299117063.5 }] }"),
            "h.toml:10:22: apps.pipe.where must be a number with no more digits than a double holds, got \
             175928847299117063.5",
        ),
        (
            whole("add = { x = 18446744073709551616 }"),
            "h.toml:10:13: apps.pipe.add must be made of what JSON can hold, got 18446744073709551616",
        ),
        (
            whole("form = 'x'"),
            "h.toml:10:1: unknown key \"apps.pipe.form\"; did you mean \"apps.pipe.from\"?",
        ),
        (
            whole("[[apps.pipe]]\nfrom = 'a'\nevent = 'e'\nto = 'b'"),
            "h.toml:10:1: the same pipe rule is already given at h.toml:6:1",
        ),
        (
            with_app("") + "pipe = 'a:e=b'",
            "h.toml:6:8: apps.pipe must be one or more tables, each begun by [[apps.pipe]], got the string \"a:e=b\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Sources { file: Some(&text), ..Sources::default() }.complaints(), [expected], "{text}");
    }
}
