//! Tests that cannot be made of a server that somebody else started.
//!
//! To the test runner a test that returns early has passed. So each of them is noted, with its reason, and
//! `protocol-tests/run` tells how many of those that passed were skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Whether the suite is aimed at an external server: then the test that calls is to return, and is noted as skipped.
/// `why` goes on after "skipped, ".
///
/// # Panics
/// If the note cannot be written.
#[must_use]
pub fn skipped(why: &str) -> bool {
    if !is_external() {
        return false;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("{test}: skipped, {why}");
    if let Some(directory) = std::env::var_os("PROTOCOL_TESTS_RECORDS").map(PathBuf::from) {
        std::fs::create_dir_all(&directory).expect("the directory of the records can be made");
        // One write of one line, so that processes that share the file do not mix theirs.
        let file = directory.join("skipped.txt");
        let mut file = OpenOptions::new().append(true).create(true).open(file).expect("the note opens");
        file.write_all(format!("{test}\t{why}\n").as_bytes()).expect("the note is written");
    }
    true
}

/// Whether the environment names a server.
pub(crate) fn is_external() -> bool {
    std::env::var_os("PUSHER_HOST").is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Whoever asks the environment himself returns without a note.
    #[test]
    fn nobody_else_asks_whether_the_server_is_external() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        sources(&root.join("src"), &mut found);
        sources(&root.join("tests"), &mut found);
        assert!(found.len() > 50, "{}", found.len());
        let asks = ["var(\"", "var_os(\""].map(|call| format!("{call}PUSHER_HOST"));
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            let asks_itself = asks.iter().any(|ask| text.contains(ask.as_str()));
            assert!(
                !asks_itself || path.ends_with("src/skip.rs"),
                "{path:?} asks for PUSHER_HOST: call skipped()"
            );
        }
    }
}
