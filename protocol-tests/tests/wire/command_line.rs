//! The broker's own command line: what it says when it cannot start, and the exit code that goes with it.

use std::net::TcpListener;
use std::process::{Command, Output};

use heliostat_protocol_tests::{broker, skipped};

/// Runs the broker's command to its end, unless the suite is aimed at another server.
fn run(arguments: &[&str]) -> Option<Output> {
    if skipped("it is about the broker's own command line") {
        return None;
    }
    Some(broker::command().args(arguments).output().expect("the broker's command runs"))
}

/// Asserts that it ended with 2, said nothing on standard output, and one line on standard error.
#[track_caller]
fn complaint(arguments: &[&str]) -> Option<String> {
    let Output { status, stdout, stderr } = run(arguments)?;
    let said = String::from_utf8(stderr).expect("a complaint is text");
    assert_eq!(status.code(), Some(2), "{arguments:?}: {said}");
    assert!(stdout.is_empty(), "{arguments:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    Some(said)
}

#[track_caller]
fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("protocol-tests-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("a configuration file can be written");
    path.to_str().expect("a path of text").to_owned()
}

/// A port that is taken, an address that is not this machine's, and one that would show the default secret to
/// everybody.
///
/// Proves: bad input.
#[test]
fn an_address_that_cannot_be_had_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let Some(said) = complaint(&["--port", &port]) else { return };
    assert!(said.contains("the port is in use") && said.contains(&port), "{said}");
    let said = complaint(&["--development", "--host", "192.0.2.1"]).unwrap();
    assert!(said.contains("this machine has no such address"), "{said}");
    let said = complaint(&["--host", "0.0.0.0"]).unwrap();
    assert!(said.contains("public knowledge"), "{said}");
    let said = complaint(&["--host", "nowhere.example"]).unwrap();
    assert!(said.contains("nowhere.example"), "{said}");
}

/// A file that is not there, not text, not TOML, or says something that no broker understands.
///
/// Proves: bad input.
#[test]
fn a_configuration_that_cannot_be_used_is_explained() {
    let Some(said) = complaint(&["--config", "/nowhere/heliostat.toml"]) else { return };
    assert!(said.contains("/nowhere/heliostat.toml"), "{said}");
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";
    let table = [
        ("syntax.toml", "[server\n".to_owned(), ":1:"),
        ("unknown.toml", format!("[server]\nprot = 1\n{app}"), "did you mean \"server.port\"?"),
        ("type.toml", format!("[server]\nport = \"x\"\n{app}"), ":2:"),
        ("range.toml", format!("[connection]\nmin_protocol = 9\n{app}"), "min_protocol"),
        ("rule.toml", format!("{app}[[apps.pipe]]\nfrom = \"a\"\nevent = \"e\"\nto = \"b-*\"\n"), "b-*"),
        ("twice.toml", format!("{app}{}", app.replace('1', "2")), "\"k\" is used twice"),
    ];
    for (name, text, expected) in table {
        let path = file(name, &text);
        let said = complaint(&["check-config", "--config", &path]).unwrap();
        assert!(said.contains(name) && said.contains(expected), "{said}");
        assert_eq!(complaint(&["serve", "--config", &path]), Some(said), "serving says the same");
        std::fs::remove_file(path).unwrap();
    }
}

/// A sound configuration is called so, and shown with where each value came from, but not its secrets.
///
/// Proves: pages.
#[test]
fn a_configuration_can_be_checked_and_shown() {
    let path = file("sound.toml", "[[apps]]\nid = \"7\"\nkey = \"k\"\nsecret = \"hush-hush\"\n");
    let Some(checked) = run(&["check-config", "--config", &path]) else { return };
    assert!(checked.status.success() && checked.stdout.starts_with(b"ok"), "{checked:?}");
    let shown = run(&["print-config", "--config", &path, "--port", "7001"]).unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("port").contains("7001") && line("port").contains("--port"), "{text}");
    assert!(line("id").contains("sound.toml:2"), "{text}");
    assert!(!text.contains("hush-hush"), "{text}");
    let open = run(&["print-config", "--config", &path, "--show-secrets"]).unwrap();
    assert!(String::from_utf8(open.stdout).unwrap().contains("hush-hush"));
    std::fs::remove_file(path).unwrap();
}

/// What is mistyped is corrected, and help is there for who asks.
///
/// Proves: bad input.
#[test]
fn mistyped_arguments_are_corrected() {
    let Some(mistyped) = run(&["serve", "--prot", "1"]) else { return };
    assert_eq!(mistyped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("--port"));
    let help = run(&["--help"]).unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for word in ["serve", "check-config", "print-config", "--config", "--pipe", "HELIOSTAT_", "Examples"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

/// The completions are scripts that the shells which are here can read, and bash offers the commands.
///
/// Proves: pages.
#[test]
fn completions_are_read_by_shells() {
    let Some(bash) = run(&["completions", "bash"]) else { return };
    let script = file("completions.bash", &String::from_utf8(bash.stdout).unwrap());
    let asked = format!(
        "source {script} && COMP_WORDS=(heliostat check) COMP_CWORD=1 && _heliostat heliostat check heliostat && \
         echo \"${{COMPREPLY[@]}}\""
    );
    let offered = Command::new("bash").args(["--norc", "-c", &asked]).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&offered.stdout), "check-config\n", "{offered:?}");
    std::fs::remove_file(script).unwrap();
    for shell in ["zsh", "fish"] {
        let made = run(&["completions", shell]).unwrap();
        assert!(made.status.success() && !made.stdout.is_empty(), "{shell}");
        let script = file(&format!("completions.{shell}"), &String::from_utf8(made.stdout).unwrap());
        // Where the shell is not installed, nobody can read it.
        if let Ok(read) = Command::new(shell).args(["-n", &script]).output() {
            assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        }
        std::fs::remove_file(script).unwrap();
    }
}

/// Each command has its manual page.
///
/// Proves: pages.
#[test]
fn manual_pages_are_written() {
    let directory = std::env::temp_dir().join(format!("protocol-tests-{}-man", std::process::id()));
    let to = directory.to_str().expect("a path of text").to_owned();
    let Some(written) = run(&["man", "--output", &to]) else { return };
    assert!(written.status.success(), "{written:?}");
    for name in ["heliostat", "heliostat-serve", "heliostat-import", "heliostat-webhooks-send-test"] {
        let page = std::fs::read_to_string(directory.join(format!("{name}.1"))).expect(name);
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
        // Where groff is installed, it has nothing to complain of.
        let path = directory.join(format!("{name}.1"));
        if let Ok(read) = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-z"]).arg(path).output() {
            assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
    let said = complaint(&["man", "--output", "/dev/null/x"]).unwrap();
    assert!(said.contains("/dev/null/x"), "{said}");
    assert!(complaint(&["--port", "1", "man"]).unwrap().contains("--port"));
}
