//! Writes the log to standard error. Never a secret, and of payloads only the beginning, at `trace`.
//!
//! Everything that may come from outside goes through here, so it is made harmless here and nowhere else: `text`
//! escapes and shortens, `line` puts lines together, `line_limits` leaves out what one cause would flood the log with,
//! and `line_queue` has a thread of its own write them, so that no worker waits for the reader of the log.

mod config;
mod layer;
mod line;
mod line_limits;
mod line_queue;
mod suppressed;
mod text;

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use config::{LogFormat, Logging};
use layer::LogLayer;
use line::LineStyle;
use line_queue::LineQueue;
pub(crate) use line_queue::LogCounts;
pub(crate) use suppressed::{CLOSED_PORT_MESSAGES, suppress_messages};
pub(crate) use text::VALUE_CHARS;

/// How long the end of the program waits for the last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// What has been started and is written to standard error by a thread.
static WRITER_QUEUE: OnceLock<Arc<LineQueue>> = OnceLock::new();

/// The names of levels, from the quietest to the loudest.
pub(crate) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts the log. A second call changes nothing.
///
/// # Errors
/// If the level is no valid filter; a configuration that was loaded has been checked for that.
pub(crate) fn start(logging: &Logging) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::try_new(directives(&logging.level))?;
    let style = match logging.format {
        LogFormat::Json => LineStyle::Json,
        LogFormat::Human if is_colourful() => LineStyle::Colourful,
        LogFormat::Human => LineStyle::Plain,
    };
    let queue = Arc::new(LineQueue::new(style));
    let log = tracing_subscriber::registry().with(filter).with(LogLayer::new(Arc::clone(&queue)));
    // An error means that a log has been started before, by a program that embeds the broker.
    if log.try_init().is_ok() && line_queue::spawn_writer(Arc::clone(&queue), std::io::stderr()).is_ok() {
        let _ = WRITER_QUEUE.set(queue);
    }
    Ok(())
}

/// Waits until what has been logged is written, but no longer than a second: the reader of the log may have stopped.
pub(crate) fn flush() {
    if let Some(queue) = WRITER_QUEUE.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

/// What the log has not written. Where a program that embeds the broker has a log of its own, that is nothing.
pub(crate) fn counts() -> LogCounts {
    WRITER_QUEUE.get().map(|queue| queue.counts()).unwrap_or_default()
}

/// Has panics logged. Otherwise the thread that panics would write to standard error, and wait for its reader.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{panic}");
    }));
}

/// The filter's directives. A level alone is ours: the libraries below us have much to say of which nothing is of use
/// to who runs a broker, and are heard when they are named. What a request that cannot be read makes the HTTP server
/// say, which is an error to it, is nothing that strangers should bring about above `debug`.
fn directives(level: &str) -> String {
    let http = if level.contains("actix_http") { "" } else { "actix_http::h1=off," };
    let ours = |part: &str| match part {
        "off" => "off,heliostat=off".to_owned(),
        "error" => format!("error,{http}heliostat=error"),
        "warn" | "info" => format!("warn,{http}heliostat={part}"),
        "debug" | "trace" => format!("warn,heliostat={part}"),
        other => other.to_owned(),
    };
    // What is in brackets may hold commas.
    if level.contains('[') {
        return level.to_owned();
    }
    level.split(',').map(|part| ours(part.trim())).collect::<Vec<_>>().join(",")
}

fn is_colourful() -> bool {
    let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
    std::io::stderr().is_terminal() && wants_colours(no_color.as_deref(), term.as_deref())
}

/// Whether the terminal is to have colours, by `NO_COLOR` and `TERM`.
fn wants_colours(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term != Some(OsStr::new("dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_ours() {
        assert_eq!(directives("trace"), "warn,heliostat=trace");
        assert_eq!(directives("off"), "off,heliostat=off");
        assert_eq!(directives("error"), "error,actix_http::h1=off,heliostat=error");
        assert_eq!(directives("info"), "warn,actix_http::h1=off,heliostat=info");
        assert_eq!(
            directives("info, heliostat::pipe=debug,actix_http=trace"),
            "warn,heliostat=info,heliostat::pipe=debug,actix_http=trace"
        );
        for level in LEVELS {
            assert!(EnvFilter::try_new(directives(level)).is_ok());
        }
    }

    #[test]
    fn the_terminal_says_whether_it_has_colours() {
        let wants = |no_color: Option<&str>, term: Option<&str>| {
            wants_colours(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(wants(None, Some("xterm")));
        assert!(wants(Some(""), Some("xterm")));
        assert!(!wants(Some("1"), Some("xterm")));
        assert!(!wants(None, Some("dumb")));
    }
}
