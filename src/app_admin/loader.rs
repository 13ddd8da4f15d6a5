//! Loading the configuration with the apps file as it is, or as it is to be.

use std::fmt;
use std::io;
use std::path::Path;

use super::AppsError;
use crate::config::{Error, Loaded, read_file};

/// Loads the configuration, with a given way to read files.
type LoadConfig = dyn Fn(&dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, Vec<Error>> + Send + Sync;

/// Loads the configuration.
pub(super) struct AppsLoader(Box<LoadConfig>);

impl AppsLoader {
    pub(super) fn new(
        load: impl Fn(&dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Loaded, Vec<Error>> + Send + Sync + 'static,
    ) -> Self {
        AppsLoader(Box::new(load))
    }

    /// As it stands in the files.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn load(&self) -> Result<Loaded, Vec<Error>> {
        (self.0)(&read_file)
    }

    /// The same with these bytes in the apps file, which is at `path`, or without that file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn load_with(&self, path: &Path, apps: Option<&[u8]>) -> Result<Loaded, Vec<Error>> {
        (self.0)(&|asked| match (asked == path, apps) {
            (false, _) => read_file(asked),
            (true, Some(bytes)) => Ok(bytes.to_vec()),
            (true, None) => Err(io::ErrorKind::NotFound.into()),
        })
    }
}

impl fmt::Debug for AppsLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppsLoader").finish_non_exhaustive()
    }
}

/// Why the configuration as it stands cannot be changed.
pub(super) fn at_fault(errors: Vec<Error>) -> AppsError {
    AppsError::AtFault(errors.iter().map(ToString::to_string).collect())
}

/// Why the configuration does not go with the change, when each of them is sound by itself.
pub(super) fn refused(errors: &[Error]) -> AppsError {
    AppsError::Taken(errors.iter().map(Error::without_place).collect())
}
