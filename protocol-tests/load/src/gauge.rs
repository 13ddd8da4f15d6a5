//! What the kernel says of a process: its CPU time and memory; and on which cores it may run.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A process, watched through `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system time of all its threads so far. The kernel states it in ticks of 10 ms, so a window of 2 s is
    /// measured to 0.5 %.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The second field is the program's name in parentheses, and may contain anything.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
        let ticks: Option<u64> =
            fields.and_then(|fields| fields.map(|ticks| ticks.parse::<u64>().ok()).sum());
        let ticks = ticks.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory, exact: the kernel's quick counters lag behind by some pages per core.
    pub(crate) fn resident_bytes(self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0))?;
        kilobytes(&rollup, "Rss:").ok_or(io::ErrorKind::InvalidData.into())
    }

    /// The most memory that was ever resident.
    pub(crate) fn peak_resident_bytes(self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        kilobytes(&status, "VmHWM:").ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// The value of a line such as `Rss:  12 kB`, in bytes.
fn kilobytes(lines: &str, name: &str) -> Option<u64> {
    let line = lines.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
}

/// Memory that the kernel holds for all TCP sockets of the machine, those of other programs included.
pub(crate) fn socket_buffer_bytes() -> io::Result<u64> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp =
        sockets.lines().find_map(|line| line.strip_prefix("TCP:")).and_then(|line| line.rsplit_once("mem "));
    let pages: u64 =
        tcp.and_then(|(_, pages)| pages.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// The cores that servers and the load run on.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) server: Vec<usize>,
    pub(crate) load: Vec<usize>,
}

impl Cores {
    /// The default: the server on the machine's first core, the load on its second. `None` where there is only one.
    pub(crate) fn apart() -> Option<Cores> {
        let allowed = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Some(Cores { server: vec![cores.next()?], load: vec![cores.next()?] })
    }

    /// Runs `start` with this thread on the server's cores, which the process it starts inherits, and moves the
    /// thread to the load's cores for good.
    pub(crate) fn start<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        move_to(&self.server)?;
        let started = start();
        move_to(&self.load)?;
        Ok(started)
    }
}

fn move_to(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Allows this process, and those it starts, as many open files as the system lets it.
pub(crate) fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let this = Process(std::process::id());
        let resident = this.resident_bytes().unwrap();
        assert!(resident > 100_000 && this.peak_resident_bytes().unwrap() >= resident);
        socket_buffer_bytes().unwrap();
        let (before, started) = (this.cpu().unwrap(), std::time::Instant::now());
        while this.cpu().unwrap() == before {
            assert!(started.elapsed() < Duration::from_secs(10), "working costs CPU time");
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Process(u32::MAX).cpu().is_err());
        assert!(Process(u32::MAX).resident_bytes().is_err());
    }
}
