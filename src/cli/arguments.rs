//! The commands and their arguments, as clap reads them and tells of them in the help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Command, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::generated::VERSION;
use super::options::Options;
use super::remote::AdminArguments;
use super::remote_commands::RemoteCommand;
use super::scope::{ConfiguredApps, OwnBroker, RunningBroker};
use crate::config::{CLUSTER, CONTROL_SOCKET, LAN};

/// A self-hosted broker that speaks the Pusher Channels protocol.
///
/// It reads heliostat.toml in the working directory, or the file that --config names. Without a file and without options it
/// runs in development mode: reachable from this machine only, with a ready-made app and example pages. For anything else,
/// give it a configuration file.
#[derive(Parser)]
#[command(
    name = "heliostat",
    version,
    long_version = VERSION,
    after_help = "heliostat --help tells more, with examples and variables.",
    after_long_help = AFTER_HELP
)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    pub(super) action: Option<CliCommand>,
}

/// All commands. What belongs to `apps` may stand behind what is to be done with them, too.
pub(super) fn command_line() -> Command {
    CommandLine::command().mut_subcommand("apps", |apps| apps.mut_args(|argument| argument.global(true)))
}

#[derive(Subcommand)]
pub(super) enum CliCommand {
    /// Run the broker; this is what happens without a command, too.
    Serve {
        #[command(flatten)]
        options: Options,
        /// Test mode, with a control API for tests under /test.
        ///
        /// It is on a free port and has two workers unless told otherwise, and prints one line of JSON when it is ready.
        #[arg(long, conflicts_with_all = [CONTROL_SOCKET, CLUSTER, LAN])]
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
        options: Options<OwnBroker>,
        /// Also set the variables that a page may know with this prefix, such as REACT_APP_; may be repeated.
        #[arg(long, value_name = "PREFIX", value_parser = env_prefix)]
        env_prefix: Vec<String>,
        /// The command and its arguments.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Become a command that ends with its parent.
    #[command(hide = true)]
    DieWithParent {
        #[arg(long)]
        parent: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Have the running broker read its configuration again, and say what came of it.
    ///
    /// It is found by its control socket: --control-socket, or server.control_socket of its configuration. Exit code 0:
    /// done; 1: not.
    Reload {
        #[command(flatten)]
        options: Options<RunningBroker>,
        /// Change nothing: say what would change, and what not before a restart
        #[arg(long)]
        dry_run: bool,
    },
    /// Replace the running broker by the program as it is installed now, without a gap.
    ///
    /// The new process starts with the configuration as it is now and takes over the listening sockets; when it serves, the old one
    /// closes its clients some at a time, with the code that has them come back at once, and ends. If the new one fails, the old
    /// one goes on. The running broker is found by its control socket: --control-socket, or server.control_socket of its
    /// configuration. Exit code 0: done; 1: not.
    Upgrade(Options<RunningBroker>),
    /// Show which nodes are one broker together, as the running one knows them.
    ///
    /// The running broker is found by its control socket: --control-socket, or server.control_socket of its configuration. Exit
    /// code 0: shown; 1: not.
    Nodes {
        #[command(flatten)]
        options: Options<RunningBroker>,
        /// Answer in JSON, as /nodes of the admin listener does.
        #[arg(long)]
        json: bool,
    },
    /// Show and change the apps of the apps file, also while the broker runs.
    ///
    /// The file is heliostat.apps.toml beside heliostat.toml, or that of admin.apps_file. A running broker that is found by its
    /// control socket (--control-socket, or server.control_socket of the configuration) takes the change at once; otherwise it
    /// takes effect when the broker starts or reloads. Exit code 0: done; 1: nothing has changed, unless it says otherwise.
    #[command(after_help = APPS_EXAMPLES, after_long_help = APPS_EXAMPLES)]
    Apps {
        #[command(flatten)]
        options: Options<RunningBroker>,
        /// Answer in JSON, as the API does.
        #[arg(long)]
        json: bool,
        #[command(subcommand)]
        action: AppsAction,
    },
    /// Say whether the configuration is sound, and start nothing.
    ///
    /// Exit code 0: it is; 2: it is not.
    CheckConfig(Options),
    /// Show the effective configuration as TOML, with where each value came from, and start nothing.
    PrintConfig {
        #[command(flatten)]
        options: Options,
        /// Show secrets instead of hiding them.
        #[arg(long)]
        show_secrets: bool,
        /// Show the commented default file instead, to begin your own with.
        #[arg(long, conflicts_with = "show_secrets")]
        template: bool,
    },
    /// Make a configuration file of another server's, or of a .env.
    ///
    /// It reads soketi's config.json, a dump of its table of apps (SQL or CSV), or a .env with the variables of soketi, Reverb
    /// or Pusher's libraries, and says what it wrote, and what it left out and why. The file can be read by its owner only. Without --output it is
    /// heliostat.toml, which `heliostat serve` reads where no other file is named. Exit code 0: done; 2: nothing was written.
    Import {
        /// The file to read.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The file to write; - shows it instead [default: heliostat.toml].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Replace the file that is there.
        #[arg(long)]
        force: bool,
    },
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Try webhook endpoints out, and see what they were sent.
    Webhooks {
        #[command(subcommand)]
        action: WebhooksAction,
    },
    /// Print completions of these commands for a shell, as a script of it.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands.
    Man {
        /// Write the pages of all commands into this directory, which is made if it is not there.
        #[arg(long, short, value_name = "DIRECTORY")]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(super) enum AppsAction {
    /// Show all apps, without secrets.
    List,
    /// Show an app with its secrets.
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Add an app, with an id, a key and a secret that are drawn where they are not given.
    Create {
        /// Settings with the names of the file, such as id=chat, client_events=true or limits.connections=5000.
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Change settings of an app.
    Set {
        #[arg(value_name = "ID")]
        id: String,
        /// Settings with the names of the file, such as client_events=true.
        #[arg(value_name = "KEY=VALUE", required_unless_present = "unset")]
        settings: Vec<String>,
        /// Have a setting be the default again; may be repeated.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Give an app a new pair of key and secret; those before stay valid until they are revoked.
    Rotate {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Revoke a key of an app: from then on it opens nothing.
    Revoke {
        #[arg(value_name = "ID")]
        id: String,
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Switch an app on.
    Enable {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Switch an app off: its connections are closed.
    Disable {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Remove an app: its connections are closed.
    Delete {
        #[arg(value_name = "ID")]
        id: String,
    },
}

const APPS_EXAMPLES: &str = "\
Examples:
  heliostat nodes --config heliostat.toml              show the nodes of its cluster
  heliostat apps create id=chat client_events=true
  heliostat apps set chat limits.connections=5000 'webhooks=[{ url = \"https://example.com/hook\" }]'
  heliostat apps rotate chat
  heliostat apps list --json";

#[derive(Subcommand)]
pub(super) enum WebhooksAction {
    /// Show what the webhooks of an app were sent last, and what they answered; by the admin listener.
    ///
    /// Exit code 0: shown; 1: it was not, with the reason; 2: it could not be asked for.
    Attempts {
        #[command(flatten)]
        admin: AdminArguments,
    },
    /// Send a signed sample to each endpoint that matches, and show what it answers.
    ///
    /// Exit code 0: all answered with 2xx; 1: one did not; 2: nothing was sent.
    SendTest {
        #[command(flatten)]
        options: Options<ConfiguredApps>,
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

/// What can stand in an `Authorization` header.
fn token(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("expected one or more printable ASCII characters without spaces".to_owned())
    }
}

/// What can begin the name of an environment variable.
fn env_prefix(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_with_a_digit = text.starts_with(|first: char| first.is_ascii_digit());
    if !text.is_empty() && text.bytes().all(fits) && !begins_with_a_digit {
        Ok(text.to_owned())
    } else {
        Err("expected letters, digits and _, and no digit first, such as REACT_APP_".to_owned())
    }
}

pub(super) const AFTER_HELP: &str = "\
Examples:
  heliostat                                            try it out at http://127.0.0.1:6001/
  heliostat --port 0 --pipe 'camera-*:frame=screen-*'  any free port, one more pipe rule
  heliostat print-config --template > heliostat.toml   begin a configuration
  heliostat check-config                               is it sound?
  heliostat serve                                      run with it
  heliostat serve --cluster redis://10.0.0.5           run with it, as one of several nodes
  heliostat import .env                                make a configuration of another server's
  heliostat webhooks send-test --config heliostat.toml send a sample to its webhook endpoints
  heliostat trigger --app 1001:app-key:app-secret my-channel my-event hello
                                                       publish an event, and hear whether anybody is there
  heliostat why channel --app 1001:app-key:app-secret 123.456 private-room AUTH
                                                       why was this refused?
  heliostat doctor wss://example.com --app 1001:app-key:app-secret
                                                       what is wrong on the way to this server?
  heliostat reload --config heliostat.toml             have it read that file again
  heliostat upgrade --config heliostat.toml            replace it by the program as it is installed now
  heliostat apps create id=chat client_events=true     add an app, also while it runs
  heliostat exec -- npm test                           run tests against a broker of their own
  source <(heliostat completions bash)                 have the shell complete these commands

Environment:
  HELIOSTAT_CONFIG       the configuration file, in place of heliostat.toml in the working directory
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
  SOKETI_*, REVERB_*, PUSHER_APP_ID, PUSHER_APP_KEY, PUSHER_APP_SECRET, PORT
                         what has a counterpart here, where nothing else says it

Flags beat the environment, which beats the file, which beats the variables of other servers, which beat the defaults.
The broker ends with exit code 0 when told to stop, and 2 when it cannot start. SIGHUP makes it read its configuration
again, and SIGUSR2 has it replaced by the program as it is installed now.
";
