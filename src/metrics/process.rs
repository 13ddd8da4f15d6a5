//! What the system knows of the process: processor time, memory, open files. The names are those that every exporter uses.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::catalogue::{
    PROCESS_CPU, PROCESS_MAX_FILES, PROCESS_OPEN_FILES, PROCESS_RESIDENT, PROCESS_START, PROCESS_VIRTUAL,
};
use super::snapshot::Snapshot;

/// Tells what the system tells. What it does not tell is left out.
pub(super) fn collect(snapshot: &mut Snapshot) {
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        snapshot.tell(PROCESS_MAX_FILES, limit);
    }
    if let Some(open) = open_files() {
        snapshot.tell(PROCESS_OPEN_FILES, open);
    }
    let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| ProcessStat::parse(&text))
    else {
        return;
    };
    let ticks = clock_ticks_per_second().max(1) as f64;
    snapshot.tell(PROCESS_CPU, stat.cpu_ticks as f64 / ticks);
    snapshot.tell(PROCESS_RESIDENT, stat.resident_pages * page_size() as u64);
    snapshot.tell(PROCESS_VIRTUAL, stat.virtual_bytes);
    let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
    if let Some(boot) = boot {
        snapshot.tell(PROCESS_START, boot as f64 + stat.start_ticks as f64 / ticks);
    }
}

/// Files that the process has open. New kernels tell their number; with others they are counted.
fn open_files() -> Option<u64> {
    const OPEN: &str = "/proc/self/fd";
    match fs::metadata(OPEN).ok()?.len() {
        0 => Some(fs::read_dir(OPEN).ok()?.count() as u64),
        open => Some(open),
    }
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl ProcessStat {
    /// The name of the program, in brackets, may hold anything; the fields are counted from behind it.
    fn parse(text: &str) -> Option<Self> {
        let (_, behind_name) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
        // The first of them is the third of the line.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(ProcessStat {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the system was started, in seconds since 1970, by `/proc/stat`.
fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_program_is_called() {
        let text = "42 (a) S (b) R 1 42 42 0 -1 4194304 9 0 0 0 150 25 0 0 20 0 4 0 5000 1000000 300 18446744073709551615";
        let expected =
            ProcessStat { cpu_ticks: 175, start_ticks: 5000, virtual_bytes: 1_000_000, resident_pages: 300 };
        assert_eq!(ProcessStat::parse(text), Some(expected));
        for bad in
            ["", "42 (a", "42 (a) R 1 2", "42 (a) R 1 42 42 0 -1 4194304 9 0 0 0 x 25 0 0 20 0 4 0 5000 1 3"]
        {
            assert_eq!(ProcessStat::parse(bad), None, "{bad:?}");
        }
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_them_all() {
        let mut snapshot = Snapshot::default();
        collect(&mut snapshot);
        let names: Vec<&str> = snapshot.families.iter().map(|family| family.metric.name).collect();
        for metric in [PROCESS_CPU, PROCESS_OPEN_FILES, PROCESS_RESIDENT, PROCESS_START, PROCESS_VIRTUAL] {
            assert!(names.contains(&metric.name), "{} of {names:?}", metric.name);
        }
    }
}
