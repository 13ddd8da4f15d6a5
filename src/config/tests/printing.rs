//! `print-config` can be read back, and keeps secrets.

use super::*;

fn rich() -> Loaded {
    let text = with_app(
        "[server]\nhost = \"0.0.0.0\"\npath_prefix = \"x\"\n[[server.listeners]]\naddress = \"unix:/a b\"\nmode = \"0600\"\n\
         [[server.listeners]]\naddress = \"localhost:7\"\nproxy_protocol = true\ntls = false\n[connection]\nping_after_seconds = 0.5\n\
         [cluster]\nurl = \"rediss://u:s5@r.example.com\"\npassword = \"s6\"\nsentinel_password = \"s7\"\n[development]\nencryption_master_key_base64 = \"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\"",
    ) + "[[apps.pipe]]\nfrom = \"a-*\"\nevent = \"*\"\nto = \"b-*\"\nas = \"it's \\\"f\\\"\"\npick = [\"x\", \"y\"]\n\
           add = { n = 1, deep = { list = [true, 0.5], text = \"a\\nb\" } }\nsource = [\"client\", \"http\"]\n\
           [[apps.webhooks]]\nurl = \"https://example.com/a?b=s8\"\nevents = [\"presence\"]\nchannels = \"presence-*\"\n\
           headers = { authorization = \"Bearer s3\", x-tenant = \"s4\" }\n\
           [[apps.webhooks]]\nurl = \"http://127.0.0.1:1\"\n[apps.webhook_delivery]\nbatching = true\nca_file = \"ca.pem\"\n\
           [[apps]]\nid = \"8\"\nenabled = false\nkeys = [{ key = \"old\", secret = \"s1\" }, { key = \"new\", secret = \"s2\" }]\n\
           [apps.limits]\nmessage_bytes = 4096\n";
    Sources { file: Some(&text), ..Sources::default() }.load().unwrap()
}

#[test]
fn what_is_printed_with_secrets_reads_back_as_the_same() {
    for loaded in [rich(), Sources::default().load().unwrap()] {
        let printed = loaded.to_toml(true);
        let again = Sources { file: Some(&printed), ..Sources::default() }.load();
        assert_eq!(
            again.unwrap_or_else(|e| panic!("{e:?} in\n{printed}")).config,
            loaded.config,
            "{printed}"
        );
    }
}

#[test]
fn hidden_secrets_are_nowhere_and_are_not_taken_for_secrets() {
    let printed = rich().to_toml(false);
    for secret in ["hush", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "YWFh"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let complaints = Sources { file: Some(&printed), ..Sources::default() }.complaints();
    assert_eq!(complaints.len(), 10, "{complaints:?}");
    assert!(complaints.iter().all(|c| c.contains("the mask that print-config writes")), "{complaints:?}");
}

#[test]
fn every_line_tells_its_origin() {
    let sources = Sources {
        variables: &[("HELIOSTAT_SERVER_PORT", "7000")],
        flags: Flags::default().with("--log-level", "debug"),
        ..Sources::default()
    };
    let printed = sources.load().unwrap().to_toml(false);
    let line = |start: &str| {
        let line = printed.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("host ="), "host = \"127.0.0.1\" # default");
    assert_eq!(line("port ="), "port = 7000 # environment variable HELIOSTAT_SERVER_PORT");
    assert_eq!(line("level ="), "level = \"debug\" # flag --log-level");
    assert_eq!(line("pages ="), "pages = true # development mode");
    assert_eq!(line("secret ="), "secret = \"…\" # development mode");
    assert_eq!(line("[[apps.channels]]"), "[[apps.channels]] # development mode");
    assert_eq!(line("[[apps.pipe]]"), "[[apps.pipe]] # development mode");
    let settings = printed.lines().filter(|line| line.contains(" = "));
    let (_, until_rules) = settings.clone().fold((false, Vec::new()), |(rules, mut lines), line| {
        let rules = rules || line.starts_with("from =") || line.starts_with("pattern =");
        if !rules {
            lines.push(line);
        }
        (rules, lines)
    });
    assert!(until_rules.len() > 40 && until_rules.iter().all(|line| line.contains("  # ")), "{printed}");
}

#[test]
fn a_file_name_cannot_break_out_of_its_comment() {
    let flags = Flags { config: Some("a\nport = 1\n.toml".into()), ..Flags::default() };
    let text = with_app("");
    let loaded = Sources { file: Some(&text), flags, ..Sources::default() }.load().unwrap();
    let printed = loaded.to_toml(true);
    assert!(printed.contains("# a\\nport = 1\\n.toml:3"), "{printed}");
}
