//! Curves: how a cost grows as the work grows. Measured point by point, printed as a table, and drawn.

mod picture;
mod points;
mod record;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::clients::Broken;
use crate::gauge::{Cores, raise_file_limit};
use crate::ledger::Faults;
use crate::scenario::Stage;
use crate::server::{Kind, Server, sibling};
use crate::wire::signature::App;
use record::{Line, Series};

/// One cost, over one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Curve {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What grows.
    pub(crate) size: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) sizes: &'static [usize],
    /// Beyond this size one run is enough, because it takes long.
    pub(crate) once_beyond: usize,
    /// Whether the ceiling can do it.
    pub(crate) has_ceiling: bool,
    pub(crate) measure: fn(&Stage<'_>, usize) -> Measured,
}

/// One measurement, and what went wrong meanwhile.
pub(crate) type Measured = Result<(f64, Faults), Broken>;

/// What is asked of [`run`].
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Curves, separated by commas
    #[arg(long, default_value = "all", value_delimiter = ',')]
    curve: Vec<String>,
    /// Runs of each point, the servers taking turns
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds in which things are counted
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// A smoke run: the two smallest sizes of each curve, once, for 0.1 seconds. Its figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Do not pin the server and the load to different cores
    #[arg(long)]
    no_pin: bool,
    /// Only the ceiling, where it can do it
    #[arg(long, hide = true)]
    ceiling_only: bool,
    /// The heliostat program, instead of the one built beside this tool
    #[arg(long)]
    heliostat: Option<PathBuf>,
    /// Where to keep what was measured; points that are there already are not measured again
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where to draw it, as SVG
    #[arg(long)]
    picture: Option<PathBuf>,
}

/// Why there are no curves.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("there is no curve `{0}`; there are: {1}")]
    Unknown(String, String),
    #[error("{0} at {1} against {2}: {3}")]
    Point(&'static str, usize, String, String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("two cores are needed to keep the server and the load apart; --no-pin runs them together")]
    OneCore,
}

/// Measures what is missing, prints the table, and draws the picture.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let curves = chosen(&arguments.curve)?;
    let cores = if arguments.no_pin { None } else { Some(Cores::apart().ok_or(Failed::OneCore)?) };
    raise_file_limit();
    let mut lines = match &arguments.data {
        Some(path) if path.exists() => record::read(&fs::read_to_string(path).map_err(of(path))?),
        _ => Vec::new(),
    };
    for curve in &curves {
        measure(arguments, curve, cores.as_ref(), &mut lines)?;
        if let Some(path) = &arguments.data {
            fs::write(path, record::written(&lines)).map_err(of(path))?;
        }
    }
    let drawn: Vec<(&Curve, Vec<Series>)> =
        curves.iter().map(|curve| (*curve, record::series(&lines, curve.name))).collect();
    for (curve, series) in &drawn {
        println!("{}", record::table(curve, series));
    }
    if let Some(path) = &arguments.picture {
        fs::write(path, picture::svg(&drawn)).map_err(of(path))?;
    }
    Ok(())
}

fn of(path: &Path) -> impl Fn(io::Error) -> Failed + '_ {
    |error| Failed::File(path.to_owned(), error)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Curve>, Failed> {
    let mut curves = Vec::new();
    for name in names {
        let before = curves.len();
        curves.extend(points::ALL.iter().filter(|curve| name == "all" || curve.name == name));
        if curves.len() == before {
            let known: Vec<_> = points::ALL.iter().map(|curve| curve.name).collect();
            return Err(Failed::Unknown(name.clone(), known.join(", ")));
        }
    }
    Ok(curves)
}

fn measure(
    arguments: &Arguments,
    curve: &'static Curve,
    cores: Option<&Cores>,
    lines: &mut Vec<(Line, f64)>,
) -> Result<(), Failed> {
    let ceiling = Kind::Ceiling { each: false, signed: false, tls: false, fault: None };
    let heliostat = Kind::Heliostat {
        program: arguments.heliostat.clone().unwrap_or_else(|| sibling("heliostat")),
        arguments: Vec::new(),
        tls: false,
        video: false,
        admin: false,
    };
    let mut kinds = Vec::new();
    kinds.extend(curve.has_ceiling.then_some(ceiling));
    kinds.extend((!arguments.ceiling_only).then_some(heliostat));
    let sizes = if arguments.quick { &curve.sizes[..2] } else { curve.sizes };
    for size in sizes.iter().copied() {
        let runs = if arguments.quick || size > curve.once_beyond { 1 } else { arguments.runs };
        for run in 0..runs {
            for kind in &kinds {
                let line = Line { curve: curve.name.to_owned(), server: kind.name().to_owned(), size, run };
                if lines.iter().any(|(known, _)| *known == line) {
                    continue;
                }
                let value = point(arguments, curve, size, kind, cores)
                    .map_err(|words| Failed::Point(curve.name, size, kind.name().to_owned(), words))?;
                eprintln!("{}", record::written(&[(line.clone(), value)]).trim_end());
                lines.push((line, value));
            }
        }
    }
    Ok(())
}

/// One point, with a server of its own.
fn point(
    arguments: &Arguments,
    curve: &Curve,
    size: usize,
    kind: &Kind,
    cores: Option<&Cores>,
) -> Result<f64, String> {
    let app = App { id: "1001".to_owned(), key: "app-key".to_owned(), secret: "app-secret".to_owned() };
    let server = Server::start(kind, &app, cores).map_err(|error| error.to_string())?;
    let seconds = if arguments.quick { 0.1 } else { arguments.seconds };
    let stage = Stage { server: &server, seconds, quick: false, outstanding: 4, system_calls: false };
    let (value, faults) = (curve.measure)(&stage, size)
        .map_err(|broken| format!("{broken}; its last words: {}", server.last_words()))?;
    if faults.total() > 0 { Err(faults.to_string()) } else { Ok(value) }
}
