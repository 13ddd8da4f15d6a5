//! Reads the source files, without comments and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the package.
pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `src/` that is no test, with its path below it.
pub(super) fn files() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let source = root().join("src");
    let mut found = Vec::new();
    walk(&source, &mut found);
    let below = found.into_iter().map(|path| {
        let text = code_of(&fs::read_to_string(&path).unwrap());
        (path.strip_prefix(&source).unwrap().to_owned(), text)
    });
    let is_test =
        |path: &Path| path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
    below.filter(|(path, _)| !is_test(path)).collect()
}

/// A file without its comments and without the tests at its end.
pub(super) fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}
