//! Reads a file of the configuration: no more of it than anybody writes, and never waiting for somebody to write it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::files::read_bounded;

/// A larger file is not read.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What the file at this path holds.
///
/// # Errors
/// If it cannot be read, `FileTooLarge` if it is larger than 16 MiB, and `InvalidInput` if it is a pipe or the like, which
/// would be waited for.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a pipe is to wait for its other end.
    let kind = fs::metadata(path)?.file_type();
    // To read a directory is refused by the system. `/dev/null` is an empty file.
    if !(kind.is_file() || kind.is_dir() || kind.is_char_device()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    read_bounded(File::open(path)?, MOST_BYTES)
}

/// The same for a process that reads it once, as it starts: what a shell hands over as `/dev/stdin` or `/dev/fd/3` may be
/// a pipe.
///
/// # Errors
/// The same.
pub(crate) fn read_file_once(path: &Path) -> io::Result<Vec<u8>> {
    let is_handed_over = path.starts_with("/dev") || path.starts_with("/proc");
    if is_handed_over { read_bounded(File::open(path)?, MOST_BYTES) } else { read_file(path) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_endless_or_large_is_not_read() {
        let folder = std::env::temp_dir().join(format!("heliostat-read-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let kind = |path: &Path| read_file(path).unwrap_err().kind();
        let (large, pipe, small) = (folder.join("large"), folder.join("pipe"), folder.join("small"));
        File::create(&large).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(kind(&large), io::ErrorKind::FileTooLarge);
        assert_eq!(kind(&pipe), io::ErrorKind::InvalidInput);
        assert_eq!(kind(&folder), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.join("none")), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/dev/zero")), io::ErrorKind::FileTooLarge);
        assert_eq!(read_file_once(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_file(Path::new("/dev/null")).unwrap(), b"");
        fs::write(&small, "[server]").unwrap();
        assert_eq!(read_file(&small).unwrap(), b"[server]");
        fs::remove_dir_all(&folder).unwrap();
    }
}
