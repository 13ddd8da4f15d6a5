//! How much memory the process occupies, of how much there is for it: the machine's, or what a container may have.

use std::fs;
use std::path::PathBuf;

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// What it occupies.
    pub(super) used: u64,
    /// What there is for it.
    pub(super) total: u64,
}

impl Memory {
    /// As it is now; `None` where the system does not tell.
    pub(super) fn read() -> Option<Self> {
        let used = kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
        let machine = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
        let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = limit_files(&group).into_iter().filter_map(|path| fs::read_to_string(path).ok());
        let limits = limits.filter_map(|limit| limit.trim().parse::<u64>().ok());
        Some(Memory { used, total: limits.fold(machine, u64::min) })
    }

    /// How much of it is occupied, with two decimals.
    pub(super) fn percent(self) -> f64 {
        (self.used as f64 / self.total.max(1) as f64 * 10_000.0).round() / 100.0
    }
}

/// The bytes that a line such as `VmRSS:   1234 kB` tells.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    number.checked_mul(1024)
}

/// Where the limit of a control group may stand, that of the process and those around it, in both versions. `group` is
/// what `/proc/self/cgroup` says. What is no number there, such as `max`, is no limit.
fn limit_files(group: &str) -> Vec<PathBuf> {
    const ROOT: &str = "/sys/fs/cgroup";
    let mut files = vec![PathBuf::from(ROOT).join("memory/memory.limit_in_bytes")];
    let unified = group.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = PathBuf::from(ROOT).join(unified.unwrap_or_default());
    files.extend(
        path.ancestors().take_while(|path| path.starts_with(ROOT)).map(|path| path.join("memory.max")),
    );
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_system_are_read() {
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t    1234 kB\n", "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kibibytes("VmRSS:\t1234\n", "VmRSS:"), None);
        assert_eq!(kibibytes("", "VmRSS:"), None);
        let files = limit_files("0::/system.slice/x.service\n");
        let files: Vec<_> = files.iter().filter_map(|file| file.to_str()).collect();
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/system.slice/x.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(limit_files("3:cpu:/x\n").len(), 2);
    }

    #[test]
    fn there_is_some_of_it() {
        let Some(memory) = Memory::read() else { return };
        assert!(0 < memory.used && memory.used < memory.total, "{memory:?}");
        assert!(0.0 < memory.percent() && memory.percent() < 100.0);
        assert_eq!(Memory { used: 1, total: 3 }.percent(), 33.33);
    }
}
