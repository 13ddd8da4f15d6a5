//! The log on standard error. Never a secret; payloads only at `trace`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};

/// Starts the log. A second call changes nothing.
///
/// # Errors
/// If the level is no valid filter; a configuration that was loaded has been checked for that.
pub fn start(logging: &Logging) -> Result<(), tracing_subscriber::filter::ParseError> {
    // The framework's own remarks on its threads are of no use to who runs a broker, unless asked for by name.
    let filter = EnvFilter::try_new(format!("actix_server=warn,mio=warn,{}", logging.level))?;
    // A log that cannot be written must not end what it tells of.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // An error means that a log has been started before, by a program that embeds the broker.
    let _ = match logging.format {
        LogFormat::Human => log.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}
