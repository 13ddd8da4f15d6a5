//! A client of Redis, as small as tests need it: one command, one answer, and what is pushed in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::patience;

/// What Redis answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A word of the server's own.
    Simple(String),
    /// Why it does not do what it was asked.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value; none if there is none.
    Bulk(Option<Vec<u8>>),
    /// Several.
    Array(Vec<Reply>),
}

impl Reply {
    /// What it says, as text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Error(text) => text.clone(),
            Reply::Integer(number) => number.to_string(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned(),
            Reply::Array(items) => items.iter().map(Reply::text).collect::<Vec<_>>().join(" "),
        }
    }

    /// The texts of an array.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Reply::Array(items) => items.iter().map(Reply::text).collect(),
            other => vec![other.text()],
        }
    }

    /// The number that it is.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn integer(&self) -> i64 {
        self.text().parse().unwrap_or_else(|_| panic!("no number: {self:?}"))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    /// Connects; `None` if nobody listens.
    #[must_use]
    pub fn connect(port: u16) -> Option<Resp> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(patience().max(Duration::from_secs(10)))).ok()?;
        Some(Resp { stream: BufReader::new(stream) })
    }

    /// Sends a command and reads the answer.
    ///
    /// # Panics
    /// If the server has gone.
    #[track_caller]
    pub fn call(&mut self, command: &[&str]) -> Reply {
        self.call_bytes(&command.iter().map(|part| part.as_bytes()).collect::<Vec<_>>())
    }

    /// The same with parts of any bytes.
    ///
    /// # Panics
    /// If the server has gone.
    #[track_caller]
    pub fn call_bytes(&mut self, command: &[&[u8]]) -> Reply {
        self.try_call(command).unwrap_or_else(|error| panic!("no answer to {command:?}: {error}"))
    }

    /// The same, for a server that may not be there.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn try_call(&mut self, command: &[&[u8]]) -> std::io::Result<Reply> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            request.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            request.extend_from_slice(part);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.try_read()
    }

    /// What comes next, asked for or not.
    ///
    /// # Panics
    /// If nothing does.
    #[track_caller]
    pub fn read(&mut self) -> Reply {
        self.try_read().unwrap_or_else(|error| panic!("nothing comes: {error}"))
    }

    /// What comes within `wait`; `None` if nothing does.
    ///
    /// # Panics
    /// If the server has gone.
    #[track_caller]
    pub fn read_within(&mut self, wait: Duration) -> Option<Reply> {
        self.stream
            .get_ref()
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a read timeout");
        let quiet = self.stream.buffer().is_empty()
            && match self.stream.fill_buf() {
                Ok(bytes) => bytes.is_empty(),
                Err(_) => true,
            };
        let limit = patience().max(Duration::from_secs(10));
        self.stream.get_ref().set_read_timeout(Some(limit)).expect("a read timeout");
        (!quiet).then(|| self.read())
    }

    fn try_read(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).unwrap_or(("", ""));
        let length = rest.parse::<i64>().unwrap_or(-1);
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(length),
            "$" if length < 0 => Reply::Bulk(None),
            "$" => {
                let mut bytes = vec![0; length as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(length as usize);
                Reply::Bulk(Some(bytes))
            }
            "*" => Reply::Array((0..length.max(0)).map(|_| self.try_read()).collect::<Result<_, _>>()?),
            _ => return Err(std::io::Error::other(format!("no answer of Redis: {line:?}"))),
        })
    }
}
