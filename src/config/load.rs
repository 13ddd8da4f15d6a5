//! From the sources to a configuration: what beats what, and when development mode holds.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::builder::Builder;
use super::draft::AppDraft;
use super::environment::{self, Environment};
use super::file::File;
use super::first_app::{first_app, secret_of_first_app, set_first_app};
use super::flags::{self, Flags, InheritedAddresses};
use super::foreign::ForeignVariables;
use super::input_value::InputValue;
use super::loaded::{Loaded, Mode};
use super::origin::file_name;
use super::tables::Tables;
use super::{Config, Error, Origin};
use crate::app::App;
use crate::net::{ListenAddress, ListenHost};

/// Builds a configuration from the defaults, the variables of other servers, the configuration file, the environment and
/// the flags, in rising precedence. The file is the one that `--config` or `HELIOSTAT_CONFIG` names, or else the one to be
/// read where it is there, if any. Further apps are read from the apps file, if that is there. `read` fetches both.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub(crate) fn load(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
    read: impl FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<Error>> {
    load_for_change(environment, flags, read)?.with_apps()
}

/// The same for whoever may add an app: there need not be one.
///
/// # Errors
/// Everything else that is wrong, in the order of the file.
pub(crate) fn load_for_change(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
    mut read: impl FnMut(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<Error>> {
    let mut builder = Builder::new();
    let (ours, others): (Vec<_>, Vec<_>) =
        environment.into_iter().partition(|(name, _)| environment::is_ours(name));
    let environment = Environment::new(ours, &mut builder);
    let gives = |end: &str| environment.get(&format!("HELIOSTAT_APP_{end}")).is_some();
    let foreign = ForeignVariables::new(others, gives, &mut builder);
    let mut file = named_file(&environment, flags);
    let mut apps = Vec::new();
    if let Some((path, named_by)) = &file {
        match read(path) {
            Ok(bytes) => {
                apps = parse_file(path, &bytes, &mut builder, |mut tables, document| tables.read(document));
            }
            Err(error) if *named_by == Origin::Default && error.kind() == io::ErrorKind::NotFound => {
                file = None
            }
            Err(error) => {
                let (path, named_by, kind) = (path.clone(), named_by.clone(), error.kind());
                builder.errors.push(Error::Unreadable { path, named_by, kind });
            }
        }
    }
    environment.set_node(&mut builder);
    for (flag, path, value) in flags.settings() {
        builder.set_node(path, &InputValue::Text(value), Origin::Flag(flag));
    }
    set_inherited(&flags.inherited, &mut builder);
    foreign.set_node(&mut builder);
    let insists = flags.development || environment.insists_on_development(&mut builder);
    builder.stop_on_errors()?;

    let host = builder.config.server.widest_host();
    // Whoever gives a secret of their own means to keep it, and no proxy makes a loopback address less public.
    let secret = secret_of_first_app(&environment, &foreign);
    let own_secret = secret.as_ref().is_some_and(|(_, secret)| *secret != App::DEFAULT_SECRET);
    let mode = match (insists, &file) {
        (true, _) => Mode::DevelopmentByName,
        (false, None) if host.is_loopback() && !own_secret => Mode::DevelopmentByDefault,
        (false, _) => Mode::Configured,
    };
    if mode.is_development() {
        builder.development_defaults();
    }
    let file = file.map(|(path, _)| path);
    let has_apps = !apps.is_empty();
    let mut missing = None;
    if !has_apps {
        match first_app(mode, file.as_deref(), (&environment, &foreign), &mut builder) {
            Ok(first) => apps.push(first),
            Err(error) => missing = Some(error),
        }
    }
    let own_apps = apps.len();
    let apps_file = apps_file(file.as_deref(), &mut builder);
    if let Some(path) = &apps_file {
        apps.extend(read_apps_file(path, own_apps, read, &mut builder));
    }
    builder.stop_on_errors()?;
    if missing.is_some() {
        environment.leave_apps_alone(&mut builder);
        foreign.leave_apps_alone(&mut builder);
        builder.unused.extend(flags.pipe.first().map(|_| flags::PIPE.to_owned()));
    } else if let Some(first) = apps.first_mut() {
        set_first_app((first, has_apps), (&environment, &foreign), flags, &mut builder);
    }
    let loaded = Loaded::of_apps(builder, apps)?;
    let missing = missing.filter(|_| loaded.config.apps.is_empty());
    Ok(Loaded { mode, file, apps_file, own_apps, missing, ..loaded })
}

fn named_file(environment: &Environment, flags: &Flags) -> Option<(PathBuf, Origin)> {
    let by_flag = flags.config.clone().map(|path| (path, Origin::Flag(flags::CONFIG)));
    let by_variable = || {
        let path = environment.get(environment::CONFIG)?;
        Some((PathBuf::from(path), Origin::Variable(environment::CONFIG.to_owned())))
    };
    let found = || Some((flags.default_file.clone()?, Origin::Default));
    by_flag.or_else(by_variable).or_else(found)
}

/// Has sockets that the process was started with count for who can reach the broker, and one of them be the main address,
/// and one the admin listener's, whatever else was given for these.
fn set_inherited(inherited: &InheritedAddresses, builder: &mut Builder) {
    let Config { server, admin, .. } = &mut builder.config;
    server.inherited.clone_from(&inherited.all);
    let for_admin = admin.enabled.then_some(ListenAddress::Tcp(admin.host, admin.port));
    let is_listed = |address: SocketAddr| {
        let mut listed = server.listeners.iter().map(|one| &one.address).chain(&for_admin);
        listed.any(|one| one.is_at(address))
    };
    let main = inherited.main.iter().copied().find(|address| !is_listed(*address));
    server.replaced_host = main.map(|_| server.host);
    // Of several the one that others can reach decides what has to be shown there.
    let admin = inherited.admin.iter().find(|address| !ListenHost::from(address.ip()).is_loopback());
    let admin = admin.or(inherited.admin.first()).copied();
    for (address, flags, paths) in [
        (main, ["--host", "--port"], ["server.host", "server.port"]),
        (admin, ["--admin"; 2], ["admin.host", "admin.port"]),
    ] {
        let values = address.map(|address| [address.ip().to_string(), address.port().to_string()]);
        for (index, value) in values.iter().flatten().enumerate() {
            builder.set_node(paths[index], &InputValue::Text(value), Origin::Flag(flags[index]));
        }
    }
}

fn parse_file(
    path: &Path,
    bytes: &[u8],
    builder: &mut Builder,
    read: impl FnOnce(Tables<'_>, &DeTable<'_>) -> Vec<AppDraft>,
) -> Vec<AppDraft> {
    let parse = || {
        let file = File::new(path, bytes)?;
        let document = file.parse()?;
        Ok(read(Tables { file: &file, builder: &mut *builder }, &document))
    };
    parse().unwrap_or_else(|error| {
        builder.errors.push(error);
        Vec::new()
    })
}

/// Where the apps are that commands and the API change: where that is configured, or beside the configuration file.
fn apps_file(file: Option<&Path>, builder: &mut Builder) -> Option<PathBuf> {
    let Some(path) = &builder.config.admin.apps_file else {
        return file.map(|file| file.with_extension("apps.toml"));
    };
    if file.is_some_and(|file| is_same(file, path)) {
        let at = builder.origins.of("admin.apps_file").clone();
        builder.errors.push(Error::OneFileForBoth { at, file: file_name(path).to_string() });
        return None;
    }
    Some(path.clone())
}

/// Whether both lead to one file, however they are spelled.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().ok();
    one == other || place(one).is_some_and(|one| place(other) == Some(one))
}

/// Reads the apps of that file, of which the first is the app at `index`.
fn read_apps_file(
    path: &Path,
    index: usize,
    read: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    builder: &mut Builder,
) -> Vec<AppDraft> {
    match read(path) {
        Ok(bytes) => {
            parse_file(path, &bytes, builder, |mut tables, document| tables.read_apps(index, document))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            builder.errors.push(Error::AppsFileUnreadable { path: path.to_owned(), kind: error.kind() });
            Vec::new()
        }
    }
}

impl Builder {
    /// Turns on what was not turned off by name.
    fn development_defaults(&mut self) {
        let wanted = Config::development().development;
        let Config { development, .. } = &mut self.config;
        let switches = [
            ("development.pages", &mut development.pages, wanted.pages),
            ("development.auth_endpoints", &mut development.auth_endpoints, wanted.auth_endpoints),
        ];
        for (path, switch, wanted) in switches {
            if *self.origins.of(path) == Origin::Default {
                *switch = wanted;
                self.origins.record(path.to_owned(), Origin::Development);
            }
        }
        let admin = "admin.enabled";
        if *self.origins.of(admin) == Origin::Default {
            self.config.admin.enabled = true;
            self.origins.record(admin.to_owned(), Origin::Development);
        }
    }
}

/// Reads a configuration file of this text where there is no other file.
#[cfg(test)]
pub(crate) fn only(text: &[u8]) -> impl Fn(&Path) -> io::Result<Vec<u8>> {
    move |path| {
        let is_of_apps = path.to_string_lossy().ends_with(".apps.toml");
        if is_of_apps { Err(io::ErrorKind::NotFound.into()) } else { Ok(text.to_vec()) }
    }
}
