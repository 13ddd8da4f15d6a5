//! Which system calls a server makes, counted by `strace`, which has to be installed. Tracing slows a server many
//! times over, so it is never on while anything else is measured.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::gauge::Process;

/// Calls by name, most frequent first.
pub(crate) type Calls = Vec<(String, u64)>;

/// A running `strace -c`.
#[derive(Debug)]
pub(crate) struct Trace {
    strace: Child,
    summary: PathBuf,
    _stderr: BufReader<ChildStderr>,
}

impl Trace {
    /// Begins to count; returns when it does.
    pub(crate) fn start(process: Process) -> io::Result<Self> {
        let summary = std::env::temp_dir().join(format!("heliostat-load-strace-{}", process.0));
        let mut strace = Command::new("strace")
            .args(["-c", "-f", "-U", "name,calls", "-S", "calls", "-p", &process.0.to_string(), "-o"])
            .arg(&summary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = BufReader::new(strace.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut said = String::new();
        while !said.contains(" attached") {
            if stderr.read_line(&mut said)? == 0 {
                return Err(io::Error::other(format!("strace ended: {}", said.trim())));
            }
        }
        Ok(Trace { strace, summary, _stderr: stderr })
    }

    /// Ends the counting.
    pub(crate) fn stop(mut self) -> io::Result<Calls> {
        let pid = rustix::process::Pid::from_child(&self.strace);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        self.strace.wait()?;
        let summary = fs::read_to_string(&self.summary)?;
        fs::remove_file(&self.summary)?;
        Ok(calls(&summary))
    }
}

/// Reads the two columns that were asked for, leaving out headings and the total.
fn calls(summary: &str) -> Calls {
    let rows = summary.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (name, count) = (columns.next()?, columns.next()?.parse().ok()?);
        (columns.next().is_none() && name != "total").then(|| (name.to_owned(), count))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read() {
        let summary = "syscall              calls\n-------------------- ---------\nsendto                  1200\n\
                       epoll_wait                 7\n-------------------- ---------\ntotal                   1207\n";
        assert_eq!(calls(summary), [("sendto".to_owned(), 1200), ("epoll_wait".to_owned(), 7)]);
    }
}
