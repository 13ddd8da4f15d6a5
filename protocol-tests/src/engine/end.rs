//! The end of a child process when this one ends, however it does.

use std::process::{Child, Command, Stdio};

/// Ends a process as soon as this one is gone, also where nothing is dropped any more: at a kill, or in a static.
#[derive(Debug)]
pub struct EndsWithUs(Option<Child>);

impl EndsWithUs {
    /// Watches over a child of this process.
    ///
    /// # Panics
    /// If there is no shell.
    #[must_use]
    pub fn guard(pid: u32) -> EndsWithUs {
        // Its input ends with this process. It then ends the child, if that is still a child of whom nobody knows.
        let script = r#"read -r released; [ -n "$released" ] || kill -9 "$0""#;
        let guard = Command::new("sh")
            .args(["-c", script, &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        EndsWithUs(Some(guard))
    }
}

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        let Some(mut guard) = self.0.take() else { return };
        // It ends before the child does, so that it never ends another process of the same number.
        let _ = guard.kill();
        let _ = guard.wait();
    }
}
