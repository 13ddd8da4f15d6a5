//! The `heliostat` command: arguments, configuration, run, exit code.

use std::io::Write;
use std::process::ExitCode;

use heliostat::cli::{self, Command};
use heliostat::config::{self, Loaded};
use heliostat::server::Server;
use heliostat::telemetry;
use tokio::signal::unix::{SignalKind, signal};

/// The exit code for a configuration that cannot be used, or an address that cannot be had.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    let (flags, act): (_, fn(Loaded) -> Result<(), String>) = match cli::parse() {
        Command::PrintTemplate => return finish(print(config::TEMPLATE)),
        Command::PrintConfig { flags, show_secrets: true } => (flags, |loaded| print(&loaded.to_toml(true))),
        Command::PrintConfig { flags, show_secrets: false } => {
            (flags, |loaded| print(&loaded.to_toml(false)))
        }
        Command::CheckConfig(flags) => (flags, |loaded| print(&cli::verdict(&loaded))),
        Command::Serve(flags) => (flags, serve),
    };
    match cli::load(&flags) {
        Ok(loaded) => finish(act(loaded)),
        Err(errors) => {
            eprint!("{}", cli::complaint(&errors));
            ExitCode::from(CANNOT_START)
        }
    }
}

fn finish(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("heliostat: {sentence}");
            ExitCode::from(CANNOT_START)
        }
    }
}

/// Prints to standard output; a reader that has gone is no error.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

fn serve(loaded: Loaded) -> Result<(), String> {
    let Loaded { config, mode, warnings, .. } = loaded;
    telemetry::start(&config.logging).map_err(|error| error.to_string())?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let bound = Server::new(config.clone()).bind().map_err(|error| error.to_string())?;
    let welcome = cli::welcome(&config, &bound.url(), mode);
    let outcome = actix_web::rt::System::new().block_on(async {
        let shutdown = shutdown_signal()?;
        print(&welcome).map_err(std::io::Error::other)?;
        bound.run(shutdown).await
    });
    outcome.map_err(|error| error.to_string())
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
