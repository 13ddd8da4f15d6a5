//! The `heliostat` command: arguments, configuration, run, exit code.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use heliostat::cli::{self, Command};
use heliostat::config::{self, Flags, Loaded};
use heliostat::server::{self, Reloader, Server};
use heliostat::telemetry;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code for a configuration that cannot be used, or an address that cannot be had.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    match run(cli::parse()) {
        Ok(code) => code,
        Err(complaint) => {
            eprint!("{complaint}");
            ExitCode::from(CANNOT_START)
        }
    }
}

/// Does what was asked; an error is the complaint for standard error.
fn run(command: Command) -> Result<ExitCode, String> {
    let load = |flags| cli::load(&flags).map_err(|errors| cli::complaint(&errors));
    match command {
        Command::PrintTemplate => print(config::TEMPLATE),
        Command::PrintConfig { flags, show_secrets } => print(&load(flags)?.to_toml(show_secrets)),
        Command::CheckConfig(flags) => {
            let loaded = load(flags)?;
            server::check(&loaded.config).map_err(|error| format!("heliostat: {error}\n"))?;
            print(&cli::verdict(&loaded));
        }
        Command::Serve(flags) => {
            let loaded = cli::load(&flags).map_err(|errors| cli::complaint(&errors))?;
            serve(flags, loaded).map_err(|error| format!("heliostat: {error}\n"))?;
        }
        Command::SendTest { flags, wanted } => {
            let sent = cli::send_test(&load(flags)?.config, &wanted, print);
            let all_taken = sent.map_err(|error| format!("heliostat: {error}\n"))?;
            return Ok(if all_taken { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints to standard output; a reader that has gone is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn serve(flags: Flags, loaded: Loaded) -> Result<(), Box<dyn Error>> {
    let Loaded { config, mode, warnings, .. } = loaded;
    telemetry::start(&config.logging)?;
    let bound = Server::new(config.clone()).bind()?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut welcome = cli::welcome(&config, &bound.url(), mode);
    if let Some(url) = bound.pipe_url() {
        welcome.push_str(&cli::pipe_line(&url));
    }
    let reloader = bound.reloader();
    actix_web::rt::System::new().block_on(async {
        let shutdown = shutdown_signal()?;
        let mut hangup = signal(SignalKind::hangup())?;
        actix_web::rt::spawn(async move {
            while hangup.recv().await.is_some() {
                reload(&flags, &reloader);
            }
        });
        print(&welcome);
        Ok(bound.run(shutdown).await?)
    })
}

/// Reads the configuration again from where it came, and puts in force what can be. Tells the log.
fn reload(flags: &Flags, reloader: &Reloader) {
    let loaded = match cli::load(flags) {
        Ok(loaded) => loaded,
        Err(errors) => {
            errors.iter().for_each(|error| tracing::error!("{error}"));
            tracing::error!(errors = errors.len(), "the configuration was not reloaded; nothing has changed");
            return;
        }
    };
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    match reloader.reload(loaded.config) {
        Ok(reloaded) if reloaded.needs_restart.is_empty() => {
            tracing::info!("configuration reloaded: {reloaded}")
        }
        Ok(reloaded) => tracing::warn!("configuration reloaded: {reloaded}"),
        Err(error) => tracing::error!("the configuration was not reloaded; nothing has changed: {error}"),
    }
}

/// Ready at the first SIGTERM or SIGINT. The signals are caught from now on, not from the first poll on.
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Who asks twice does not want to wait.
        actix_web::rt::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    })
}
