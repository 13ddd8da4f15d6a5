//! Addresses, paths and URLs: where something is.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::{InputValue, ValueType, quote};
use crate::app::AllowedOrigin;

/// The address to listen on.
#[derive(Clone)]
pub(in crate::config) struct Host;

impl ValueType for Host {
    type Value = IpAddr;

    fn read(&self, given: &InputValue<'_>) -> Option<IpAddr> {
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
pub(in crate::config) struct PathPrefix;

impl ValueType for PathPrefix {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
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
pub(in crate::config) struct BasePath;

impl ValueType for BasePath {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
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
pub(in crate::config) struct HostName;

impl ValueType for HostName {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
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
pub(in crate::config) struct ScriptUrl;

impl ValueType for ScriptUrl {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
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

/// A file, or none.
#[derive(Clone)]
pub(in crate::config) struct OptionalFile;

impl ValueType for OptionalFile {
    type Value = Option<PathBuf>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<PathBuf>> {
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
pub(in crate::config) struct AllowedOrigins;

impl ValueType for AllowedOrigins {
    type Value = Vec<AllowedOrigin>;

    fn read(&self, given: &InputValue<'_>) -> Option<Vec<AllowedOrigin>> {
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

    fn got(&self, given: &InputValue<'_>) -> String {
        let texts = given.texts().unwrap_or_default();
        let wrong = texts.iter().find(|text| text.parse::<AllowedOrigin>().is_err());
        wrong.map_or_else(|| given.describe(), |text| InputValue::Text(text).describe())
    }
}
