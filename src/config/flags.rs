//! The command line's part of the configuration: the table of all flags, and what was given by them.
//!
//! A flag stands here and nowhere else: the command line, its help, the loading and the reference documentation read this
//! table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// One flag of the command line.
#[derive(Debug)]
pub(crate) struct Flag {
    /// With its dashes.
    pub name: &'static str,
    /// The letter that stands for it.
    pub short: Option<char>,
    /// What the help calls its value. Nothing of a flag that has none.
    pub value: &'static str,
    /// What the help says of it.
    pub help: &'static str,
    pub gives: Gives,
}

/// What a flag gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gives {
    /// The path of the configuration file.
    File,
    /// The value of this setting of the node, as text. It is read and complained of like a variable's.
    Setting(&'static str),
    /// The same of a setting that is a number, so that `-1` is a wrong value and not another flag.
    Number(&'static str),
    /// The admin listener, and where it listens if there is a value: a port, an address, or both.
    Admin,
    /// A pipe rule for the first app; it may be repeated.
    PipeRule,
    /// Development mode, whatever speaks against it.
    DevelopmentMode,
    /// That development mode is for other machines as well: all addresses, and the certificate of the file that it is given.
    Lan,
}

impl Gives {
    /// The setting whose value it is, if it is one.
    pub(super) fn setting(self) -> Option<&'static str> {
        match self {
            Gives::Setting(path) | Gives::Number(path) => Some(path),
            Gives::File | Gives::Admin | Gives::PipeRule | Gives::DevelopmentMode | Gives::Lan => None,
        }
    }
}

/// The flag of the configuration file.
pub(crate) const CONFIG: &str = "--config";

/// The flag of the address.
pub(crate) const HOST: &str = "--host";

/// The flag that insists on development mode.
pub(crate) const DEVELOPMENT: &str = "--development";

/// The flag of development mode for phones.
pub(crate) const LAN: &str = "--lan";

/// The flag of a pipe rule.
pub(super) const PIPE: &str = "--pipe";

/// The flag that tells a command where the running broker is.
pub(crate) const CONTROL_SOCKET: &str = "--control-socket";

/// The flag of the engine between nodes.
pub(crate) const CLUSTER: &str = "--cluster";

/// All flags, in the order of the help.
pub(crate) const FLAGS: &[Flag] = &[
    Flag {
        name: CONFIG,
        short: Some('c'),
        value: "FILE",
        help: "The configuration file (TOML)",
        gives: Gives::File,
    },
    Flag {
        name: HOST,
        short: None,
        value: "ADDRESS",
        help: "The IP address to listen on [default: 127.0.0.1]",
        gives: Gives::Setting("server.host"),
    },
    Flag {
        name: "--port",
        short: Some('p'),
        value: "PORT",
        help: "The TCP port; 0 takes any free one [default: 6001]",
        gives: Gives::Number("server.port"),
    },
    Flag {
        name: "--workers",
        short: None,
        value: "N",
        help: "Worker threads; 0 starts one per core [default: 0]",
        gives: Gives::Number("server.workers"),
    },
    Flag {
        name: "--path-prefix",
        short: None,
        value: "PATH",
        help: "Put before every path, such as /realtime [default: none]",
        gives: Gives::Setting("server.path_prefix"),
    },
    Flag {
        name: CONTROL_SOCKET,
        short: None,
        value: "PATH",
        help: "Where `heliostat reload` reaches the running broker: the path of a Unix socket [default: none]",
        gives: Gives::Setting("server.control_socket"),
    },
    Flag {
        name: "--admin",
        short: None,
        value: "ADDRESS",
        help: "Serve the admin listener, with metrics and readiness: on 127.0.0.1:9601, or on that port, address or both",
        gives: Gives::Admin,
    },
    Flag {
        name: CLUSTER,
        short: None,
        value: "URL",
        help: "Be one broker together with other nodes: the Redis between them, such as redis://10.0.0.5:6379",
        gives: Gives::Setting("cluster.url"),
    },
    Flag {
        name: PIPE,
        short: None,
        value: "RULE",
        help: "Forward what clients send: 'from:event=to' or 'from:event=to:other-event', for the first app; may be \
               repeated",
        gives: Gives::PipeRule,
    },
    Flag {
        name: "--log-format",
        short: None,
        value: "FORMAT",
        help: "The shape of log lines: human or json [default: human]",
        gives: Gives::Setting("logging.format"),
    },
    Flag {
        name: "--log-level",
        short: None,
        value: "LEVEL",
        help: "off, error, warn, info, debug, trace, or a filter such as info,heliostat::pipe=debug [default: info]",
        gives: Gives::Setting("logging.level"),
    },
    Flag {
        name: DEVELOPMENT,
        short: None,
        value: "",
        help: "Insist on development mode, although there is a file or other machines can reach the broker",
        gives: Gives::DevelopmentMode,
    },
    Flag {
        name: LAN,
        short: None,
        value: "",
        help: "With --development: for phones on the network, on all addresses and by HTTPS, with a certificate of its own \
               making",
        gives: Gives::Lan,
    },
];

/// The file that is read where none is named, if it is there.
pub(crate) const DEFAULT_FILE: &str = "heliostat.toml";

/// The address and the port in `0.0.0.0:9601`, `[::1]:9601`, `localhost`, `9601` or `:9601`; empty what is not there.
fn host_and_port(text: &str) -> [&str; 2] {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.rsplit_once(':') {
        None if is_number(text) => ["", text],
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => [host, port],
        _ => [text, ""],
    }
}

/// What the command line says of the configuration, as text; [`load`](super::load) reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The file to read where none is named, if it is there.
    pub default_file: Option<PathBuf>,
    /// Pipe rules for the first app.
    pub pipe: Vec<String>,
    /// Development mode is insisted on.
    pub development: bool,
    /// The values of settings, by the names of their flags.
    pub(crate) values: BTreeMap<&'static str, String>,
    /// The sockets that the process was started with.
    pub(crate) inherited: InheritedAddresses,
}

/// Where the TCP sockets listen that a process was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InheritedAddresses {
    /// All of them.
    pub(crate) all: Vec<IpAddr>,
    /// Those that may stand in the place of the main address: the first does that no listener is configured at.
    pub(crate) main: Vec<SocketAddr>,
    /// Those of the admin listener.
    pub(crate) admin: Vec<SocketAddr>,
}

impl Flags {
    /// Sets the value that `flag` gives a setting.
    pub(crate) fn set(&mut self, flag: &'static Flag, value: String) {
        self.values.insert(flag.name, value);
    }

    /// The value that the flag of this name gives a setting, if it was given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The names of all that were given.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        let is_given = |flag: &&Flag| match flag.gives {
            Gives::File => self.config.is_some(),
            Gives::Setting(_) | Gives::Number(_) | Gives::Admin | Gives::Lan => {
                self.values.contains_key(flag.name)
            }
            Gives::PipeRule => !self.pipe.is_empty(),
            Gives::DevelopmentMode => self.development,
        };
        FLAGS.iter().filter(is_given).map(|flag| flag.name)
    }

    /// Each flag that was given with a value for a setting: its name, the setting, and the value. In the order of the help.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        FLAGS.iter().flat_map(|flag| {
            let value = self.value(flag.name);
            let given = match flag.gives {
                Gives::Admin => value.map_or([None; 3], |value| {
                    let [host, port] = host_and_port(value);
                    [Some(("admin.enabled", "true")), Some(("admin.host", host)), Some(("admin.port", port))]
                }),
                // An address that is named counts.
                Gives::Lan => value.map_or([None; 3], |value| {
                    let host = if self.values.contains_key(HOST) { "" } else { "0.0.0.0" };
                    [
                        Some(("server.host", host)),
                        Some(("server.tls_certificate", value)),
                        Some(("server.tls_key", value)),
                    ]
                }),
                gives => [gives.setting().zip(value), None, None],
            };
            let has_parts = matches!(flag.gives, Gives::Admin | Gives::Lan);
            let is_given = move |(_, value): &(&str, &str)| !has_parts || !value.is_empty();
            given.into_iter().flatten().filter(is_given).map(|(path, value)| (flag.name, path, value))
        })
    }

    /// These, and [`DEFAULT_FILE`] where no file is named.
    pub(crate) fn or_default_file(self) -> Self {
        Flags { default_file: Some(DEFAULT_FILE.into()), ..self }
    }

    /// These, for a broker that was started with this file: it never reads another, nor does without.
    pub(crate) fn of_file(self, file: Option<PathBuf>) -> Self {
        Flags { config: file.or(self.config), default_file: None, ..self }
    }

    /// These, for a process that was started with sockets at these addresses.
    pub(crate) fn at(self, inherited: InheritedAddresses) -> Flags {
        Flags { inherited, ..self }
    }

    /// These, and others that were given later and have the last word.
    pub(crate) fn and(mut self, later: Flags) -> Flags {
        self.config = later.config.or(self.config);
        self.default_file = later.default_file.or(self.default_file);
        self.pipe.extend(later.pipe);
        self.development |= later.development;
        self.values.extend(later.values);
        self
    }

    /// These, and a value for the setting of the flag of this name.
    #[cfg(test)]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let flag = FLAGS
            .iter()
            .find(|flag| flag.name == name && (flag.gives.setting().is_some() || flag.gives == Gives::Admin));
        self.set(flag.unwrap_or_else(|| panic!("{name} gives no setting")), value.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_phones_all_addresses_are_listened_on_unless_one_is_named() {
        let mut flags = Flags::default();
        flags.values.insert(LAN, "/d/lan.pem".to_owned());
        let given = |flags: &Flags| -> Vec<(String, String)> {
            flags.settings().map(|(_, path, value)| (path.to_owned(), value.to_owned())).collect()
        };
        let certificate = [("server.tls_certificate", "/d/lan.pem"), ("server.tls_key", "/d/lan.pem")]
            .map(|(path, value)| (path.to_owned(), value.to_owned()));
        let all = ("server.host".to_owned(), "0.0.0.0".to_owned());
        assert_eq!(given(&flags), [&[all][..], &certificate].concat());
        let named = ("server.host".to_owned(), "192.0.2.1".to_owned());
        assert_eq!(given(&flags.with("--host", "192.0.2.1")), [&[named][..], &certificate].concat());
    }

    #[test]
    fn the_admin_listener_takes_an_address_a_port_or_both() {
        for (value, host, port) in [
            ("", None, None),
            ("9602", None, Some("9602")),
            (":9602", None, Some("9602")),
            ("0.0.0.0", Some("0.0.0.0"), None),
            ("0.0.0.0:9602", Some("0.0.0.0"), Some("9602")),
            ("localhost:0", Some("localhost"), Some("0")),
            ("::1", Some("::1"), None),
            ("[::1]", Some("[::1]"), None),
            ("[::1]:9602", Some("[::1]"), Some("9602")),
            ("x:y", Some("x"), Some("y")),
        ] {
            let flags = Flags::default().with("--admin", value);
            let given: BTreeMap<_, _> = flags.settings().map(|(_, path, value)| (path, value)).collect();
            assert_eq!(given.get("admin.enabled"), Some(&"true"), "{value}");
            let rest = (given.get("admin.host").copied(), given.get("admin.port").copied());
            assert_eq!(rest, (host, port), "{value}");
        }
        assert_eq!(Flags::default().settings().count(), 0);
    }
}
