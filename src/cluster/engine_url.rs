//! Where the engine is, and who this node is to it: what `cluster.url` says. It knows no library that connects there.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::app::Secret;

/// The place of an engine, from `redis://user:password@host:6379/0` and its like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineUrl {
    /// What is at the other end.
    pub(crate) place: EnginePlace,
    /// Whether to speak TLS with it, and with its sentinels.
    pub(crate) tls: bool,
    /// Who this node is there.
    pub(crate) login: EngineLogin,
    /// The number of the database. Channels of publications are not of one; keys are.
    pub(crate) database: u32,
}

/// What is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnginePlace {
    /// One server.
    Server(EngineHost),
    /// One server, on this machine.
    Socket(PathBuf),
    /// The primary of this name, as these sentinels have it.
    Sentinel { sentinels: Vec<EngineHost>, primary: String },
    /// The nodes of a Redis Cluster, as any of these has them.
    Cluster(Vec<EngineHost>),
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineHost {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Who somebody is to an engine. Without a user, the engine's default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineLogin {
    /// The user's name.
    pub(crate) user: Option<String>,
    /// What the user has to show.
    pub(crate) password: Option<Secret>,
}

/// Why a text is no URL of an engine. As text, what it is: the end of "it must be …, got …". It has no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEngineUrl {
    /// There is no `://`.
    #[error("one without a scheme")]
    NoScheme,
    /// Nothing here speaks so.
    #[error("one with the unknown scheme {0:?}")]
    Scheme(String),
    /// There is no host where there has to be one, or it is none.
    #[error("one without a host, or with one that is none")]
    Host,
    /// Only sentinels and the nodes of a cluster may be several.
    #[error("one with several hosts, which need redis+sentinel:// or redis+cluster://")]
    Hosts,
    /// The port is no number from 1 to 65535.
    #[error("one whose port is none")]
    Port,
    /// The path is no number of a database.
    #[error("one whose path is no number of a database")]
    Database,
    /// A Redis Cluster has one database.
    #[error("one with a database, of which a Redis Cluster has only 0")]
    DatabaseOfCluster,
    /// Sentinels know several primaries.
    #[error("one of sentinels without the name of the primary, as in redis+sentinel://host:26379/mymaster")]
    NoPrimary,
    /// A socket has a path.
    #[error("one of a Unix socket without an absolute path, as in redis+unix:///run/redis/redis.sock")]
    NoPath,
    /// What follows `?` or `#` means nothing, but for the database of a Unix socket.
    #[error("one with a query or fragment, which mean nothing here")]
    Query,
    /// A part is not text once it is decoded, or has control characters.
    #[error("one with characters that cannot be in it")]
    Characters,
    /// The mask that stands for passwords.
    #[error("one with the mask that print-config writes in place of secrets")]
    Mask,
}

/// What stands for a password that is not shown.
const MASK: &str = "…";

/// The schemes: their names, and whether they stand for TLS.
const SCHEMES: [(&str, bool, EngineForm); 8] = [
    ("redis", false, EngineForm::Server),
    ("rediss", true, EngineForm::Server),
    ("redis+unix", false, EngineForm::Socket),
    ("unix", false, EngineForm::Socket),
    ("redis+sentinel", false, EngineForm::Sentinel),
    ("rediss+sentinel", true, EngineForm::Sentinel),
    ("redis+cluster", false, EngineForm::Cluster),
    ("rediss+cluster", true, EngineForm::Cluster),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineForm {
    Server,
    Socket,
    Sentinel,
    Cluster,
}

/// The ports where none is given: of a server, and of a sentinel.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What stands for itself in a user's name, a password and the name of a primary.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl EngineUrl {
    /// What is allowed, as the end of the sentence "it must be …".
    pub(crate) const EXPECTED: &str = "a URL such as \"redis://10.0.0.5:6379\", \"rediss://user:password@redis.example.com\", \
         \"redis+unix:///run/redis/redis.sock\", \"redis+sentinel://10.0.0.5,10.0.0.6/mymaster\" or \
         \"redis+cluster://10.0.0.5:6379,10.0.0.6:6379\"";

    /// Reads a URL.
    ///
    /// # Errors
    /// With what keeps it from being one.
    pub(crate) fn parse(text: &str) -> Result<Self, BadEngineUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadEngineUrl::NoScheme)?;
        let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
        let (_, tls, form) = known.ok_or_else(|| {
            // What is before the first `://` may be a password that somebody has put there.
            let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            let is_shown = scheme.len() <= 20 && scheme.chars().all(is_scheme);
            BadEngineUrl::Scheme(if is_shown { scheme.to_owned() } else { MASK.to_owned() })
        })?;
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (login_of(login)?, hosts),
            None => (EngineLogin::default(), authority),
        };
        let (path, query) = path.split_once('?').map_or((path, ""), |(path, query)| (path, query));
        if path.contains('#') || query.contains('#') {
            return Err(BadEngineUrl::Query);
        }
        let (place, database) = place_of(*form, hosts, path, query)?;
        Ok(EngineUrl { place, tls: *tls, login, database })
    }

    /// The whole of it, with the password.
    pub(crate) fn to_text(&self) -> String {
        let password = |secret: &Secret| utf8_percent_encode(secret.text(), ESCAPED).to_string();
        self.written(password)
    }

    fn written(&self, password: impl Fn(&Secret) -> String) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = self.login.user.as_deref().unwrap_or_default();
        let user = utf8_percent_encode(user, ESCAPED).to_string();
        let login = match &self.login.password {
            Some(secret) => format!("{user}:{}@", password(secret)),
            None if user.is_empty() => String::new(),
            None => format!("{user}@"),
        };
        let database = |before: &str| match self.database {
            0 => String::new(),
            number => format!("{before}{number}"),
        };
        match &self.place {
            EnginePlace::Server(host) => format!("{scheme}://{login}{host}{}", database("/")),
            EnginePlace::Socket(path) => {
                format!("{scheme}+unix://{login}{}{}", path.display(), database("?db="))
            }
            EnginePlace::Sentinel { sentinels, primary } => {
                let primary = utf8_percent_encode(primary, ESCAPED);
                format!("{scheme}+sentinel://{login}{}/{primary}{}", list(sentinels), database("/"))
            }
            EnginePlace::Cluster(hosts) => format!("{scheme}+cluster://{login}{}", list(hosts)),
        }
    }
}

/// Without the password: for the log, for errors, and for `print-config`.
impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(|_| MASK.to_owned()))
    }
}

impl fmt::Display for EngineHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineHost { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn list(hosts: &[EngineHost]) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `user`, `user:password` or `:password`.
fn login_of(text: &str) -> Result<EngineLogin, BadEngineUrl> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, rest)| (user, Some(rest)));
    if password == Some(MASK) {
        return Err(BadEngineUrl::Mask);
    }
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    let password = password.map(decoded).transpose()?.filter(|password| !password.is_empty());
    Ok(EngineLogin { user, password: password.map(Secret::new) })
}

fn place_of(
    form: EngineForm,
    hosts: &str,
    path: &str,
    query: &str,
) -> Result<(EnginePlace, u32), BadEngineUrl> {
    if form == EngineForm::Socket {
        let path = decoded(path)?;
        if !hosts.is_empty() || path.len() < 2 || path.ends_with('/') {
            return Err(BadEngineUrl::NoPath);
        }
        let database = match query.split_once('=') {
            None if query.is_empty() => 0,
            Some(("db", number)) => database_of(number)?,
            _ => return Err(BadEngineUrl::Query),
        };
        return Ok((EnginePlace::Socket(path.into()), database));
    }
    if !query.is_empty() {
        return Err(BadEngineUrl::Query);
    }
    let port = if form == EngineForm::Sentinel { SENTINEL_PORT } else { REDIS_PORT };
    let mut all: Vec<EngineHost> =
        hosts.split(',').map(|host| host_of(host, port)).collect::<Result<_, _>>()?;
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    match form {
        EngineForm::Cluster if !matches!(path, "" | "0") => Err(BadEngineUrl::DatabaseOfCluster),
        EngineForm::Cluster => Ok((EnginePlace::Cluster(all), 0)),
        EngineForm::Sentinel => {
            let (primary, database) = path.split_once('/').unwrap_or((path, ""));
            let primary = decoded(primary)?;
            if primary.is_empty() {
                return Err(BadEngineUrl::NoPrimary);
            }
            Ok((EnginePlace::Sentinel { sentinels: all, primary }, database_of(database)?))
        }
        EngineForm::Server | EngineForm::Socket => match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok((EnginePlace::Server(only), database_of(path)?)),
            (Some(_), false) => Err(BadEngineUrl::Hosts),
            (None, _) => Err(BadEngineUrl::Host),
        },
    }
}

fn database_of(text: &str) -> Result<u32, BadEngineUrl> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| BadEngineUrl::Database) }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn host_of(text: &str, port: u16) -> Result<EngineHost, BadEngineUrl> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']').ok_or(BadEngineUrl::Host)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| BadEngineUrl::Host)?;
            (address, rest)
        }
        None => {
            let (host, rest) = text.find(':').map_or((text, ""), |at| text.split_at(at));
            if host.is_empty() || !host.chars().all(is_name) {
                return Err(BadEngineUrl::Host);
            }
            (host, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => port,
        None => return Err(BadEngineUrl::Host),
        Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or(BadEngineUrl::Port)?,
    };
    Ok(EngineHost { host: host.to_owned(), port })
}

fn decoded(text: &str) -> Result<String, BadEngineUrl> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| BadEngineUrl::Characters)?;
    if decoded.contains(char::is_control) {
        return Err(BadEngineUrl::Characters);
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_written_as_it_is_read_and_shown_without_its_password() {
        for (text, whole, shown) in [
            ("redis://10.0.0.5", "redis://10.0.0.5:6379", "redis://10.0.0.5:6379"),
            (
                "REDISS://a:b@r.example.com:1/0",
                "rediss://a:b@r.example.com:1",
                "rediss://a:…@r.example.com:1",
            ),
            ("redis://:p%40%2F@[::1]:7/3", "redis://:p%40%2F@[::1]:7/3", "redis://:…@[::1]:7/3"),
            ("redis://a@h/", "redis://a@h:6379", "redis://a@h:6379"),
            ("redis://a:@h", "redis://a@h:6379", "redis://a@h:6379"),
            ("redis+unix:///run/r.sock", "redis+unix:///run/r.sock", "redis+unix:///run/r.sock"),
            (
                "unix://:p@/run/r.sock?db=2",
                "redis+unix://:p@/run/r.sock?db=2",
                "redis+unix://:…@/run/r.sock?db=2",
            ),
            (
                "redis+sentinel://a:b@s1,s2:7/my%20master/1",
                "redis+sentinel://a:b@s1:26379,s2:7/my%20master/1",
                "redis+sentinel://a:…@s1:26379,s2:7/my%20master/1",
            ),
            (
                "rediss+cluster://:p@c1,c2:7/0",
                "rediss+cluster://:p@c1:6379,c2:7",
                "rediss+cluster://:…@c1:6379,c2:7",
            ),
        ] {
            let url = EngineUrl::parse(text).unwrap_or_else(|bad| panic!("{text}: {bad}"));
            assert_eq!((url.to_text().as_str(), url.to_string().as_str()), (whole, shown));
            assert_eq!(EngineUrl::parse(whole).as_ref(), Ok(&url));
            assert!(!format!("{url:?}").contains("p@/"), "{url:?}");
        }
    }

    #[test]
    fn what_is_none_is_told_without_what_may_be_secret() {
        use BadEngineUrl as Bad;
        for (text, bad) in [
            ("", Bad::NoScheme),
            ("10.0.0.5:6379", Bad::NoScheme),
            ("amqp://hush@h", Bad::Scheme("amqp".to_owned())),
            ("hu sh://h", Bad::Scheme(MASK.to_owned())),
            ("redis://", Bad::Host),
            ("redis://a:hush@", Bad::Host),
            ("redis://a b", Bad::Host),
            ("redis://[::1", Bad::Host),
            ("redis://[x]:1", Bad::Host),
            ("redis://[::1]x", Bad::Host),
            ("redis://h:0", Bad::Port),
            ("redis://h:65536", Bad::Port),
            ("redis://h:", Bad::Port),
            ("redis://::1", Bad::Host),
            ("redis://a,b", Bad::Hosts),
            ("redis://h/x", Bad::Database),
            ("redis://h/-1", Bad::Database),
            ("redis://h?hush", Bad::Query),
            ("redis://h/0#hush", Bad::Query),
            ("redis+unix://h/run/r.sock", Bad::NoPath),
            ("redis+unix://", Bad::NoPath),
            ("redis+unix:///run/", Bad::NoPath),
            ("redis+unix:///r?pass=hush", Bad::Query),
            ("redis+sentinel://h", Bad::NoPrimary),
            ("redis+sentinel://h//1", Bad::NoPrimary),
            ("redis+sentinel://h/m/x", Bad::Database),
            ("redis+cluster://a,,b", Bad::Host),
            ("redis+cluster://a/1", Bad::DatabaseOfCluster),
            ("redis://a:%ff@h", Bad::Characters),
            ("redis://a:%0a@h", Bad::Characters),
            ("redis://a:…@h", Bad::Mask),
        ] {
            assert_eq!(EngineUrl::parse(text), Err(bad.clone()), "{text}");
            assert!(!bad.to_string().contains("hush"), "{text}");
        }
    }
}
