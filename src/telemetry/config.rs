//! The settings of the log: `[logging]`.

/// `[logging]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// For people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter of the `tracing` crate such as
    /// `info,heliostat::pipe=debug`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Logging { format: LogFormat::Human, level: "info".to_owned() }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}
