//! Addresses, paths and URLs: where something is.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::{InputValue, ValueType, quote};
use crate::app::AllowedOrigin;
use crate::net::{ListenAddress, ListenHost};

/// The address to listen on.
#[derive(Clone)]
pub(in crate::config) struct Host;

impl ValueType for Host {
    type Value = ListenHost;

    fn read(&self, given: &InputValue<'_>) -> Option<ListenHost> {
        match given.text()? {
            "localhost" => Some(ListenHost::Localhost),
            text => {
                let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
                bare.parse().ok().map(ListenHost::Address)
            }
        }
    }

    fn expected(&self) -> String {
        "an IP address without a port, such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\", or \"localhost\""
            .to_owned()
    }

    fn write(&self, value: &ListenHost) -> String {
        quote(&value.to_string())
    }
}

/// A place to listen: an address with its port, or the path of a Unix socket.
#[derive(Clone)]
pub(in crate::config) struct ListenPlace;

/// Bytes of the path of a Unix socket, as far as every system takes it.
const SOCKET_PATH_BYTES: usize = 103;

impl ValueType for ListenPlace {
    type Value = ListenAddress;

    fn read(&self, given: &InputValue<'_>) -> Option<ListenAddress> {
        let text = given.text()?;
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = !path.is_empty() && path.len() <= SOCKET_PATH_BYTES && !path.contains('\0');
            return fits.then(|| ListenAddress::Unix(path.into()));
        }
        match text.strip_prefix("localhost:") {
            Some(port) => Some(ListenAddress::Tcp(ListenHost::Localhost, port.parse().ok()?)),
            None => text.parse::<SocketAddr>().ok().map(ListenAddress::from),
        }
    }

    fn expected(&self) -> String {
        format!(
            "an IP address with a port, such as \"10.0.0.1:6002\" or \"[::1]:6001\", \"localhost\" with one, or \"unix:\" \
             and a path of at most {SOCKET_PATH_BYTES} bytes"
        )
    }

    fn write(&self, value: &ListenAddress) -> String {
        quote(&value.to_string())
    }
}

/// The permissions of a file.
#[derive(Clone)]
pub(in crate::config) struct FileMode;

impl ValueType for FileMode {
    type Value = u32;

    fn read(&self, given: &InputValue<'_>) -> Option<u32> {
        let text = given.text()?;
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o777)
    }

    fn expected(&self) -> String {
        "permissions in octal digits, as text, such as \"0660\"".to_owned()
    }

    fn write(&self, value: &u32) -> String {
        quote(&format!("{value:04o}"))
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

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": { "type": "string" } })
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

/// Names of hosts, without ports. A variable has them separated by commas.
#[derive(Clone)]
pub(in crate::config) struct HostNames;

impl HostNames {
    fn is_one(name: &str) -> bool {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && name.chars().all(allowed)
    }
}

impl ValueType for HostNames {
    type Value = Vec<String>;

    fn read(&self, given: &InputValue<'_>) -> Option<Vec<String>> {
        let names = given.texts()?.into_iter();
        names.map(|name| HostNames::is_one(name).then(|| name.to_ascii_lowercase())).collect()
    }

    fn expected(&self) -> String {
        "a list of host names without ports, such as \"admin.example.com\"".to_owned()
    }

    fn write(&self, value: &Vec<String>) -> String {
        let names: Vec<_> = value.iter().map(|name| quote(name)).collect();
        format!("[{}]", names.join(", "))
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        let names = given.texts().unwrap_or_default();
        let wrong = names.iter().find(|name| !HostNames::is_one(name));
        wrong.map_or_else(|| given.describe(), |name| InputValue::Text(name).describe())
    }
}
