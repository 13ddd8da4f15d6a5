//! The servers under load: started here, or running somewhere already.

mod certificate;
mod heliostat;
mod peers;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::gauge::{Cores, Process};
use crate::scenario::Needs;
use crate::wire::signature::App;
use certificate::Certificate;
pub(crate) use heliostat::{ADMIN_TOKEN, CROWD_KEY};

/// A server gets so long to accept its first connection.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What to run a scenario against.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// This tool's own writer of prepared frames.
    Ceiling {
        /// Write every message at once, instead of those of one turn together.
        each: bool,
        /// Check the signatures of publishes.
        signed: bool,
        /// Serve TLS.
        tls: bool,
        /// Make this mistake, for proving that it is found.
        fault: Option<String>,
    },
    /// The broker, at this path, with these arguments besides the configuration.
    Heliostat {
        program: PathBuf,
        arguments: Vec<String>,
        /// Serve TLS.
        tls: bool,
        /// With a channel of video.
        video: bool,
        /// With its admin listener.
        admin: bool,
    },
    /// sockudo, at this path.
    Sockudo { program: PathBuf },
    /// A shell command; `{port}` in it becomes the port it must listen on.
    Command { name: String, command: String },
    /// A server that runs already; without a process id its CPU time and memory are not known.
    Running { address: String, pid: u32 },
}

impl Kind {
    pub(crate) fn name(&self) -> &str {
        match self {
            Kind::Ceiling { signed: true, .. } => "ceiling-signed",
            Kind::Ceiling { each: true, .. } => "ceiling-each",
            Kind::Ceiling { tls: true, .. } => "ceiling-tls",
            Kind::Ceiling { .. } => "ceiling",
            Kind::Heliostat { tls: false, .. } => "heliostat",
            Kind::Heliostat { tls: true, .. } => "heliostat-tls",
            Kind::Sockudo { .. } => "sockudo",
            Kind::Command { name, .. } => name,
            Kind::Running { .. } => "running",
        }
    }

    /// The same over TLS, if it can be started so.
    pub(crate) fn over_tls(&self) -> Option<Kind> {
        let mut kind = self.clone();
        match &mut kind {
            Kind::Ceiling { tls, .. } | Kind::Heliostat { tls, .. } => *tls = true,
            Kind::Sockudo { .. } | Kind::Command { .. } | Kind::Running { .. } => return None,
        }
        Some(kind)
    }

    /// How it is started for a scenario; not at all if it cannot do what that needs.
    pub(crate) fn able(&self, needs: Needs) -> Option<Kind> {
        match (needs, self) {
            (Needs::Tls, _) => self.over_tls(),
            (Needs::Broker, Kind::Ceiling { .. }) => None,
            (Needs::Video | Needs::VideoTls, Kind::Ceiling { .. } | Kind::Heliostat { .. }) => {
                let mut kind = if needs == Needs::VideoTls { self.over_tls()? } else { self.clone() };
                if let Kind::Heliostat { video, .. } = &mut kind {
                    *video = true;
                }
                Some(kind)
            }
            (Needs::VideoBroker, Kind::Heliostat { .. }) => self.able(Needs::Video),
            (Needs::Console, Kind::Heliostat { .. }) => {
                let mut kind = self.clone();
                if let Kind::Heliostat { admin, .. } = &mut kind {
                    *admin = true;
                }
                Some(kind)
            }
            (Needs::Video | Needs::VideoTls | Needs::VideoBroker | Needs::Console, _) => None,
            (Needs::Broker | Needs::Deliveries, _) => Some(self.clone()),
        }
    }
}

/// Why a server cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The program is not there, or the system refused something.
    #[error("cannot start {what}: {error}")]
    Io { what: String, error: io::Error },
    /// It ended, or did not listen in time; with its last words.
    #[error("{what} does not listen after {} s: {words}", START_DEADLINE.as_secs())]
    Deaf { what: String, words: String },
}

/// A server that accepts connections. Ends with this value, if it was started here.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// How to reach it, if by TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) app: App,
    pub(crate) process: Process,
    /// Where it can be watched.
    pub(crate) admin: Option<SocketAddr>,
    /// It knows pictures for what they are.
    pub(crate) has_video: bool,
    child: Option<Started>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    directory: PathBuf,
    /// Kept open, so that the server may go on talking.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Server {
    pub(crate) fn start(kind: &Kind, app: &App, cores: Option<&Cores>) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::Io { what: kind.name().to_owned(), error };
        if let Kind::Running { address, pid } = kind {
            let address = address.trim_start_matches("http://").trim_end_matches('/');
            let address = address.to_socket_addrs().map_err(failed)?.next();
            let address = address.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
            let process = Process(*pid);
            return Ok(Server {
                address,
                tls: None,
                app: app.clone(),
                process,
                admin: None,
                has_video: false,
                child: None,
            });
        }
        let directory = new_directory().map_err(failed)?;
        let port = free_port().map_err(failed)?;
        let admin = match kind {
            Kind::Heliostat { admin: true, .. } => Some(free_port().map_err(failed)?),
            _ => None,
        };
        let tls = match kind {
            Kind::Heliostat { tls: true, .. } | Kind::Ceiling { tls: true, .. } => {
                Some(Certificate::new(&directory).map_err(failed)?)
            }
            _ => None,
        };
        let (mut command, announces) = match kind {
            Kind::Ceiling { each, signed, tls: _, fault } => {
                let mut command = Command::new(std::env::current_exe().map_err(failed)?);
                command.arg("ceiling").args(each.then_some("--each"));
                command.args(signed.then_some(["--secret", &app.secret]).into_iter().flatten());
                if let Some(tls) = &tls {
                    command.arg("--certificate").arg(&tls.certificate).arg("--key").arg(&tls.key);
                }
                command.args(fault.iter().flat_map(|fault| ["--fault", fault]));
                (command, true)
            }
            Kind::Heliostat { program, arguments, tls: _, video, admin: _ } => {
                let configuration = directory.join("heliostat.toml");
                let files = tls.as_ref().map(|tls| (tls.certificate.as_path(), tls.key.as_path()));
                fs::write(&configuration, heliostat::configuration(app, files, *video, admin))
                    .map_err(failed)?;
                let mut command = Command::new(program);
                command.arg("--config").arg(configuration).args(arguments);
                (command, true)
            }
            Kind::Sockudo { program } => {
                (peers::sockudo(program, &directory, port, app).map_err(failed)?, false)
            }
            Kind::Command { command, .. } => (peers::shell(command, port), false),
            Kind::Running { .. } => unreachable!("dealt with above"),
        };
        let words = File::create(directory.join("stderr")).map_err(failed)?;
        command.stdin(Stdio::null()).stderr(words);
        command.stdout(if announces { Stdio::piped() } else { Stdio::null() });
        let child = match cores {
            Some(cores) => cores.start(|| command.spawn()).and_then(|child| child),
            None => command.spawn(),
        };
        let mut child = child.map_err(failed)?;
        let stdout = child.stdout.take().map(BufReader::new);
        let mut started = Started { child, directory, _stdout: None };
        let address = match stdout {
            Some(mut stdout) => {
                let address = announced(&mut stdout);
                started._stdout = Some(stdout);
                address
            }
            None => answers(&mut started.child, SocketAddr::from(([127, 0, 0, 1], port))),
        };
        let Some(address) = address else {
            return Err(StartError::Deaf { what: kind.name().to_owned(), words: started.last_words() });
        };
        let has_video = matches!(kind, Kind::Heliostat { video: true, .. });
        let (process, tls) = (Process(started.child.id()), tls.map(|tls| tls.trusted));
        let admin = admin.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Ok(Server { address, tls, app: app.clone(), process, admin, has_video, child: Some(started) })
    }

    /// Has the broker remove its second app.
    pub(crate) fn remove_crowd(&self) -> io::Result<()> {
        let Some(Started { child, directory, .. }) = &self.child else {
            return Err(io::Error::other("only a broker that was started here is told to reload"));
        };
        let path = directory.join("heliostat.toml");
        let configuration = fs::read_to_string(&path)?;
        fs::write(&path, heliostat::without_crowd(&configuration))?;
        let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::HUP)?)
    }

    /// The end of what it logged, for a report of what went wrong.
    pub(crate) fn last_words(&self) -> String {
        self.child.as_ref().map(Started::last_words).unwrap_or_default()
    }
}

impl Started {
    fn last_words(&self) -> String {
        let words = fs::read(self.directory.join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&words[words.len().saturating_sub(600)..]).trim().to_owned()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Waits for the line in which a server says where it listens. It ends with the server's output, at the latest.
fn announced(stdout: &mut impl BufRead) -> Option<SocketAddr> {
    let mut line = String::new();
    while stdout.read_line(&mut line).ok()? > 0 {
        if let Some((_, url)) = line.split_once("listening on http") {
            let (_, url) = url.split_once("://")?;
            return url.split_whitespace().next()?.trim_end_matches('/').parse().ok();
        }
        line.clear();
    }
    None
}

/// Tries to connect until it works, the server ends, or the deadline passes.
fn answers(child: &mut Child, address: SocketAddr) -> Option<SocketAddr> {
    let started = Instant::now();
    while started.elapsed() < START_DEADLINE {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Some(address);
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn new_directory() -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("heliostat-load-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The broker that was built beside this tool.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.parent().unwrap_or(Path::new("")).join(name)
}
