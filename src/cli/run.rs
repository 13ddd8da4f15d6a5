//! Does what the command line asks for, and says how it went: output, complaint, exit code.

// A test may list its cases one after the other.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::app_admin::ManagedApps;
use crate::config::{Flags, Loaded, read_file_once};
use crate::console::ConfigReload;
use crate::development;
use crate::exec;
use crate::server::control::{self, ControlSocket};
use crate::server::{self, InheritedSockets, Patience, Predecessor, Server, Supervision};
use crate::telemetry;
use crate::test_mode::{TestMode, draw_token};

use super::answers::{complaint, no_control_socket, ready, template, verdict};
use super::apps::run_apps;
use super::arguments::command_line;
use super::generated::{completions, manual_page, write_manual};
use super::import::run_import;
use super::lan::{self, Lan};
use super::nodes::{nodes_of, show_nodes};
use super::reloads::{AppsPath, FilesOfBroker, Reloads, tell};
use super::remote::{RemoteFailure, harmless};
use super::remote_commands::{RemoteCommand, run_remote, webhook_attempts};
use super::send_test::send_test;
use super::welcome::{admin_line, cluster_line, foreign_names, further_line, pipe_line, welcome};
use super::{Command, parse};

/// The exit code for a configuration that cannot be used, or an address that cannot be had.
const CANNOT_START: u8 = 2;

/// The exit code for a running broker that was not reached, or did not do what it was asked.
const NOT_DONE: u8 = 1;

/// What is said on standard error at the end, and the exit code that goes with it.
type ExitFailure = (String, u8);

/// The whole program: reads the process's arguments, does what they ask for, and returns the exit code.
pub fn main() -> ExitCode {
    let code = match run(parse()) {
        Ok(code) => code,
        Err((complaint, code)) => {
            let _ = std::io::stderr().write_all(complaint.as_bytes());
            ExitCode::from(code)
        }
    };
    telemetry::flush();
    code
}

/// Does what was asked.
fn run(command: Command) -> Result<ExitCode, ExitFailure> {
    let load_for_tests = |flags, silent| {
        super::load_for_tests(flags, silent).map_err(|errors| (complaint(&errors), CANNOT_START))
    };
    match command {
        Command::PrintTemplate => print(&template()),
        Command::PrintConfig { flags, show_secrets } => print(&load(&flags)?.to_toml(show_secrets)),
        Command::CheckConfig(flags) => {
            let loaded = load(&flags)?;
            let warnings = server::check(&loaded.config).map_err(cannot_start)?;
            let warnings = warnings.iter().map(|warning| format!("warning: {warning}\n"));
            print(&(verdict(&loaded) + &warnings.collect::<String>()));
        }
        Command::Reload { flags, dry_run } => {
            let request = if dry_run { control::PLAN } else { control::RELOAD };
            print(&ask(&flags, request).map_err(not_done)?);
        }
        Command::Nodes { flags, json } => print(&show_nodes(&flags, json).map_err(not_done)?),
        Command::Apps { flags, order } => print(&run_apps(flags, &order).map_err(not_done)?),
        Command::Upgrade(flags) => print(&ask(&flags, control::UPGRADE).map_err(not_done)?),
        Command::Serve(flags) => {
            let (predecessor, inherited) = match Predecessor::take().map_err(cannot_start)? {
                Some((predecessor, inherited)) => (Some(predecessor), inherited),
                None => (None, InheritedSockets::take().map_err(cannot_start)?),
            };
            let prepared = lan::prepare(flags.at(inherited.addresses()));
            let served = prepared.map_err(cannot_start).and_then(|(flags, lan)| {
                let loaded = load(&flags)?;
                serve(flags, loaded, inherited, (predecessor.as_ref(), lan.as_ref())).map_err(cannot_start)
            });
            if let (Err((complaint, _)), Some(predecessor)) = (&served, &predecessor) {
                predecessor.fail(complaint.trim_end());
            }
            served?;
        }
        Command::Import(order) => {
            let report = run_import(&order).map_err(|complaint| (complaint, CANNOT_START))?;
            match report.toml {
                Some(toml) => {
                    print(&toml);
                    let _ = std::io::stderr().write_all(report.lines.as_bytes());
                }
                None => print(&report.lines),
            }
        }
        Command::Completions(shell) => print_bytes(&completions(command_line(), shell)),
        Command::Man(None) => print_bytes(&manual_page(command_line()).map_err(cannot_start)?),
        Command::Man(Some(directory)) => {
            let written = write_manual(command_line(), &directory);
            let cannot = |error| cannot_start(format!("cannot write to {}: {error}", directory.display()));
            written.map_err(cannot)?;
        }
        Command::SendTest { flags, wanted } => {
            let sent = send_test(&load(&flags)?.config, &wanted, print);
            let all_taken = sent.map_err(cannot_start)?;
            return Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Remote(command) => return ask_remote(&command),
        Command::WebhookAttempts(admin) => print(&webhook_attempts(&admin).map_err(unreached)?),
        Command::ServeTest { flags, token, remote } => {
            let test_mode = TestMode::new(token.unwrap_or_else(draw_token), remote);
            let loaded = load_for_tests(flags, false)?;
            serve_test(loaded, test_mode).map_err(cannot_start)?;
        }
        Command::Exec { flags, env_prefixes, command } => {
            let config = load_for_tests(flags, true)?.config;
            let _ = telemetry::start(&config.logging);
            let ended = exec::run(config, &env_prefixes, &command);
            let exec::CommandOutcome { status, told } = ended.map_err(cannot_start)?;
            // The command may have closed it behind us.
            let _ = std::io::stderr().write_all(told.as_bytes());
            return Ok(ExitCode::from(status));
        }
        Command::DieWithParent { parent, command } => {
            exec::become_command(parent, &command).map_err(cannot_start)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn not_done(complaint: String) -> ExitFailure {
    (complaint, NOT_DONE)
}

fn load(flags: &Flags) -> Result<Loaded, ExitFailure> {
    super::load(flags).map_err(|errors| (complaint(&errors), CANNOT_START))
}

fn ask_remote(command: &RemoteCommand) -> Result<ExitCode, ExitFailure> {
    let (text, is_well) = run_remote(command).map_err(unreached)?;
    print(&text);
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(NOT_DONE) })
}

fn unreached(failure: RemoteFailure) -> ExitFailure {
    (format!("heliostat: {}\n", harmless(&failure.told)), failure.exit_code)
}

fn cannot_start(error: impl std::fmt::Display) -> ExitFailure {
    (format!("heliostat: {error}\n"), CANNOT_START)
}

/// Prints to standard output; a reader that has gone is no error.
fn print(text: &str) {
    print_bytes(text.as_bytes());
}

fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Asks the running broker to do this; returns its answer.
fn ask(flags: &Flags, request: &str) -> Result<String, String> {
    let Some(socket) = super::control_socket(flags, &read_file_once)? else {
        let signal = if request == control::UPGRADE { "SIGUSR2" } else { "SIGHUP" };
        return Err(no_control_socket(&format!("send the broker {signal} and read its log")));
    };
    match control::ask(&socket, request) {
        Ok(Ok(done)) => Ok(format!("{done}\n")),
        Ok(Err(complaint)) => Err(format!("{complaint}\n")),
        Err(error) => Err(format!("heliostat: {error}\n")),
    }
}

fn serve(
    flags: Flags,
    loaded: Loaded,
    inherited: InheritedSockets,
    (predecessor, lan): (Option<&Predecessor>, Option<&Lan>),
) -> Result<(), Box<dyn Error>> {
    let Loaded { ref config, mode, .. } = loaded;
    let flags = flags.of_file(loaded.file.clone());
    let apps = Arc::new(ManagedApps::new(move |read| super::load_again(&flags, read)).after_start(&loaded));
    let apps_path = Arc::new(AppsPath::of(&loaded));
    telemetry::start(&config.logging)?;
    telemetry::log_panics();
    let server = Server::new(config.clone()).inherit(inherited).managed(Arc::clone(&apps));
    let server = server.written_as(loaded.to_toml(false));
    let server = if loaded.brings_admin_along() { server.dispensable_admin() } else { server };
    let supervision = Supervision::default();
    let mut bound = server.bind()?.supervised(supervision.clone()).succeeding(predecessor.cloned());
    let control = config.server.control_socket.as_deref();
    let control = control.map(|path| ControlSocket::succeed(path, predecessor)).transpose()?.map(Arc::new);
    let upgrader = bound.upgrader(control.clone());
    tell(&loaded);
    let mut also: String = bound.further_urls().iter().map(|url| further_line(url)).collect();
    if let Some(url) = bound.pipe_url() {
        also.push_str(&pipe_line(&url));
    }
    if let Some(url) = bound.admin_url() {
        also.push_str(&admin_line(&url, bound.admin_token().filter(|_| mode.is_development())));
    }
    also.extend(cluster_line(&config.cluster));
    also.push_str(&foreign_names(&loaded.read));
    let reachable = development::reachable(config.server.widest_host());
    let mut text = welcome(config, &bound.url(), mode, &reachable, &also);
    if let Some(lan) = lan {
        text.push_str(&lan.lines(&bound.url(), &reachable, std::io::stdout().is_terminal()));
    }
    let readiness = bound.readiness();
    let reloader = bound.reloader();
    let files = FilesOfBroker::new(apps, reloader, Arc::clone(&apps_path));
    let reloads = Arc::new(Reloads::new(supervision, files));
    bound.reloaded_by(Arc::clone(&reloads) as Arc<dyn ConfigReload>);
    actix_web::rt::System::new().block_on(async {
        let shutdown = shutdown_signal(bound.patience())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut to_upgrade = signal(SignalKind::user_defined2())?;
        let on_signal = async {
            loop {
                // The log has told what there is to tell.
                let _ = tokio::select! {
                    Some(()) = hangup.recv() => reloads.reload().await,
                    Some(()) = to_upgrade.recv() => upgrader.upgrade().await,
                    else => return Ok::<_, std::io::Error>(()),
                };
            }
        };
        let shutdown = async {
            tokio::select! {
                () = shutdown => {}
                () = turned_down(predecessor) => {}
            }
        };
        let on_request = async {
            has_place(predecessor).await;
            print(&text);
            if let Some(control) = &control {
                let answer = async |request: &str| match request {
                    control::RELOAD => reloads.reload().await,
                    control::PLAN => {
                        let planned = reloads.plan().await.map(|plan| plan.difference.to_string());
                        planned.map_err(|refusal| refusal.to_string())
                    }
                    control::APPS_FILE => apps_path.tell(),
                    control::NODES => nodes_of(&readiness),
                    control::UPGRADE => upgrader.upgrade().await,
                    other => {
                        Err(format!("heliostat: the running broker does not know the request {other:?}"))
                    }
                };
                control.serve(answer).await?;
            }
            // There is none, or another process answers by now.
            std::future::pending::<()>().await;
            Ok::<_, std::io::Error>(())
        };
        // None of those that hear commands ends before the broker does, but by a fault.
        tokio::select! {
            served = bound.run(shutdown) => Ok(served?),
            failed = async { tokio::try_join!(on_signal, on_request) } => Ok(failed.map(|_| ())?),
        }
    })
}

/// Ready when the broker that ran before, which this one was to succeed, has left its place.
async fn has_place(predecessor: Option<&Predecessor>) {
    if let Some(predecessor) = predecessor
        && !predecessor.has_succeeded().await
    {
        std::future::pending::<()>().await;
    }
}

/// Ready when the running broker, which this one was to succeed, goes on.
async fn turned_down(predecessor: Option<&Predecessor>) {
    match predecessor {
        Some(predecessor) if !predecessor.has_succeeded().await => {}
        _ => std::future::pending().await,
    }
}

fn serve_test(loaded: Loaded, test_mode: Arc<TestMode>) -> Result<(), Box<dyn Error>> {
    let config = &loaded.config;
    telemetry::start(&config.logging)?;
    telemetry::log_panics();
    let bound = Server::new(config.clone()).test_mode(Arc::clone(&test_mode)).bind()?;
    tell(&loaded);
    let line = ready(config, bound.address(), test_mode.token());
    actix_web::rt::System::new().block_on(async {
        let shutdown = shutdown_signal(bound.patience())?;
        // It is looked at first when the broker serves.
        let served = async move {
            print(&line);
            shutdown.await;
        };
        Ok(bound.run(served).await?)
    })
}

/// Ready at the first SIGTERM or SIGINT. The signals are caught from now on, not from the first poll on.
fn shutdown_signal(patience: Patience) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Who asks twice does not want to wait: first for what is done for others' sake, then for anything.
        actix_web::rt::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if !patience.end() {
                    std::process::exit(130);
                }
            }
        });
    })
}
