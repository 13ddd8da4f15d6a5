//! The command line, and the words of the answers.

use super::answers::{complaint, template, verdict};
use super::arguments::{AFTER_HELP, command_line};
use super::welcome::welcome;
use super::*;
use crate::config::{load, only};

fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
    parse_from(["heliostat"].iter().chain(arguments).map(OsString::from))
}

fn loaded(flags: &Flags) -> Loaded {
    load([], flags, only(b"[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"hush\"")).unwrap()
}

#[test]
fn clap_finds_no_contradiction_in_the_definitions() {
    command_line().debug_assert();
}

#[test]
fn serving_is_what_happens_without_a_command() {
    assert_eq!(parsed(&[]).unwrap(), Command::Serve(Flags::default()));
    assert_eq!(parsed(&["serve"]).unwrap(), Command::Serve(Flags::default()));
    assert_eq!(parsed(&["reload"]).unwrap(), Command::Reload { flags: Flags::default(), dry_run: false });
    assert_eq!(parsed(&["upgrade"]).unwrap(), Command::Upgrade(Flags::default()));
    assert_eq!(parsed(&["check-config"]).unwrap(), Command::CheckConfig(Flags::default()));
    let printed = Command::PrintConfig { flags: Flags::default(), show_secrets: true };
    assert_eq!(parsed(&["print-config", "--show-secrets"]).unwrap(), printed);
    assert_eq!(parsed(&["print-config", "--template"]).unwrap(), Command::PrintTemplate);
}

/// As where a variable of a shell is not set.
#[test]
fn what_is_named_by_nothing_is_not_acted_upon() {
    for arguments in [["terminate", ""], ["users", ""], ["connections", ""]] {
        assert!(parsed(&arguments).is_err(), "{arguments:?}");
    }
    assert!(parsed(&["terminate", "ann"]).is_ok());
}

#[test]
fn samples_are_sent_to_whom_is_named() {
    let all = Command::SendTest { flags: Flags::default(), wanted: WantedSample::default() };
    assert_eq!(parsed(&["webhooks", "send-test"]).unwrap(), all);
    let arguments = ["webhooks", "send-test", "--config=c", "--app=7", "--endpoint=u", "--type=t"];
    let own = |text: &str| Some(text.to_owned());
    let wanted = WantedSample { app: own("7"), endpoint: own("u"), event_type: own("t") };
    let flags = Flags { config: Some("c".into()), ..Flags::default() };
    assert_eq!(parsed(&arguments).unwrap(), Command::SendTest { flags, wanted });
    assert!(parsed(&["webhooks"]).is_err());
}

#[test]
fn every_flag_arrives_as_text_before_or_after_the_command() {
    let arguments = [
        "--config=c.toml",
        "--host=::1",
        "--port=-1",
        "--workers=two",
        "--path-prefix=/x",
        "--control-socket=/s",
        "--pipe=a:e=b",
        "--pipe=c:e=d",
        "--log-format=json",
        "--log-level=debug",
        "--development",
    ];
    let values = [
        ("--host", "::1"),
        ("--port", "-1"),
        ("--workers", "two"),
        ("--path-prefix", "/x"),
        ("--control-socket", "/s"),
        ("--log-format", "json"),
        ("--log-level", "debug"),
    ];
    let values = values.into_iter().fold(Flags::default(), |flags, (name, value)| flags.with(name, value));
    let flags = Flags {
        config: Some("c.toml".into()),
        pipe: vec!["a:e=b".into(), "c:e=d".into()],
        development: true,
        ..values
    };
    let after: Vec<_> = ["serve"].into_iter().chain(arguments).collect();
    let before: Vec<_> = arguments.into_iter().chain(["serve"]).collect();
    for arguments in [&arguments[..], &after, &before] {
        assert_eq!(parsed(arguments).unwrap(), Command::Serve(flags.clone()), "{arguments:?}");
    }
    let both = parsed(&["--port=1", "--pipe=a:e=b", "serve", "--port=2", "--pipe=c:e=d"]).unwrap();
    let Command::Serve(both) = both else { panic!("{both:?}") };
    assert_eq!((both.value("--port"), both.pipe.len()), (Some("2"), 2));
}

#[test]
fn a_negative_number_after_a_space_is_a_value_and_not_a_flag() {
    let Command::Serve(flags) = parsed(&["--port", "-1"]).unwrap() else { panic!("another command") };
    assert_eq!(flags.value("--port"), Some("-1"));
}

#[test]
fn a_flag_that_does_nothing_for_a_command_is_refused() {
    let cases: [&[&str]; 12] = [
        &["reload", "--port", "1"],
        &["--port", "1", "reload"],
        &["exec", "--control-socket", "/s", "--", "true"],
        &["--control-socket", "/s", "exec", "--", "true"],
        &["serve", "--test", "--control-socket", "/s"],
        &["webhooks", "send-test", "--pipe", "a:e=b"],
        &["print-config", "--template", "--port", "1"],
        &["--development", "print-config", "--template"],
        &["print-config", "--template", "--show-secrets"],
        &["--config", "c", "import", ".env"],
        &["--port", "1", "completions", "bash"],
        &["--host", "::1", "man"],
    ];
    for arguments in cases {
        let refused = parsed(arguments).map_err(|error| error.exit_code());
        assert_eq!(refused, Err(2), "{arguments:?}");
    }
    let told = parsed(&["--port", "1", "reload"]).unwrap_err().to_string();
    assert!(told.contains("the flag --port means nothing to `heliostat reload`"), "{told}");
    let flags = Flags { config: Some("c".into()), ..Flags::default().with("--control-socket", "/s") };
    let dry = Command::Reload { flags, dry_run: true };
    assert_eq!(parsed(&["--config=c", "reload", "--control-socket=/s", "--dry-run"]).unwrap(), dry);
}

#[test]
fn files_for_others_are_made_of_the_definitions() {
    let bash = String::from_utf8(generated::completions(command_line(), Shell::Bash)).unwrap();
    assert!(bash.contains("check-config") && bash.contains("--control-socket"), "{bash}");
    for shell in [Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        assert!(!generated::completions(command_line(), shell).is_empty(), "{shell}");
    }
    let page = String::from_utf8(generated::manual_page(command_line()).unwrap()).unwrap();
    assert!(page.contains(".TH heliostat 1") && page.contains("HELIOSTAT_CONFIG"), "{page}");
    assert_eq!(parsed(&["completions", "bash"]).unwrap(), Command::Completions(Shell::Bash));
    assert_eq!(parsed(&["completions", "dos"]).unwrap_err().exit_code(), 2);
    assert_eq!(parsed(&["man", "-o", "d"]).unwrap(), Command::Man(Some("d".into())));
}

#[test]
fn the_version_tells_what_was_built_and_the_short_help_is_short() {
    let long = parsed(&["--version"]).unwrap_err().to_string();
    let lines: Vec<_> = long.lines().map(|line| line.split([' ', ':']).next().unwrap_or_default()).collect();
    assert_eq!(lines, ["heliostat", "commit", "target", "features"], "{long}");
    let name = concat!("heliostat ", env!("CARGO_PKG_VERSION"));
    assert_eq!(long.lines().next(), Some(name));
    assert_eq!(parsed(&["-V"]).unwrap_err().to_string().trim_end(), name);
    let [short, long] = ["-h", "--help"].map(|flag| parsed(&[flag]).unwrap_err().to_string());
    assert!(short.lines().count() < 58 && long.lines().count() > short.lines().count() + 20, "{short}");
    assert!(!short.contains("Examples:"), "{short}");
}

#[test]
fn usage_errors_end_with_two_and_help_with_zero() {
    let cases: [(&[&str], i32); 6] = [
        (&["--prot", "1"], 2),
        (&["sevre"], 2),
        (&["--port"], 2),
        (&["--help"], 0),
        (&["-h"], 0),
        (&["--version"], 0),
    ];
    for (arguments, code) in cases {
        assert_eq!(parsed(arguments).unwrap_err().exit_code(), code, "{arguments:?}");
    }
}

#[test]
fn the_help_names_commands_examples_and_real_variables() {
    let help = parsed(&["--help"]).unwrap_err().to_string();
    for word in ["check-config", "print-config", "--pipe", "Examples:", "Environment:", "HELIOSTAT_CONFIG"] {
        assert!(help.contains(word), "{word}");
    }
    let names = AFTER_HELP.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    for name in names.filter(|word| word.starts_with("HELIOSTAT_")) {
        let set = load([(name.into(), "?".into())], &Flags::default(), only(b""));
        let is_unknown = |w: &config::Warning| matches!(w, config::Warning::UnknownVariable { .. });
        assert!(
            name == "HELIOSTAT_" || !set.is_ok_and(|loaded| loaded.warnings.iter().any(is_unknown)),
            "{name}"
        );
    }
}

#[test]
fn outside_development_mode_the_welcome_is_one_line() {
    let configured = loaded(&Flags { config: Some("h.toml".into()), ..Flags::default() });
    let text = welcome(&configured.config, "http://127.0.0.1:6001", configured.mode, &[], "");
    assert_eq!(text, "heliostat listening on http://127.0.0.1:6001\n");
}

#[test]
fn the_welcome_tells_what_is_on_and_why() {
    let flags = Flags::default().with("--path-prefix", "x");
    let loaded = loaded(&flags);
    let text = welcome(&loaded.config, "http://127.0.0.1:41735", loaded.mode, &[], "and here\n");
    assert!(
        text.starts_with("heliostat listening on http://127.0.0.1:41735\nand here\n\nDevelopment mode"),
        "{text}"
    );
    for line in [
        "heliostat listening on http://127.0.0.1:41735",
        "Development mode, because there is no configuration file and only this machine can reach it.",
        "  http://127.0.0.1:41735/x/         snippets for clients and server libraries",
        "  http://127.0.0.1:41735/x/stream   sends your camera's frames",
        "  http://127.0.0.1:41735/x/mirror   shows them, in another window",
        "  app id           1001",
        "  key              app-key",
        "  secret           app-secret (public knowledge: for experiments only)",
        "  client events    100 per second and connection, up to 1048576 bytes each",
        "  pipe             stream:frame -> mirror:frame",
        "                   private-stream:client-frame -> mirror:frame",
        "                   private-stream:client-video -> mirror-video:video",
        "  auth endpoints   /dev/auth and /dev/user-auth sign whatever they are asked to",
    ] {
        assert!(text.lines().any(|l| l == line), "missing {line:?} in:\n{text}");
    }
}

#[test]
fn the_welcome_keeps_configured_secrets_and_warns_of_other_machines() {
    let flags = Flags {
        config: Some("h.toml".into()),
        development: true,
        ..Flags::default().with("--host", "0.0.0.0")
    };
    let loaded = loaded(&flags);
    let here = ["192.168.1.20".parse().unwrap(), "10.0.0.5".parse().unwrap()];
    let text = welcome(&loaded.config, "http://0.0.0.0:6001", loaded.mode, &here, "");
    assert!(!text.contains("hush"), "{text}");
    assert!(text.contains("as configured, not shown"), "{text}");
    assert!(text.contains("Development mode, because it was asked for."), "{text}");
    assert!(text.contains("Other machines can reach this broker"), "{text}");
    assert!(text.contains("  http://127.0.0.1:6001/stream"), "an address that browsers can open: {text}");
    let phone = "  http://192.168.1.20:6001/mirror\n  http://10.0.0.5:6001/mirror\n";
    assert!(text.contains(phone), "addresses that a phone can open: {text}");
}

#[test]
fn the_verdict_counts_and_warns() {
    let sound = loaded(&Flags::default());
    assert_eq!(
        verdict(&sound),
        "ok: 1 app, 5 pipe rules, 0 webhooks, to listen on 127.0.0.1:6001, development mode\n"
    );
    let exposed = loaded(&Flags { development: true, ..Flags::default().with("--host", "::") });
    let text = verdict(&exposed);
    assert!(
        text.starts_with("ok: 1 app, 5 pipe rules, 0 webhooks, to listen on [::]:6001, development mode\n"),
        "{text}"
    );
    assert_eq!(text.matches("\nwarning: ").count(), 2, "{text}");
}

#[test]
fn a_complaint_is_one_line_per_error() {
    let flags = Flags::default().with("--port", "70000").with("--workers", "x");
    let errors = load([], &flags, only(b"")).unwrap_err();
    let text = complaint(&errors);
    assert_eq!(
        text,
        "heliostat: --port: server.port must be an integer from 0 to 65535, got \"70000\"\n\
         heliostat: --workers: server.workers must be an integer from 0 to 512, got \"x\"\n"
    );
}

#[test]
fn the_printed_template_can_be_used_as_it_is() {
    let text = template();
    let flags = Flags { config: Some("h.toml".into()), ..Flags::default() };
    let loaded = load([], &flags, only(text.as_bytes())).unwrap();
    let key = &loaded.config.apps[0].app.keys[0];
    assert_eq!((loaded.config.apps.len(), key.secret.text().len()), (1, 64));
    assert_ne!(template(), text, "credentials are drawn");
}
