//! The command line: what can be asked of the program, and what it answers in words.
//!
//! Arguments are handed to [`config::load`] as text, so that a bad value is explained in the same words wherever it
//! was given. Nothing here starts anything.

mod send_test;

pub use send_test::{NothingSent, Wanted, send_test};

use std::ffi::OsString;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::App;
use crate::config::{self, AppConfig, Config, Flags, Loaded, Mode, Origin};
use crate::test_mode::{self, Credentials, credentials_of};

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the broker.
    Serve(Flags),
    /// Have the running broker read its configuration again.
    Reload(Flags),
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
    Tethered {
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
    /// Send samples to webhook endpoints.
    SendTest {
        /// The command line's part of the configuration.
        flags: Flags,
        /// Which endpoints, and what.
        wanted: Wanted,
    },
}

/// Reads the process's arguments. For `--help`, `--version` and usage errors it prints and ends the process, with
/// exit code 0, 0 and 2.
#[must_use]
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|usage| usage.exit())
}

/// Reads `arguments`, the program's name first.
///
/// # Errors
/// What clap prints for `--help`, `--version` and usage errors.
pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let CommandLine { options, action } = CommandLine::from_arg_matches(&matches)?;
    Ok(match action {
        None => Command::Serve(options.into()),
        Some(Action::Serve { options: later, test: false, .. }) => Command::Serve(options.and(later).into()),
        Some(Action::Serve { options: later, test: true, test_token: token, test_remote: remote }) => {
            Command::ServeTest { flags: options.and(later).into(), token, remote }
        }
        Some(Action::Exec { options: later, env_prefix: env_prefixes, command }) => {
            Command::Exec { flags: options.and(later).into(), env_prefixes, command }
        }
        Some(Action::Tethered { parent, command }) => Command::Tethered { parent, command },
        Some(Action::Reload(later)) => Command::Reload(options.and(later).into()),
        Some(Action::CheckConfig(later)) => Command::CheckConfig(options.and(later).into()),
        Some(Action::PrintConfig { template: true, .. }) => Command::PrintTemplate,
        Some(Action::PrintConfig { options: later, show_secrets, .. }) => {
            Command::PrintConfig { flags: options.and(later).into(), show_secrets }
        }
        Some(Action::Webhooks {
            action: WebhooksAction::SendTest { options: later, app, endpoint, event_type },
        }) => {
            let wanted = Wanted { app, endpoint, event_type };
            Command::SendTest { flags: options.and(later).into(), wanted }
        }
    })
}

/// Loads the configuration from the process's environment, the file system and `flags`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(flags: &Flags) -> Result<Loaded, Vec<config::Error>> {
    config::load(std::env::vars_os(), flags, |path| std::fs::read(path))
}

/// Loads the configuration of a broker for tests: on a free port unless one is named, and as
/// [`test_mode::for_tests`] says. `silent`: without a log unless one is asked for.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_for_tests(mut flags: Flags, silent: bool) -> Result<Loaded, Vec<config::Error>> {
    let from_environment = |name: &str| std::env::var_os(name).is_some();
    if flags.config.is_none() && !from_environment("HELIOSTAT_CONFIG") {
        flags.development = true;
    }
    let mut loaded = load(&flags)?;
    if *loaded.origins.of("server.port") == Origin::Default {
        loaded.config.server.port = 0;
    }
    test_mode::for_tests(&mut loaded, silent);
    Ok(loaded)
}

/// What `serve --test` prints when it is ready: one line of JSON. `address` is where it listens.
#[must_use]
pub fn ready(config: &Config, address: SocketAddr, token: &str) -> String {
    let tls = config.server.tls_certificate.is_some();
    let host = Credentials::host_of(address);
    let prefix = &config.server.path_prefix;
    let mut told = match config.apps.first() {
        Some(first) => {
            let credentials = credentials_of(&first.app, &host, address.port(), tls, prefix);
            let mut told = serde_json::json!(credentials);
            told["control_url"] = credentials.control_url().into();
            told
        }
        None => serde_json::json!({ "host": host, "port": address.port() }),
    };
    told["token"] = token.into();
    format!("{told}\n")
}

/// The text for standard error when the configuration is not sound: one line per error.
#[must_use]
pub fn complaint(errors: &[config::Error]) -> String {
    errors.iter().fold(String::new(), |text, error| text + &format!("heliostat: {error}\n"))
}

/// The commented default file with an app of credentials that are drawn for it, so that it can be used as it is.
#[must_use]
pub fn template() -> String {
    let (key, secret) = (hex::encode(rand::random::<[u8; 10]>()), hex::encode(rand::random::<[u8; 32]>()));
    config::TEMPLATE
        .replacen("\n#[[apps]]\n", "\n[[apps]]\n", 1)
        .replacen("\n#id = \"1001\"\n", "\nid = \"1001\"\n", 1)
        .replacen("\n#key = \"app-key\"\n", &format!("\nkey = \"{key}\"\n"), 1)
        .replacen("\n#secret = \"app-secret\"\n", &format!("\nsecret = \"{secret}\"\n"), 1)
}

/// The answer of `check-config` when the configuration is sound.
#[must_use]
pub fn verdict(loaded: &Loaded) -> String {
    let Config { server, apps, .. } = &loaded.config;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let rules = apps.iter().map(|app| app.pipe.len()).sum();
    let webhooks = apps.iter().map(|app| app.webhooks.endpoints.len()).sum();
    let mode = if loaded.mode.is_development() { ", development mode" } else { "" };
    let (apps, rules) = (count(apps.len(), "app"), count(rules, "pipe rule"));
    let webhooks = count(webhooks, "webhook");
    let mut text = format!("ok: {apps}, {rules}, {webhooks}, to listen on {}{mode}\n", server.address());
    for warning in &loaded.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// What the broker prints once it accepts connections at `url` (`http://` and the address and port): a line that says
/// so, and in development mode what is on, why, and where to begin. Configured secrets are never shown. `reachable` are
/// the addresses by which other machines find the broker.
#[must_use]
pub fn welcome(config: &Config, url: &str, mode: Mode, reachable: &[IpAddr]) -> String {
    let mut text = format!("heliostat listening on {url}\n");
    let because = match mode {
        Mode::Configured => return text,
        Mode::DevelopmentByDefault => "there is no configuration file and only this machine can reach it",
        Mode::DevelopmentByName => "it was asked for",
    };
    let _ = writeln!(text, "\nDevelopment mode, because {because}.");
    let exposed = !config.server.host.is_loopback();
    if exposed {
        text.push_str("Other machines can reach this broker, and may do all that is listed here.\n");
    }
    if config.development.pages {
        let base = format!("{}{}", openable(url), config.server.path_prefix);
        let pages = [
            ("/", "snippets for clients and server libraries"),
            ("/stream", "sends your camera's frames"),
            ("/mirror", "shows them, in another window"),
        ];
        text.push_str("\nOpen\n");
        let width = base.len() + "/stream".len();
        for (path, what) in pages {
            let _ = writeln!(text, "  {:width$}   {what}", format!("{base}{path}"));
        }
        if exposed {
            describe_elsewhere(&base, reachable, &mut text);
        }
    }
    if let Some(first) = config.apps.first() {
        describe_app(first, &mut text);
    }
    if config.development.auth_endpoints {
        row(&mut text, "auth endpoints", "/dev/auth and /dev/user-auth sign whatever they are asked to");
    }
    text.push_str(
        "\nA configuration of your own switches all of this off:\n  \
         heliostat print-config --template > heliostat.toml\n  \
         heliostat serve --config heliostat.toml\n\n\
         heliostat --help tells more. Ctrl-C stops the broker.\n",
    );
    text
}

/// Where a phone finds the pages, whose address on this machine is `base`.
fn describe_elsewhere(base: &str, reachable: &[IpAddr], text: &mut String) {
    let elsewhere: Vec<_> = reachable.iter().filter_map(|address| with_host(base, *address)).collect();
    if elsewhere.iter().any(|url| url != base) {
        text.push_str("\nOn a phone, or another machine of the network, open\n");
        for url in elsewhere {
            let _ = writeln!(text, "  {url}/mirror");
        }
    }
    text.push_str("  Browsers lend the camera only to https:// pages and to those of their own machine.\n");
}

/// The same URL under another address.
fn with_host(url: &str, address: IpAddr) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_ip_host(address).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// What the broker prints about the pipe's own port, served at `url` (`ws://` and the address and port).
#[must_use]
pub fn pipe_line(url: &str) -> String {
    format!("heliostat serves the pipe on {url}\n")
}

fn describe_app(config: &AppConfig, text: &mut String) {
    let AppConfig { app, pipe, webhooks } = config;
    let key = app.keys.first();
    let secret = match key.map(|pair| pair.secret.text()) {
        Some(App::DEFAULT_SECRET) => "app-secret (public knowledge: for experiments only)",
        _ => "as configured, not shown",
    };
    text.push_str("\nCredentials\n");
    row(text, "app id", &app.id);
    row(text, "key", key.map_or("", |pair| pair.key.as_str()));
    row(text, "secret", secret);
    text.push_str("\nOn\n");
    if app.client_events {
        let limits = &app.limits;
        let rate = match limits.client_events_per_second {
            0 => "any number".to_owned(),
            rate => rate.to_string(),
        };
        let bytes = limits.client_event_payload_bytes;
        row(text, "client events", &format!("{rate} per second and connection, up to {bytes} bytes each"));
    }
    for (index, rule) in pipe.iter().enumerate() {
        let sent = rule.rename.as_ref().unwrap_or(&rule.event);
        let label = if index == 0 { "pipe" } else { "" };
        let to: Vec<_> = rule.to.iter().map(|to| format!("{to}:{sent}")).collect();
        let to = if to.is_empty() { "nowhere".to_owned() } else { to.join(", ") };
        row(text, label, &format!("{}:{} -> {to}", rule.from, rule.event));
    }
    for (index, endpoint) in webhooks.endpoints.iter().enumerate() {
        row(text, if index == 0 { "webhooks" } else { "" }, &endpoint.url.to_string());
    }
}

fn row(text: &mut String, label: &str, value: &str) {
    let _ = writeln!(text, "  {label:14}   {value}");
}

/// An address that a browser on this machine can open, where the broker listens on every one.
fn openable(url: &str) -> String {
    url.replacen("//0.0.0.0:", "//127.0.0.1:", 1).replacen("//[::]:", "//[::1]:", 1)
}

/// A self-hosted broker that speaks the Pusher Channels protocol.
///
/// Without a file and without options it runs in development mode: reachable from this machine only, with a ready-made
/// app and example pages. For anything else, give it a configuration file.
#[derive(Parser)]
#[command(name = "heliostat", version, after_help = AFTER_HELP, after_long_help = AFTER_HELP)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Run the broker; this is what happens without a command, too.
    Serve {
        #[command(flatten)]
        options: Options,
        /// Test mode: on a free port and with two workers unless told otherwise, with a control API for tests under /test; prints one line of JSON when ready.
        #[arg(long)]
        test: bool,
        /// The token that the control API asks for [default: one is drawn, and printed].
        #[arg(long, value_name = "TOKEN", requires = "test", value_parser = token)]
        test_token: Option<String>,
        /// Let other machines use the control API, too, where they can reach the broker.
        #[arg(long, requires = "test")]
        test_remote: bool,
    },
    /// Run a command against a broker of its own, in test mode, on a free port; end with the command's status.
    ///
    /// Here --port is 0 and --workers is 2 unless they are given.
    /// The command finds the broker by PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET, PUSHER_HOST, PUSHER_PORT,
    /// PUSHER_SCHEME, PUSHER_APP_CLUSTER and PUSHER_URL, and the control API by PUSHER_TEST_URL and PUSHER_TEST_TOKEN.
    /// What a page may know is also there under VITE_ and NEXT_PUBLIC_. If the command fails, what the broker saw is
    /// printed to standard error.
    #[command(
        after_help = "Example:\n  heliostat exec -- npm test",
        after_long_help = "Example:\n  heliostat exec -- npm test"
    )]
    Exec {
        #[command(flatten)]
        options: Options,
        /// Also set the variables that a page may know with this prefix, such as REACT_APP_; may be repeated.
        #[arg(long, value_name = "PREFIX", value_parser = env_prefix)]
        env_prefix: Vec<String>,
        /// The command and its arguments.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Become a command that ends with its parent.
    #[command(hide = true)]
    Tethered {
        #[arg(long)]
        parent: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Have the running broker read its configuration again, and say what came of it. It is found by its control
    /// socket: --control-socket, or server.control_socket of its configuration. Exit code 0: done; 1: not.
    Reload(Options),
    /// Say whether the configuration is sound, and start nothing. Exit code 0: it is; 2: it is not.
    CheckConfig(Options),
    /// Show the effective configuration as TOML, with where each value came from, and start nothing.
    PrintConfig {
        #[command(flatten)]
        options: Options,
        /// Show secrets instead of hiding them.
        #[arg(long)]
        show_secrets: bool,
        /// Show the commented default file instead, to begin your own with.
        #[arg(long)]
        template: bool,
    },
    /// Try webhook endpoints out.
    Webhooks {
        #[command(subcommand)]
        action: WebhooksAction,
    },
}

#[derive(Subcommand)]
enum WebhooksAction {
    /// Send a signed sample to each endpoint of the configuration that matches, and show what it answers. Exit code 0:
    /// all answered with 2xx; 1: one did not; 2: nothing was sent.
    SendTest {
        #[command(flatten)]
        options: Options,
        /// Only endpoints of the app with this id.
        #[arg(long, value_name = "ID")]
        app: Option<String>,
        /// Only the endpoint with this URL.
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        /// An event of this type, such as member_added, and only endpoints that want it [default: the first that the
        /// endpoint wants].
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
    },
}

#[derive(Args, Default)]
struct Options {
    /// The configuration file (TOML).
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The IP address to listen on [default: 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// The TCP port; 0 takes any free one [default: 6001].
    #[arg(long, short, value_name = "PORT", allow_hyphen_values = true)]
    port: Option<String>,
    /// Worker threads; 0 starts one per core [default: 0].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    workers: Option<String>,
    /// Put before every path, such as /realtime [default: none].
    #[arg(long, value_name = "PATH")]
    path_prefix: Option<String>,
    /// Where `heliostat reload` reaches the running broker: the path of a Unix socket [default: none].
    #[arg(long, value_name = "PATH")]
    control_socket: Option<String>,
    /// Forward what clients send: 'from:event=to' or 'from:event=to:other-event', for the first app; may be repeated.
    #[arg(long, value_name = "RULE")]
    pipe: Vec<String>,
    /// The shape of log lines: human or json [default: human].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug, trace, or a filter such as info,heliostat::pipe=debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Insist on development mode, although there is a file or other machines can reach the broker.
    #[arg(long)]
    development: bool,
}

impl Options {
    /// These, and those given after the command, which are the later word.
    fn and(mut self, later: Options) -> Options {
        self.pipe.extend(later.pipe);
        Options {
            config: later.config.or(self.config),
            host: later.host.or(self.host),
            port: later.port.or(self.port),
            workers: later.workers.or(self.workers),
            path_prefix: later.path_prefix.or(self.path_prefix),
            control_socket: later.control_socket.or(self.control_socket),
            pipe: self.pipe,
            log_format: later.log_format.or(self.log_format),
            log_level: later.log_level.or(self.log_level),
            development: later.development || self.development,
        }
    }
}

impl From<Options> for Flags {
    fn from(options: Options) -> Self {
        let Options {
            config,
            host,
            port,
            workers,
            path_prefix,
            control_socket,
            pipe,
            log_format,
            log_level,
            development,
        } = options;
        Flags {
            config,
            host,
            port,
            workers,
            path_prefix,
            control_socket,
            log_format,
            log_level,
            pipe,
            development,
        }
    }
}

/// The complaint of a `reload` that does not know where the broker is.
pub const NO_CONTROL_SOCKET: &str = "\
heliostat: expected the control socket of the running broker, got none: name it with --control-socket, or set
server.control_socket in its configuration; without one, send the broker SIGHUP and read its log
";

/// What can stand in an `Authorization` header.
fn token(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("expected one or more printable ASCII characters without spaces".to_owned()),
    }
}

/// What can begin the name of an environment variable.
fn env_prefix(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.bytes().all(fits)
        && !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
    {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits and _, and no digit first, such as REACT_APP_".to_owned()),
    }
}

const AFTER_HELP: &str = "\
Examples:
  heliostat                                            try it out at http://127.0.0.1:6001/
  heliostat --port 0 --pipe 'camera-*:frame=screen-*'  any free port, one more pipe rule
  heliostat print-config --template > heliostat.toml   begin a configuration
  heliostat check-config --config heliostat.toml       is it sound?
  heliostat serve --config heliostat.toml              run with it
  heliostat webhooks send-test --config heliostat.toml send a sample to its webhook endpoints
  heliostat reload --config heliostat.toml             have it read that file again
  heliostat exec -- npm test                           run tests against a broker of their own

Environment:
  HELIOSTAT_CONFIG       the configuration file
  HELIOSTAT_DEVELOPMENT  true: insist on development mode
  HELIOSTAT_PIPE         pipe rules for the first app, separated by ;
  HELIOSTAT_APP_ID, HELIOSTAT_APP_KEY, HELIOSTAT_APP_SECRET
                         the credentials of the first app
  HELIOSTAT_APP_WEBHOOK_URL
                         webhook endpoints of the first app, separated by spaces
  HELIOSTAT_APP_CLIENT_EVENTS, HELIOSTAT_APP_LIMITS_CONNECTIONS, ...
                         the other settings of the first app
  HELIOSTAT_SERVER_PORT, HELIOSTAT_LOGGING_LEVEL, ...
                         section and key of any setting of the file

Flags beat the environment, which beats the file, which beats the defaults.
The broker ends with exit code 0 when told to stop, and 2 when it cannot start. SIGHUP makes it read its configuration
again.
";

#[cfg(test)]
mod tests;
