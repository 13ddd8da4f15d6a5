//! `import`: reads another server's file, and writes one of ours: whole or not at all, and for its owner's eyes only.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_FILE, ImportedConfig};
use crate::files::{OWNER_ONLY, folder_of, read_bounded, write_new};
use crate::import::{ImportFailure, import};

/// Larger files are no configuration.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What is to be imported, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportOrder {
    /// The file to read.
    pub(super) from: PathBuf,
    /// The file to write; `-` is standard output.
    pub(super) to: Option<PathBuf>,
    /// Whether a file that is there may be replaced.
    pub(super) force: bool,
}

/// What `import` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImportReport {
    /// The file itself, where it goes to standard output.
    pub(super) toml: Option<String>,
    /// One line for what was written, and for everything that was left out.
    pub(super) lines: String,
}

/// Reads the file and writes ours.
///
/// # Errors
/// What is wrong with the file, or why ours was not written: whole lines. Then nothing was.
pub(super) fn run_import(order: &ImportOrder) -> Result<ImportReport, String> {
    let ImportOrder { from, to, force } = order;
    let name = from.display().to_string();
    let complain = |text: &str| format!("heliostat: {text}\n");
    let bytes = read(from).map_err(|error| complain(&format!("cannot read {name}: {error}")))?;
    let imported = import(&name, &bytes).map_err(|ImportFailure(lines)| {
        lines.iter().fold(String::new(), |text, line| text + &complain(line))
    })?;
    let ImportedConfig { toml, apps, remarks } = imported;
    let to = to.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let apps = if apps == 1 { "1 app".to_owned() } else { format!("{apps} apps") };
    let mut lines = String::new();
    let to_output = to == Path::new("-");
    if to_output {
        let _ = writeln!(lines, "imported {apps} from {name}");
    } else {
        write_whole(to, toml.as_bytes(), *force).map_err(|error| complain(&explained(to, &error)))?;
        let _ = writeln!(lines, "wrote {}: {apps} from {name}", to.display());
    }
    for remark in remarks {
        let _ = writeln!(lines, "note: {remark}");
    }
    Ok(ImportReport { toml: to_output.then_some(toml), lines })
}

fn read(from: &Path) -> io::Result<Vec<u8>> {
    read_bounded(File::open(from)?, MOST_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            io::Error::new(error.kind(), format!("expected at most {MOST_BYTES} bytes, got more"))
        }
        _ => error,
    })
}

fn explained(to: &Path, error: &io::Error) -> String {
    let to = to.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!(
                "{to} is there already: --force replaces it, --output FILE writes another, --output - shows it"
            )
        }
        _ => format!("cannot write {to}: {error}"),
    }
}

/// Writes a file under another name first, so that it is there whole or not at all.
fn write_whole(to: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    if !replace && to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let name = to.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    let draft = folder_of(to).join(format!(".{name}.{}.new", std::process::id()));
    // One of a process of this number that was killed.
    let _ = fs::remove_file(&draft);
    let written = write_new(&draft, bytes, OWNER_ONLY, |_| Ok(())).and_then(|()| {
        if replace {
            fs::rename(&draft, to)
        } else {
            // Unlike a renaming, this never replaces a file that has come meanwhile.
            fs::hard_link(&draft, to)
        }
    });
    let _ = fs::remove_file(&draft);
    written
}
