//! Tells the table of clients and features what a test has shown.
//!
//! `docs/compatibility.md` is made of such records, so that it says what ran and nothing else. They are written only
//! where `PROTOCOL_TESTS_RECORDS` names a directory, which `protocol-tests/run` does.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

/// Notes that `client` in `version` has used `feature` against the broker. To be called when all of it has been asserted.
/// The names are those of `protocol-tests/compatibility/subjects.json`; the table's maker refuses others.
///
/// # Panics
/// If the record cannot be written.
#[track_caller]
pub fn shown(client: &str, version: &str, feature: &str) {
    let Some(directory) = std::env::var_os("PROTOCOL_TESTS_RECORDS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&directory).expect("the directory of the records can be made");
    // One write of one line, so that processes that share the file do not mix theirs.
    let line = format!("{}\n", json!({ "client": client, "version": version, "feature": feature }));
    let file = directory.join("rust.jsonl");
    let mut file = OpenOptions::new().append(true).create(true).open(file).expect("the record opens");
    file.write_all(line.as_bytes()).expect("the record is written");
}
