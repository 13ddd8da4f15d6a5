//! `heliostat import`, and the file in the working directory that is read where none is named.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use heliostat_protocol_tests::{broker, skipped, unique};

/// A directory of its own, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Option<Self> {
        if skipped("it is about the broker's own command line") {
            return None;
        }
        let path = std::env::temp_dir().join(unique("heliostat-import-"));
        fs::create_dir(&path).expect("a directory can be made");
        Some(Directory(path))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file can be written");
    }

    /// Runs the broker's command here, to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        broker::command().current_dir(&self.0).args(arguments).output().expect("the broker's command runs")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const DOTENV: &str = "APP_NAME=shop\nPUSHER_APP_ID=1001\nPUSHER_APP_KEY=\"${APP_NAME}-key\"\nPUSHER_APP_SECRET=hush-hush\n\
                      PUSHER_HOST=127.0.0.1\nPUSHER_PORT=6001\n";

/// A project's .env becomes heliostat.toml, which is then read without being named.
///
/// Proves: pages.
#[test]
fn an_imported_file_is_read_where_no_file_is_named() {
    let Some(directory) = Directory::new() else { return };
    directory.write(".env", DOTENV);
    let imported = directory.run(&["import", ".env"]);
    let said = text(&imported.stdout);
    assert!(imported.status.success(), "{imported:?}");
    assert!(
        said.starts_with("wrote heliostat.toml: 1 app from .env\n") && said.contains("PUSHER_PORT"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    let mode = fs::metadata(directory.0.join("heliostat.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(directory.names(), [".env", "heliostat.toml"], "nothing is left beside it");

    let checked = directory.run(&["check-config"]);
    assert_eq!(text(&checked.stdout), "ok: 1 app, 0 pipe rules, 0 webhooks, to listen on 127.0.0.1:6001\n");
    let printed = text(&directory.run(&["print-config", "--show-secrets"]).stdout);
    let key = printed.lines().find(|line| line.starts_with("key =")).unwrap_or_default();
    assert!(key.contains("shop-key") && key.contains("heliostat.toml:"), "{printed}");
    // Tests have a broker of their own, whatever the project says.
    let own = directory.run(&["exec", "--", "printenv", "PUSHER_APP_KEY"]);
    assert!(own.status.success() && !text(&own.stdout).contains("shop-key"), "{own:?}");
}

/// What is there is not replaced unless that is asked for; other places are, too, where to write.
///
/// Proves: bad input.
#[test]
fn an_import_replaces_nothing_and_leaves_nothing_half_done() {
    let Some(directory) = Directory::new() else { return };
    directory.write(".env", DOTENV);
    directory.write("heliostat.toml", "# mine\n");
    let refused = directory.run(&["import", ".env"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("heliostat.toml is there already: --force replaces it"),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(directory.0.join("heliostat.toml")).unwrap(), "# mine\n");

    directory.write("bad.env", "PUSHER_APP_ID=1\nwhat is this?\n");
    let rubbish = directory.run(&["import", "bad.env", "--force"]);
    assert_eq!(rubbish.status.code(), Some(2));
    assert_eq!(
        text(&rubbish.stderr),
        "heliostat: bad.env:2:6: expected NAME=value, with a name of letters, digits and _\n"
    );
    assert_eq!(fs::read_to_string(directory.0.join("heliostat.toml")).unwrap(), "# mine\n");

    for (to, why) in [("nowhere/h.toml", "cannot write nowhere/h.toml"), ("/", "/ is there already")] {
        let lost = directory.run(&["import", ".env", "--output", to]);
        assert!(lost.status.code() == Some(2) && text(&lost.stderr).contains(why), "{lost:?}");
    }
    assert!(!directory.run(&["import", "gone.env"]).status.success());

    assert!(directory.run(&["import", ".env", "--force"]).status.success());
    assert!(fs::read_to_string(directory.0.join("heliostat.toml")).unwrap().contains("hush-hush"));
    let shown = directory.run(&["import", ".env", "--output", "-"]);
    assert!(
        text(&shown.stdout).contains("secret = \"hush-hush\"")
            && text(&shown.stderr).contains("imported 1 app")
    );
    assert_eq!(directory.names(), [".env", "bad.env", "heliostat.toml"]);
}

/// A file that is there and cannot be used is not passed over.
///
/// Proves: bad input.
#[test]
fn a_file_in_the_working_directory_counts_even_if_it_is_wrong() {
    let Some(directory) = Directory::new() else { return };
    directory.write("heliostat.toml", "port = 1\n");
    let wrong = directory.run(&["serve"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).starts_with("heliostat: heliostat.toml:1:1: unknown key \"port\""),
        "{wrong:?}"
    );
    fs::remove_file(directory.0.join("heliostat.toml")).unwrap();
    fs::create_dir(directory.0.join("heliostat.toml")).unwrap();
    let unreadable = text(&directory.run(&["serve"]).stderr);
    assert!(
        unreadable.contains("heliostat.toml, which is in the working directory: it is a directory"),
        "{unreadable}"
    );
}
