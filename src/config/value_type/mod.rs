//! The forms a value can have: how it is read from TOML or from text, what is allowed, and how it is written.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::ShutdownCode;
use super::given::Given;
use crate::app::AllowedOrigin;
use crate::auth::EncryptionMasterKey;
use crate::telemetry::LEVELS;

/// One form.
pub(super) trait Form {
    /// What it is read into.
    type Value;

    /// The value, or `None` if it is not what is expected.
    fn read(&self, given: &Given<'_>) -> Option<Self::Value>;

    /// What is allowed, as the end of the sentence "it must be …".
    fn expected(&self) -> String;

    /// The value in TOML.
    fn write(&self, value: &Self::Value) -> String;

    /// What came instead, for an error message.
    fn got(&self, given: &Given<'_>) -> String {
        given.describe()
    }
}

/// A whole number in a range.
#[derive(Clone)]
pub(super) struct Integer<N>(pub(super) RangeInclusive<N>);

impl<N: TryFrom<i64> + PartialOrd + Display> Form for Integer<N> {
    type Value = N;

    fn read(&self, given: &Given<'_>) -> Option<N> {
        N::try_from(given.integer()?).ok().filter(|n| self.0.contains(n))
    }

    fn expected(&self) -> String {
        format!("an integer from {} to {}", self.0.start(), self.0.end())
    }

    fn write(&self, value: &N) -> String {
        value.to_string()
    }
}

/// A span of time in seconds, fractions allowed.
#[derive(Clone)]
pub(super) struct Seconds {
    /// The shortest.
    pub(super) least: f64,
}

/// The longest span of time that makes sense for anything: a day.
const MOST_SECONDS: u32 = 86_400;

impl Form for Seconds {
    type Value = Duration;

    fn read(&self, given: &Given<'_>) -> Option<Duration> {
        let seconds = given.number().filter(|s| (self.least..=f64::from(MOST_SECONDS)).contains(s))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn expected(&self) -> String {
        format!("a number of seconds from {} to {MOST_SECONDS}", self.least)
    }

    fn write(&self, value: &Duration) -> String {
        value.as_secs_f64().to_string()
    }
}

/// A span of time in whole seconds, at least one.
#[derive(Clone)]
pub(super) struct WholeSeconds;

impl Form for WholeSeconds {
    type Value = Duration;

    fn read(&self, given: &Given<'_>) -> Option<Duration> {
        let seconds = u32::try_from(given.integer()?).ok()?;
        (1..=MOST_SECONDS).contains(&seconds).then(|| Duration::from_secs(seconds.into()))
    }

    fn expected(&self) -> String {
        format!("a whole number of seconds from 1 to {MOST_SECONDS}")
    }

    fn write(&self, value: &Duration) -> String {
        value.as_secs().to_string()
    }
}

/// A switch.
#[derive(Clone)]
pub(super) struct Boolean;

impl Form for Boolean {
    type Value = bool;

    fn read(&self, given: &Given<'_>) -> Option<bool> {
        given.boolean()
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// One of a few names.
#[derive(Clone)]
pub(super) struct Choice<V: 'static>(pub(super) &'static [(&'static str, V)]);

impl<V: Copy + PartialEq> Form for Choice<V> {
    type Value = V;

    fn read(&self, given: &Given<'_>) -> Option<V> {
        let name = given.text()?;
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| format!("{name:?}")).collect();
        names.join(" or ")
    }

    fn write(&self, value: &V) -> String {
        let name = self.0.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name);
        quote(name)
    }
}

/// The code that connections are closed with on shutdown.
#[derive(Clone)]
pub(super) struct ShutdownCodes;

impl Form for ShutdownCodes {
    type Value = ShutdownCode;

    fn read(&self, given: &Given<'_>) -> Option<ShutdownCode> {
        match (given.text(), given.integer()) {
            (Some("auto"), _) => Some(ShutdownCode::Auto),
            (_, Some(4100)) => Some(ShutdownCode::Soon),
            (_, Some(4200)) => Some(ShutdownCode::AtOnce),
            _ => None,
        }
    }

    fn expected(&self) -> String {
        "\"auto\", 4100 or 4200".to_owned()
    }

    fn write(&self, value: &ShutdownCode) -> String {
        match value {
            ShutdownCode::Auto => quote("auto"),
            ShutdownCode::Soon => "4100".to_owned(),
            ShutdownCode::AtOnce => "4200".to_owned(),
        }
    }
}

/// The address to listen on.
#[derive(Clone)]
pub(super) struct Host;

impl Form for Host {
    type Value = IpAddr;

    fn read(&self, given: &Given<'_>) -> Option<IpAddr> {
        match given.text()? {
            "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            text => text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse().ok(),
        }
    }

    fn expected(&self) -> String {
        "an IP address without a port, such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\", or \"localhost\""
            .to_owned()
    }

    fn write(&self, value: &IpAddr) -> String {
        quote(&value.to_string())
    }
}

/// A path before all paths, brought into the form `/a/b`.
#[derive(Clone)]
pub(super) struct PathPrefix;

impl Form for PathPrefix {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        let text = given.text()?;
        let path = text.strip_prefix('/').unwrap_or(text);
        let path = path.strip_suffix('/').unwrap_or(path);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let is_segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.chars().all(allowed);
        match path {
            "" => Some(String::new()),
            path => path.split('/').all(is_segment).then(|| format!("/{path}")),
        }
    }

    fn expected(&self) -> String {
        "empty, or a path such as \"/realtime\" whose segments are letters, digits and - _ . ~".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// A path that cannot be empty, brought into the form `/a/b`.
#[derive(Clone)]
pub(super) struct BasePath;

impl Form for BasePath {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        PathPrefix.read(given).filter(|path| !path.is_empty())
    }

    fn expected(&self) -> String {
        "a path such as \"/pusher\" whose segments are letters, digits and - _ . ~".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// The name of a host, with or without a port, or none.
#[derive(Clone)]
pub(super) struct HostName;

impl Form for HostName {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        let text = given.text()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        text.chars().all(allowed).then(|| text.to_owned())
    }

    fn expected(&self) -> String {
        "empty, or the name of a host such as \"node3.example.com\"".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// The URL of a script.
#[derive(Clone)]
pub(super) struct ScriptUrl;

impl Form for ScriptUrl {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        let text = given.text()?;
        let begins = text.starts_with("https://") || text.starts_with("http://") || text.starts_with('/');
        // It stands in an attribute of a page.
        let allowed = |c: char| c.is_ascii_graphic() && !"\"'<>`\\".contains(c);
        (begins && text.chars().all(allowed)).then(|| text.to_owned())
    }

    fn expected(&self) -> String {
        "a URL that begins with https://, http:// or /".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// How much is logged.
#[derive(Clone)]
pub(super) struct LogLevel;

impl Form for LogLevel {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        let text = given.text()?.trim();
        // The filter's own parser takes any lone word for the name of a crate, and so would take "inof".
        let is_directive = |part: &str| LEVELS.contains(&part) || part.contains(['=', '[', ':']);
        let plausible = text.contains('[') || text.split(',').map(str::trim).all(is_directive);
        (plausible && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
    }

    fn expected(&self) -> String {
        "off, error, warn, info, debug or trace, or a filter such as \"info,heliostat::pipe=debug\""
            .to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// A file, or none.
#[derive(Clone)]
pub(super) struct OptionalFile;

impl Form for OptionalFile {
    type Value = Option<PathBuf>;

    fn read(&self, given: &Given<'_>) -> Option<Option<PathBuf>> {
        let text = given.text()?;
        Some((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn expected(&self) -> String {
        "the path of a file, or empty".to_owned()
    }

    fn write(&self, value: &Option<PathBuf>) -> String {
        quote(&value.as_deref().unwrap_or_else(|| "".as_ref()).to_string_lossy())
    }
}

/// A list of origins. A variable has them separated by commas.
#[derive(Clone)]
pub(super) struct AllowedOrigins;

impl Form for AllowedOrigins {
    type Value = Vec<AllowedOrigin>;

    fn read(&self, given: &Given<'_>) -> Option<Vec<AllowedOrigin>> {
        given.texts()?.into_iter().map(|text| text.parse().ok()).collect()
    }

    fn expected(&self) -> String {
        "a list of origins such as \"https://example.com\", \"https://*.example.com\" or \"localhost:*\""
            .to_owned()
    }

    fn write(&self, value: &Vec<AllowedOrigin>) -> String {
        let texts: Vec<_> = value.iter().map(|origin| quote(&origin.to_string())).collect();
        format!("[{}]", texts.join(", "))
    }

    fn got(&self, given: &Given<'_>) -> String {
        let texts = given.texts().unwrap_or_default();
        let wrong = texts.iter().find(|text| text.parse::<AllowedOrigin>().is_err());
        wrong.map_or_else(|| given.describe(), |text| Given::Text(text).describe())
    }
}

/// A string of any kind.
#[derive(Clone)]
pub(super) struct AnyText;

impl Form for AnyText {
    type Value = String;

    fn read(&self, given: &Given<'_>) -> Option<String> {
        given.text().map(str::to_owned)
    }

    fn expected(&self) -> String {
        "a string".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// An app's id, or one of its keys.
#[derive(Clone)]
pub(super) struct Name {
    /// What it may hold besides letters and digits.
    pub(super) punctuation: &'static str,
}

/// An app's id. It stands in paths.
pub(super) const APP_ID: Name = Name { punctuation: "-_" };
/// An app's key. It stands in paths, and before the `:` of a signature.
pub(super) const APP_KEY: Name = Name { punctuation: "-_.~" };

impl Form for Name {
    type Value = Option<String>;

    fn read(&self, given: &Given<'_>) -> Option<Option<String>> {
        let text = given.text()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || self.punctuation.contains(c);
        (!text.is_empty() && text.chars().all(allowed)).then(|| Some(text.to_owned()))
    }

    fn expected(&self) -> String {
        let marks: Vec<_> = self.punctuation.chars().map(String::from).collect();
        format!("a string of letters, digits and {}", marks.join(" "))
    }

    fn write(&self, value: &Option<String>) -> String {
        quote(value.as_deref().unwrap_or_default())
    }
}

/// An app's secret. Neither it nor what was given in its place is ever shown.
#[derive(Clone)]
pub(super) struct SecretText;

/// What stands for a secret in printed configuration; it is not accepted as one.
pub(super) const MASK: &str = "…";

impl Form for SecretText {
    type Value = Option<String>;

    fn read(&self, given: &Given<'_>) -> Option<Option<String>> {
        let text = given.text()?;
        let sound =
            !text.is_empty() && text != MASK && text.trim() == text && !text.contains(char::is_control);
        sound.then(|| Some(text.to_owned()))
    }

    fn expected(&self) -> String {
        "a non-empty string without white space around it".to_owned()
    }

    fn write(&self, value: &Option<String>) -> String {
        quote(value.as_deref().unwrap_or_default())
    }

    fn got(&self, given: &Given<'_>) -> String {
        match (given, given.text()) {
            (_, Some("")) => "an empty string".to_owned(),
            (_, Some(MASK)) => "the mask that print-config writes in place of secrets".to_owned(),
            (_, Some(text)) if text.trim() != text => "one with white space around it".to_owned(),
            (_, Some(_)) => "one with control characters in it".to_owned(),
            (Given::Toml(value), None) => given.type_name(value),
            (Given::Text(_), None) => "something else".to_owned(),
        }
    }
}

/// The master key of encrypted channels, or none. Neither it nor what was given in its place is ever shown.
#[derive(Clone)]
pub(super) struct OptionalMasterKey;

impl Form for OptionalMasterKey {
    type Value = Option<EncryptionMasterKey>;

    fn read(&self, given: &Given<'_>) -> Option<Option<EncryptionMasterKey>> {
        match given.text()? {
            "" => Some(None),
            text => EncryptionMasterKey::from_base64(text).map(Some),
        }
    }

    fn expected(&self) -> String {
        format!("{} bytes in Base64, or empty", EncryptionMasterKey::BYTES)
    }

    fn write(&self, value: &Option<EncryptionMasterKey>) -> String {
        quote(&value.as_ref().map(EncryptionMasterKey::to_base64).unwrap_or_default())
    }

    fn got(&self, given: &Given<'_>) -> String {
        match (given, given.text()) {
            (_, Some(MASK)) => "the mask that print-config writes in place of secrets".to_owned(),
            (_, Some(text)) => format!("a string of {} characters that is not", text.chars().count()),
            (Given::Toml(value), None) => given.type_name(value),
            (Given::Text(_), None) => "something else".to_owned(),
        }
    }
}

/// Text as a TOML string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
