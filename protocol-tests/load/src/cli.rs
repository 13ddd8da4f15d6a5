//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::ceiling;
use crate::curves;
use crate::gauge::{Cores, raise_file_limit};
use crate::report::{Entry, Table};
use crate::run::Outcome;
use crate::scenario::{self, Scenario, Stage};
use crate::server::{Kind, Server, sibling};
use crate::wire::signature::App;

/// Loads a Pusher-compatible broker, verifies every delivery, and says what each one cost.
#[derive(Debug, Parser)]
#[command(name = "heliostat-load", version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run scenarios; the exit status is 1 if a delivery was lost, duplicated, reordered, or anything else went wrong
    Run(Box<RunArguments>),
    /// Measure how costs grow as the work grows: print it, and draw it
    Curves(curves::Arguments),
    /// Name the scenarios
    List,
    /// Serve as the ceiling: the least that delivering the same messages costs on this machine
    Ceiling(ceiling::Arguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// Scenarios, separated by commas; one that ends in `*` stands for all that begin so
    #[arg(long, default_value = "all", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Servers, separated by commas: ceiling, ceiling-each, ceiling-signed, ceiling-tls, heliostat, heliostat-tls, sockudo,
    /// peer (see --peer-command), running (see --url); ratios are to the first
    #[arg(long, default_value = "ceiling,heliostat", value_delimiter = ',')]
    against: Vec<String>,
    /// Runs of each scenario against each server, the servers taking turns
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds in which things are counted, after a quarter of that to get warm; some scenarios take longer
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Publishes on their way at any time, where the load is as much as goes; with 1, nothing can be written together
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    outstanding: u32,
    /// A smoke run: one run, a twentieth of the clients, 0.2 seconds. Its figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Count the server's system calls per delivery as well, where the load is as much as goes; needs strace
    #[arg(long)]
    system_calls: bool,
    /// Do not pin the server and the load to different cores
    #[arg(long)]
    no_pin: bool,
    /// The server's cores, separated by commas, instead of the first
    #[arg(long, value_delimiter = ',', requires = "load_cores")]
    server_cores: Vec<usize>,
    /// The load's cores, instead of the second
    #[arg(long, value_delimiter = ',', requires = "server_cores")]
    load_cores: Vec<usize>,
    /// The heliostat program, instead of the one built beside this tool
    #[arg(long)]
    heliostat: Option<PathBuf>,
    /// One more argument for heliostat; may be repeated
    #[arg(long, allow_hyphen_values = true)]
    heliostat_argument: Vec<String>,
    /// The sockudo program
    #[arg(long, default_value = "sockudo")]
    sockudo: PathBuf,
    /// How to start another server; `{port}` stands for the port it must listen on
    #[arg(long)]
    peer_command: Option<String>,
    /// What to call it
    #[arg(long, default_value = "peer")]
    peer_name: String,
    /// A server that is running already, such as http://127.0.0.1:6001
    #[arg(long, requires = "pid")]
    url: Option<String>,
    /// Its process, for its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// The app's id
    #[arg(long, default_value = "1001")]
    app_id: String,
    /// The app's key
    #[arg(long, default_value = "app-key")]
    app_key: String,
    /// The app's secret
    #[arg(long, default_value = "app-secret")]
    app_secret: String,
    /// Let the ceiling make a mistake, to prove that it is found
    #[arg(long, hide = true)]
    fault: Option<String>,
}

/// A mistaken command line.
#[derive(Debug, thiserror::Error)]
enum Mistake {
    #[error("there is no scenario `{0}`; `heliostat-load list` names them")]
    Scenario(String),
    #[error("there is no server `{0}`; --help names them")]
    Server(String),
    #[error("`{0}` needs {1}")]
    Needs(&'static str, &'static str),
    #[error("two cores are needed to keep the server and the load apart; --no-pin runs them together")]
    OneCore,
}

pub(crate) fn run() -> ExitCode {
    match Command::parse().what {
        What::List => {
            let width = scenario::ALL.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
            scenario::ALL
                .iter()
                .for_each(|scenario| println!("{:width$}  {}", scenario.name, scenario.about));
            ExitCode::SUCCESS
        }
        What::Ceiling(arguments) => match ceiling::serve(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("heliostat-load: the ceiling cannot serve: {error}");
                ExitCode::from(2)
            }
        },
        What::Curves(arguments) => match curves::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                eprintln!("heliostat-load: {failed}");
                ExitCode::FAILURE
            }
        },
        What::Run(arguments) => match arguments.run() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(mistake) => {
                eprintln!("heliostat-load: {mistake}");
                ExitCode::from(2)
            }
        },
    }
}

impl RunArguments {
    /// Runs everything; says whether all of it went well.
    fn run(&self) -> Result<bool, Mistake> {
        let scenarios = self.scenarios()?;
        let kinds: Vec<Kind> = self.against.iter().map(|name| self.kind(name)).collect::<Result<_, _>>()?;
        let cores = self.cores()?;
        raise_file_limit();
        let runs = if self.quick { 1 } else { self.runs };
        let mut entries = Vec::new();
        for scenario in scenarios {
            for run in 1..=runs {
                for kind in &kinds {
                    let Some(able) = kind.able(scenario.needs) else { continue };
                    let result = self.once(scenario, &able, cores.as_ref());
                    let server = kind.name().to_owned();
                    let entry = Entry { scenario: scenario.name, server, run, result };
                    say(&entry.json());
                    if let Some(failure) = entry.failure() {
                        eprintln!("heliostat-load: {} against {}: {failure}", entry.scenario, entry.server);
                    }
                    entries.push(entry);
                }
            }
        }
        let servers: Vec<String> = kinds.iter().map(|kind| kind.name().to_owned()).collect();
        let failed = entries.iter().filter(|entry| entry.failure().is_some()).count();
        let table = Table { entries: &entries, servers: &servers };
        say(&format!("\n{table}\n{} runs, {failed} failed", entries.len()));
        Ok(failed == 0)
    }

    /// One run, with a server of its own.
    fn once(&self, scenario: &Scenario, kind: &Kind, cores: Option<&Cores>) -> Result<Outcome, String> {
        let app = App { id: self.app_id.clone(), key: self.app_key.clone(), secret: self.app_secret.clone() };
        Server::start(kind, &app, cores).map_err(|error| error.to_string()).and_then(|server| {
            let seconds = if self.quick { 0.2 } else { self.seconds };
            let Self { quick, outstanding, system_calls, .. } = *self;
            let stage = Stage { server: &server, seconds, quick, outstanding, system_calls };
            (scenario.run)(&stage)
                .map_err(|broken| format!("{broken}; its last words: {}", server.last_words()))
        })
    }

    fn scenarios(&self) -> Result<Vec<&'static Scenario>, Mistake> {
        let mut chosen = Vec::new();
        for wanted in &self.scenario {
            let fits = |scenario: &&Scenario| match wanted.strip_suffix('*') {
                Some(beginning) => scenario.name.starts_with(beginning),
                None => wanted == "all" || scenario.name == wanted,
            };
            let before = chosen.len();
            chosen.extend(scenario::ALL.iter().filter(fits));
            if chosen.len() == before {
                return Err(Mistake::Scenario(wanted.clone()));
            }
        }
        Ok(chosen)
    }

    fn kind(&self, name: &str) -> Result<Kind, Mistake> {
        Ok(match name {
            "ceiling" | "ceiling-each" | "ceiling-signed" | "ceiling-tls" => Kind::Ceiling {
                each: name == "ceiling-each",
                signed: name == "ceiling-signed",
                tls: name == "ceiling-tls",
                fault: self.fault.clone(),
            },
            "heliostat" | "heliostat-tls" => Kind::Heliostat {
                tls: name == "heliostat-tls",
                video: false,
                admin: false,
                program: self.heliostat.clone().unwrap_or_else(|| sibling("heliostat")),
                arguments: self.heliostat_argument.clone(),
            },
            "sockudo" => Kind::Sockudo { program: self.sockudo.clone() },
            "peer" => Kind::Command {
                name: self.peer_name.clone(),
                command: self.peer_command.clone().ok_or(Mistake::Needs("peer", "--peer-command"))?,
            },
            "running" => match (&self.url, self.pid) {
                (Some(url), Some(pid)) => Kind::Running { address: url.clone(), pid },
                _ => return Err(Mistake::Needs("running", "--url and --pid")),
            },
            other => return Err(Mistake::Server(other.to_owned())),
        })
    }

    fn cores(&self) -> Result<Option<Cores>, Mistake> {
        if self.no_pin {
            Ok(None)
        } else if self.server_cores.is_empty() {
            Cores::apart().map(Some).ok_or(Mistake::OneCore)
        } else {
            Ok(Some(Cores { server: self.server_cores.clone(), load: self.load_cores.clone() }))
        }
    }
}

/// Prints a line. Whoever has stopped listening, such as `head`, has seen enough, and there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
