//! Configuration from given sources: no process environment, no file system.

mod app_errors;
mod apps_file;
mod cluster;
mod defaults;
mod development;
mod errors;
mod history;
mod precedence;
mod printing;
mod relays;
mod video;
mod webhooks;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::*;

/// The sources of one test.
#[derive(Default)]
struct Sources<'s> {
    file: Option<&'s str>,
    apps: Option<&'s str>,
    variables: &'s [(&'s str, &'s str)],
    flags: Flags,
}

impl Sources<'_> {
    fn load(&self) -> Result<Loaded, Vec<Error>> {
        let variables =
            self.variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let config = self.file.map(|_| "h.toml".into());
        let flags = Flags { config: self.flags.config.clone().or(config), ..self.flags.clone() };
        load(variables, &flags, |path| {
            let text = if path.to_string_lossy().ends_with(".apps.toml") { self.apps } else { self.file };
            text.map(|text| text.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
        })
    }

    /// The errors as the user reads them.
    fn complaints(&self) -> Vec<String> {
        match self.load() {
            Ok(loaded) => panic!("loaded: {loaded:?}"),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A file with one app and, before it, `more`.
fn with_app(more: &str) -> String {
    format!("{more}\n[[apps]]\nid = \"7\"\nkey = \"key-7\"\nsecret = \"hush\"\n")
}
