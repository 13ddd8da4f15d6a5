//! The command line: what can be asked of the program, and what it answers in words.
//!
//! Arguments are handed to `config::load` as text, so that a bad value is explained in the same words wherever it
//! was given. Nothing here starts anything.

mod answers;
mod apps;
mod arguments;
mod audience;
mod channel_rate;
mod channels;
mod channels_by_admin;
mod doctor;
mod feed_socket;
mod generated;
mod import;
mod lan;
mod lines;
mod members;
mod nodes;
mod options;
mod reloads;
mod remote;
mod remote_commands;
mod run;
mod scope;
mod send_test;
mod signed_things;
mod tail;
#[cfg(test)]
mod tests;
mod told_values;
mod web_socket;
mod welcome;

pub use run::main;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::FromArgMatches;
use clap::error::ErrorKind;
use clap_complete::Shell;

use crate::config::{self, Flags, Loaded, Origin};
use crate::test_mode;

use apps::{AppsOrder, AppsWanted};
use arguments::{CliCommand, CommandLine, WebhooksAction, command_line};
use import::ImportOrder;
use remote::AdminArguments;
use remote_commands::RemoteCommand;
use send_test::WantedSample;

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    /// Run the broker.
    Serve(Flags),
    /// Have the running broker read its configuration again.
    Reload {
        /// Where the broker is.
        flags: Flags,
        /// Only say what would change.
        dry_run: bool,
    },
    /// Have another process take the running broker's place.
    Upgrade(Flags),
    /// Show the nodes of the running broker's cluster.
    Nodes {
        /// Where the broker is.
        flags: Flags,
        /// In JSON.
        json: bool,
    },
    /// Show or change the apps of the apps file.
    Apps {
        /// Where the broker and its configuration are.
        flags: Flags,
        order: AppsOrder,
    },
    /// Run the broker in test mode.
    ServeTest {
        /// The configuration.
        flags: Flags,
        /// The control API's token, where it is not to be drawn.
        token: Option<String>,
        /// Lets other machines use the control API.
        remote: bool,
    },
    /// Run a command against a broker in test mode that lives as long as the command.
    Exec {
        /// The configuration.
        flags: Flags,
        /// Prefixes of more environment variables.
        env_prefixes: Vec<String>,
        /// The program and its arguments; not empty.
        command: Vec<OsString>,
    },
    /// Become the command, and end with the process of this id.
    DieWithParent {
        /// The process whose end is to be the command's.
        parent: i32,
        /// The program and its arguments; not empty.
        command: Vec<OsString>,
    },
    /// Say whether the configuration is sound.
    CheckConfig(Flags),
    /// Show the effective configuration.
    PrintConfig {
        /// The command line's part of it.
        flags: Flags,
        /// Also what is otherwise hidden.
        show_secrets: bool,
    },
    /// Show the commented default configuration, to begin one's own with.
    PrintTemplate,
    /// Make a configuration of another server's.
    Import(ImportOrder),
    /// Show completions for a shell.
    Completions(Shell),
    /// Show the manual page, or write all of them into a directory.
    Man(Option<PathBuf>),
    /// Ask a broker, or sign or explain what it is asked with.
    Remote(Box<RemoteCommand>),
    /// Show what webhooks were sent last.
    WebhookAttempts(AdminArguments),
    /// Send samples to webhook endpoints.
    SendTest {
        /// The command line's part of the configuration.
        flags: Flags,
        /// Which endpoints, and what.
        wanted: WantedSample,
    },
}

/// Reads the process's arguments. For `--help`, `--version` and usage errors it prints and ends the process, with
/// exit code 0, 0 and 2.
fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|usage| usage.exit())
}

/// Reads `arguments`, the program's name first.
///
/// # Errors
/// What clap prints for `--help`, `--version` and usage errors.
fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = command_line().try_get_matches_from(arguments)?;
    let CommandLine { options, action } = CommandLine::from_arg_matches(&matches)?;
    let Some(action) = action else { return Ok(Command::Serve(options.into_flags())) };
    Ok(match action {
        CliCommand::Serve { options: later, test: false, .. } => Command::Serve(options.and(later, "serve")?),
        CliCommand::Serve { options: later, test: true, test_token: token, test_remote: remote } => {
            Command::ServeTest { flags: options.and(later, "serve --test")?, token, remote }
        }
        CliCommand::Exec { options: later, env_prefix: env_prefixes, command } => {
            Command::Exec { flags: options.and(later, "exec")?, env_prefixes, command }
        }
        CliCommand::DieWithParent { parent, command } => Command::DieWithParent { parent, command },
        CliCommand::Reload { options: later, dry_run } => {
            Command::Reload { flags: options.and(later, "reload")?, dry_run }
        }
        CliCommand::Upgrade(later) => Command::Upgrade(options.and(later, "upgrade")?),
        CliCommand::Nodes { options: later, json } => {
            Command::Nodes { flags: options.and(later, "nodes")?, json }
        }
        CliCommand::Apps { options: later, json, action } => {
            let wanted =
                AppsWanted::new(action).map_err(|told| clap::Error::raw(ErrorKind::ValueValidation, told))?;
            Command::Apps { flags: options.and(later, "apps")?, order: AppsOrder { wanted, json } }
        }
        CliCommand::CheckConfig(later) => Command::CheckConfig(options.and(later, "check-config")?),
        CliCommand::PrintConfig { options: later, template: true, .. } => {
            const ITSELF: &str = "print-config --template";
            options.none(ITSELF).and(later.none(ITSELF)).map(|()| Command::PrintTemplate)?
        }
        CliCommand::PrintConfig { options: later, show_secrets, .. } => {
            Command::PrintConfig { flags: options.and(later, "print-config")?, show_secrets }
        }
        CliCommand::Import { file: from, output: to, force } => {
            options.none("import").map(|()| Command::Import(ImportOrder { from, to, force }))?
        }
        CliCommand::Webhooks {
            action: WebhooksAction::SendTest { options: later, app, endpoint, event_type },
        } => {
            let flags = options.and(later, "webhooks send-test")?;
            Command::SendTest { flags, wanted: WantedSample { app, endpoint, event_type } }
        }
        CliCommand::Webhooks { action: WebhooksAction::Attempts { admin } } => {
            options.none("webhooks attempts").map(|()| Command::WebhookAttempts(admin))?
        }
        CliCommand::Remote(command) => {
            options.none(command.name()).map(|()| Command::Remote(Box::new(command)))?
        }
        CliCommand::Completions { shell } => {
            options.none("completions").map(|()| Command::Completions(shell))?
        }
        CliCommand::Man { output } => options.none("man").map(|()| Command::Man(output))?,
    })
}

/// Loads the configuration from the process's environment, the file system and `flags`.
///
/// # Errors
/// Everything that is wrong with it.
fn load(flags: &Flags) -> Result<Loaded, Vec<config::Error>> {
    let flags = flags.clone().or_default_file();
    config::load(std::env::vars_os(), &flags, config::read_file_once)
}

/// Loads the configuration again that a broker runs with, from the file that it was started with, if any. There need not be
/// an app.
///
/// # Errors
/// Everything else that is wrong with it.
fn load_again(
    flags: &Flags,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Loaded, Vec<config::Error>> {
    config::load_for_change(std::env::vars_os(), flags, read)
}

/// The control socket of the broker that is meant: the one that is named, or else that of the configuration, whose apps may
/// be of an environment that is not ours and are the broker's to judge.
///
/// # Errors
/// Everything else that is wrong with it, in lines.
fn control_socket(
    flags: &Flags,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Option<PathBuf>, String> {
    if let Some(named) = flags.value(config::CONTROL_SOCKET) {
        return Ok(Some(PathBuf::from(named)));
    }
    let loaded = load_again(&flags.clone().or_default_file(), read);
    Ok(loaded.map_err(|errors| answers::complaint(&errors))?.config.server.control_socket)
}

/// Loads the configuration of a broker for tests: on a free port unless one is named, and as
/// [`test_mode::for_tests`] says. `silent`: without a log unless one is asked for.
///
/// # Errors
/// Everything that is wrong with it.
fn load_for_tests(mut flags: Flags, silent: bool) -> Result<Loaded, Vec<config::Error>> {
    let from_environment = |name: &str| std::env::var_os(name).is_some();
    if flags.config.is_none() && !from_environment("HELIOSTAT_CONFIG") {
        flags.development = true;
    }
    // What a project's environment says of its broker is not meant for that of its tests.
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HELIOSTAT_"));
    let mut loaded = config::load(ours, &flags, config::read_file_once)?;
    if *loaded.origins.of("server.port") == Origin::Default {
        loaded.config.server.port = 0;
    }
    test_mode::for_tests(&mut loaded, silent);
    Ok(loaded)
}
