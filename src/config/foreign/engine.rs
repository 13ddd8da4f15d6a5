//! What other servers are told of the engine between their nodes, put together: they name its host, its port and the rest one
//! by one, and all of it counts only where they are told to use it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::config::Origin;

/// What one name of another server says of the engine between its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum EnginePart {
    /// Whether it is used: with these values it is, with those it is not; with any other this is what to do instead.
    Switch {
        on: &'static [&'static str],
        off: &'static [&'static str],
        advice: &'static str,
    },
    /// All of it. Its parts count only where it says nothing of them.
    Url,
    /// A name or an address; `tls://` before it asks for TLS.
    Host,
    Port,
    Database,
    User,
    Password,
    /// What keeps it apart from what else is there.
    Prefix,
    /// Sentinels: JSON, an array of objects with `host` and `port`; or `host:port`, separated by commas.
    Sentinels,
    SentinelPassword,
    /// The name of the primary that the sentinels know.
    Primary,
    /// Whether it is a Redis Cluster.
    ClusterMode,
    /// The nodes of one, in the form of sentinels.
    ClusterNodes,
}

impl EnginePart {
    /// What it means here, for the documentation.
    #[cfg(test)]
    pub(super) fn here(self) -> String {
        let of_url = |what: &str| format!("{what} in `cluster.url`");
        match self {
            EnginePart::Switch { on, off, advice } => format!(
                "with `{}`, what is said of Redis below counts as `cluster.url`; with `{}`, as here; else a warning: {advice}",
                on.join("` or `"),
                off.join("` or `")
            ),
            EnginePart::Url => {
                "`cluster.url`; `tcp://` and `tls://` are `redis://` and `rediss://`".to_owned()
            }
            EnginePart::Host => of_url("the host, with TLS where `tls://` stands before it,"),
            EnginePart::Port => of_url("the port"),
            EnginePart::Database => of_url("the database"),
            EnginePart::User => "`cluster.username`".to_owned(),
            EnginePart::Password => "`cluster.password`".to_owned(),
            EnginePart::Prefix => "`cluster.prefix`".to_owned(),
            EnginePart::Sentinels => of_url("the sentinels"),
            EnginePart::SentinelPassword => "`cluster.sentinel_password`".to_owned(),
            EnginePart::Primary => of_url("the primary's name"),
            EnginePart::ClusterMode => of_url("`redis+cluster://`"),
            EnginePart::ClusterNodes => of_url("the nodes of a Redis Cluster"),
        }
    }
}

/// A setting that comes of the parts: its path, its value as the text of a variable of ours, and where it stood.
pub(in crate::config) type EngineSetting = (&'static str, String, Origin);

/// What was said so far.
#[derive(Default)]
pub(in crate::config) struct EngineParts {
    parts: BTreeMap<EnginePart, (String, Origin)>,
}

/// What they use where they are not told the primary's name.
const PRIMARY: &str = "mymaster";

impl EngineParts {
    /// Takes a part. Of one that is said by several names, the first counts.
    pub(in crate::config) fn put(&mut self, part: EnginePart, value: &str, origin: Origin) {
        self.parts.entry(part).or_insert_with(|| (value.to_owned(), origin));
    }

    /// What is to be done instead of what the switch says, where it is neither on nor off.
    pub(in crate::config) fn advice(&self) -> Option<(&Origin, &'static str)> {
        let (part, (value, origin)) = self.switch()?;
        match part {
            EnginePart::Switch { on, off, advice } if !on.contains(&value) && !off.contains(&value) => {
                Some((origin, advice))
            }
            _ => None,
        }
    }

    /// What was said besides the switch where that is not on: for nothing.
    pub(in crate::config) fn unused(&self) -> Vec<&Origin> {
        if self.is_on() {
            return Vec::new();
        }
        let besides = self.parts.iter().filter(|(part, _)| !matches!(part, EnginePart::Switch { .. }));
        besides.map(|(_, (_, origin))| origin).collect()
    }

    /// What counts, where the switch is on.
    pub(in crate::config) fn used(&self) -> Vec<&Origin> {
        if !self.is_on() {
            return Vec::new();
        }
        let url = self.text(EnginePart::Url);
        let counts = |part: &EnginePart| match part {
            EnginePart::Host | EnginePart::Port | EnginePart::Database => url.is_none(),
            EnginePart::User | EnginePart::Password => !url.is_some_and(|url| url.contains('@')),
            _ => true,
        };
        self.parts.iter().filter(|(part, _)| counts(part)).map(|(_, (_, origin))| origin).collect()
    }

    /// The settings that come of it, where the switch is on.
    pub(in crate::config) fn settings(&self) -> Vec<EngineSetting> {
        let Some((_, (_, switch))) = self.switch().filter(|_| self.is_on()) else { return Vec::new() };
        let url = match self.parts.get(&EnginePart::Url) {
            Some((url, origin)) => (url_of(url), origin),
            None => (self.composed(), self.parts.get(&EnginePart::Host).map_or(switch, |(_, origin)| origin)),
        };
        let has_login = url.0.contains('@');
        let mut settings = vec![("cluster.url", url.0, url.1.clone())];
        for (part, path) in [
            (EnginePart::User, "cluster.username"),
            (EnginePart::Password, "cluster.password"),
            (EnginePart::SentinelPassword, "cluster.sentinel_password"),
            (EnginePart::Prefix, "cluster.prefix"),
        ] {
            let is_of_login = matches!(part, EnginePart::User | EnginePart::Password);
            if let Some((value, origin)) = self.parts.get(&part).filter(|_| !(has_login && is_of_login)) {
                settings.push((path, value.clone(), origin.clone()));
            }
        }
        settings
    }

    fn switch(&self) -> Option<(EnginePart, (&str, &Origin))> {
        let found = self.parts.iter().find(|(part, _)| matches!(part, EnginePart::Switch { .. }));
        found.map(|(part, (value, origin))| (*part, (value.as_str(), origin)))
    }

    fn is_on(&self) -> bool {
        self.switch().is_some_and(
            |(part, (value, _))| matches!(part, EnginePart::Switch { on, .. } if on.contains(&value)),
        )
    }

    fn text(&self, part: EnginePart) -> Option<&str> {
        self.parts.get(&part).map(|(value, _)| value.as_str())
    }

    /// A URL of ours, without a login.
    fn composed(&self) -> String {
        let (host, tls) = match self.text(EnginePart::Host).unwrap_or("127.0.0.1") {
            host if host.starts_with("tls://") => (&host["tls://".len()..], true),
            host => (host.strip_prefix("tcp://").unwrap_or(host), false),
        };
        let scheme = if tls { "rediss" } else { "redis" };
        let host =
            if host.contains(':') && !host.contains(']') { format!("[{host}]") } else { host.to_owned() };
        let port = self.text(EnginePart::Port).map(|port| format!(":{port}")).unwrap_or_default();
        let database = self.text(EnginePart::Database).filter(|number| *number != "0");
        let database = database.map(|number| format!("/{number}")).unwrap_or_default();
        if let Some(sentinels) = self.text(EnginePart::Sentinels) {
            let primary = self.text(EnginePart::Primary).unwrap_or(PRIMARY);
            return format!("{scheme}+sentinel://{}/{primary}{database}", hosts(sentinels));
        }
        let is_cluster = matches!(self.text(EnginePart::ClusterMode), Some("1" | "true"));
        match self.text(EnginePart::ClusterNodes).map(hosts).filter(|nodes| !nodes.is_empty()) {
            Some(nodes) if is_cluster || self.text(EnginePart::ClusterMode).is_none() => {
                format!("{scheme}+cluster://{nodes}")
            }
            _ if is_cluster => format!("{scheme}+cluster://{host}{port}"),
            _ => format!("{scheme}://{host}{port}{database}"),
        }
    }
}

/// `[{"host": "a", "port": 1}, …]`, or `a:1,b:2`, as the latter.
fn hosts(text: &str) -> String {
    let Ok(Json::Array(items)) = serde_json::from_str(text) else { return text.replace(' ', "") };
    let host = |item: &Json| {
        let text = |name: &str| match item.get(name)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let host = text("host").or_else(|| item.as_str().map(str::to_owned)).unwrap_or_default();
        let host = if host.matches(':').count() > 1 { format!("[{host}]") } else { host };
        text("port").map_or(host.clone(), |port| format!("{host}:{port}"))
    };
    items.iter().map(host).collect::<Vec<_>>().join(",")
}

/// A URL as Laravel reads it: `tls://host?database=1`.
fn url_of(text: &str) -> String {
    let text = match text.split_once("://") {
        Some(("tcp", rest)) => format!("redis://{rest}"),
        Some(("tls", rest)) => format!("rediss://{rest}"),
        _ => text.to_owned(),
    };
    match text.split_once("?database=") {
        Some((before, number)) => format!("{}/{number}", before.trim_end_matches('/')),
        None => text,
    }
}
