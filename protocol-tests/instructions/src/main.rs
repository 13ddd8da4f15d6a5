//! `heliostat-instructions`: counts the instructions of the hot paths and compares them with their budgets.

use std::process::{Command, ExitCode};
use std::{fs, io};

use clap::Parser;

use heliostat_instructions::budgets::{Budgets, NeedsReason, REASONS_HEADING, Verdict, with_reasons};
use heliostat_instructions::count::{NotCounted, instructions, surroundings};
use heliostat_instructions::paths::{HOT_PATHS, HotPath, path};

const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.toml");
const REASONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");

/// Counts the instructions of the broker's hot paths and compares them with their budgets.
///
/// Exit status: 0 if every path keeps its budget, 1 if one does not, 2 if there is no count.
#[derive(Debug, Parser)]
enum Arguments {
    /// Count every path and compare
    Check {
        /// Take the counts as the new budgets. Refuses to raise one
        #[arg(long)]
        update: bool,
        /// With --update: raise budgets too, and write the reason into docs/performance.md
        #[arg(long, requires = "update", value_name = "REASON")]
        raise: Option<String>,
    },
    /// Do the work of one path, to be counted from outside
    Run {
        /// Its name
        #[arg(value_parser = hot_path)]
        path: &'static HotPath,
        /// How often
        repetitions: usize,
    },
    /// Tell which functions the instructions of a path are spent in (build with symbols for their names)
    Profile {
        /// Its name
        #[arg(value_parser = hot_path)]
        path: &'static HotPath,
        /// Where callgrind's own file goes, for `callgrind_annotate` or KCachegrind
        output: String,
    },
}

/// There is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    NotCounted(#[from] NotCounted),
    #[error("the budgets are for the release profile: build with --release")]
    Debug,
    #[error("{BUDGETS}: {0}")]
    Budgets(String),
    #[error("{0}: {1}")]
    File(&'static str, io::Error),
    #[error(transparent)]
    NeedsReason(#[from] NeedsReason),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments::Check { update, raise } => check(update, raise.as_deref()),
        Arguments::Profile { path, output } => profile(path, &output),
        Arguments::Run { path, repetitions } => {
            (path.run)(repetitions);
            Ok(true)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("heliostat-instructions: {error}");
            ExitCode::from(2)
        }
    }
}

fn hot_path(name: &str) -> Result<&'static HotPath, String> {
    let names: Vec<_> = HOT_PATHS.iter().map(|path| path.name).collect();
    path(name).ok_or_else(|| format!("the paths are {}", names.join(", ")))
}

/// Counts and compares; `false` if a path does not keep its budget.
fn check(update: bool, raise: Option<&str>) -> Result<bool, Error> {
    if cfg!(debug_assertions) {
        return Err(Error::Debug);
    }
    let mut budgets = Budgets::parse(&read(BUDGETS)?).map_err(Error::Budgets)?;
    let surroundings = surroundings();
    if !cfg!(target_arch = "x86_64") {
        println!("The budgets are for x86_64: the counts are shown, and not judged.");
    }
    let mut counts = Vec::new();
    for path in &HOT_PATHS {
        counts.push((path.name, instructions(path)?));
    }
    if update {
        let reasons = budgets.update(&counts, &surroundings, raise)?;
        if !reasons.is_empty() {
            let document =
                if fs::exists(REASONS).unwrap_or(true) { read(REASONS)? } else { "# Performance".into() };
            write(REASONS, &with_reasons(&document, &reasons))?;
        }
        write(BUDGETS, &budgets.to_text())?;
    }
    Ok(report(&budgets, &counts, &surroundings) || !cfg!(target_arch = "x86_64"))
}

/// Prints the table, and what to do about it.
fn report(budgets: &Budgets, counts: &[(&str, f64)], surroundings: &str) -> bool {
    let tolerance = budgets.tolerance(surroundings);
    let reasons = fs::read_to_string(REASONS).unwrap_or_default();
    println!("{:<24}{:>14}{:>14}{:>9}", "path", "instructions", "budget", "");
    let mut verdicts = Vec::new();
    for &(path, count) in counts {
        let verdict = budgets.judge(path, count, tolerance, &reasons);
        let remark = match verdict {
            Verdict::Within => "",
            Verdict::WellBelow => "lower the budget",
            Verdict::Over => "OVER",
            Verdict::Unexplained => "RAISED, no reason given",
            Verdict::Unrecorded => "NO BUDGET",
        };
        match budgets.paths.get(path) {
            Some(budget) => {
                let percent = 100.0 * count / budget.budget;
                println!("{path:<24}{count:>14.1}{:>14.1}{percent:>7.1} %  {remark}", budget.budget);
            }
            None => println!("{path:<24}{count:>14.1}{:>14}{:>9}  {remark}", "", ""),
        }
        verdicts.push(verdict);
    }
    println!("\ncounted with   {surroundings}");
    if budgets.counted_with != surroundings {
        println!("budgets are of {}", budgets.counted_with);
        println!("The two differ, so {:.0} % over a budget are tolerated here.", 100.0 * tolerance);
    }
    advise(&verdicts);
    !verdicts.iter().any(|verdict| verdict.fails())
}

fn advise(verdicts: &[Verdict]) {
    const CHECK: &str = "protocol-tests/instructions/check";
    let has = |verdict| verdicts.contains(&verdict);
    if has(Verdict::WellBelow) || has(Verdict::Unrecorded) {
        println!("To take the counts as budgets: {CHECK} --update");
    }
    if has(Verdict::Over) {
        println!("A path takes more than it may. What it spends them on: {CHECK} --profile PATH");
        println!("If they are well spent: {CHECK} --update --raise \"the reason\"");
        println!("That writes the reason under \"{REASONS_HEADING}\" in docs/performance.md.");
    }
    if has(Verdict::Unexplained) {
        println!(
            "A budget above its lowest needs a line under \"{REASONS_HEADING}\" in docs/performance.md:"
        );
        println!("* `path` from OLD to NEW: the reason");
    }
}

/// Leaves a profile in `output`; `false` if valgrind failed.
fn profile(path: &HotPath, output: &str) -> Result<bool, Error> {
    let program = std::env::current_exe().map_err(NotCounted::NoValgrind)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={output}")]);
    command.arg(program).args(["run", path.name, &path.repetitions.to_string()]);
    Ok(command.status().map_err(NotCounted::NoValgrind)?.success())
}

fn read(file: &'static str) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|error| Error::File(file, error))
}

fn write(file: &'static str, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(|error| Error::File(file, error))
}
