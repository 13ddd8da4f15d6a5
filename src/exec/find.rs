//! Whether there is a command of a name, looked for as shells do.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// There is no command that could be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// No file has the name, there or on the `PATH`.
    #[error("there is no such command; is it installed, and on the PATH?")]
    NotFound,
    /// The file is none that can be executed.
    #[error("it is no executable file")]
    NotExecutable,
}

/// Looks for the command, on the `PATH` if its name has no slash.
pub(super) fn find(name: &OsStr) -> Result<(), Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_on(name, &path)
}

fn find_on(name: &OsStr, path: &OsStr) -> Result<(), Missing> {
    if name.is_empty() {
        return Err(Missing::NotFound);
    }
    if Path::new(name).components().count() > 1 || name.as_encoded_bytes().contains(&b'/') {
        return check(Path::new(name));
    }
    let mut found = Missing::NotFound;
    for directory in std::env::split_paths(path) {
        match check(&directory.join(name)) {
            Ok(()) => return Ok(()),
            Err(Missing::NotExecutable) => found = Missing::NotExecutable,
            Err(Missing::NotFound) => {}
        }
    }
    Err(found)
}

fn check(file: &Path) -> Result<(), Missing> {
    const EXECUTABLE: u32 = 0o111;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & EXECUTABLE != 0 => Ok(()),
        Ok(_) => Err(Missing::NotExecutable),
        Err(_) => Err(Missing::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_shells_find_them() {
        let find = |name: &str, path: &str| find_on(name.as_ref(), path.as_ref());
        assert_eq!(find("sh", "/nowhere:/bin"), Ok(()));
        assert_eq!(find("/bin/sh", ""), Ok(()));
        assert_eq!(find("sh", "/nowhere"), Err(Missing::NotFound));
        assert_eq!(find("/bin/no-such-command", "/bin"), Err(Missing::NotFound));
        assert_eq!(find("/etc", ""), Err(Missing::NotExecutable));
        assert_eq!(find("passwd", "/etc"), Err(Missing::NotExecutable));
        assert_eq!(find("", "/bin"), Err(Missing::NotFound));
    }
}
