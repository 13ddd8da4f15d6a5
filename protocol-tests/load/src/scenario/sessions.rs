//! Sessions of XHR polling, which need no socket to be there: so there can be very many at once, for a moment.

use std::io::{Read, Write};
use std::time::Duration;

use super::Stage;
use crate::clients::Broken;
use crate::run::Outcome;
use crate::talker::connect;

/// Requests that are written before their answers are read.
const PIPELINED: usize = 100;

/// So many are begun, heard of no more, and given up by the broker after its `session_timeout_seconds`.
pub(super) fn burst(stage: &Stage<'_>, sessions: usize) -> Result<Outcome, Broken> {
    let later = Duration::from_millis(if stage.quick { 100 } else { 8000 });
    let (address, key, process) = (stage.server.address, &stage.server.app.key, stage.server.process);
    let sessions = stage.scaled(sessions);
    let empty = process.resident_bytes()?;
    let mut stream = connect(address)?;
    let mut buffer = vec![0; 256 * 1024];
    for first in (0..sessions).step_by(PIPELINED) {
        let mut requests = String::new();
        let numbers = first..sessions.min(first + PIPELINED);
        for number in numbers.clone() {
            requests += &format!(
                "POST /pusher/app/{key}/1/burst{number}/xhr?protocol=7&client=js&version=8.4.0 HTTP/1.1\r\n\
                 Host: {address}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        stream.write_all(requests.as_bytes())?;
        let (mut answered, mut heard) = (0, Vec::new());
        while answered < numbers.len() {
            match stream.read(&mut buffer)? {
                0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
                count => heard.extend_from_slice(&buffer[..count]),
            }
            answered = memchr::memmem::find_iter(&heard, "HTTP/1.1 200").count();
        }
    }
    std::thread::sleep(later);
    let mut outcome = Outcome::default();
    outcome.add("8_s_later_bytes", process.resident_bytes()?.saturating_sub(empty) as f64);
    outcome.add("peak_bytes", process.peak_resident_bytes()?.saturating_sub(empty) as f64);
    Ok(outcome)
}
