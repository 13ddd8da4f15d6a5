//! An answer that is read as it comes: so it shows what is held back on the way.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::{Response, response};
use tokio::time::{Instant, timeout_at};

use super::stream::{ANSWER_BYTES, header_of};
use crate::outbound::client::with_causes;

/// An answer whose head has come.
pub(super) struct LiveAnswer {
    head: response::Parts,
    body: Incoming,
    text: Vec<u8>,
}

/// Why no more of it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoMore {
    /// Nothing has come by then.
    Silent,
    /// The connection has failed, or too much came.
    Failed(String),
}

impl LiveAnswer {
    pub(super) fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        LiveAnswer { head, body, text: Vec::new() }
    }

    pub(super) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// A header as text; empty if it did not come.
    pub(super) fn header(&self, name: &str) -> &str {
        header_of(&self.head, name)
    }

    /// What has come so far.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Waits until more has come; `false` at the end.
    ///
    /// # Errors
    /// If nothing has come by then.
    pub(super) async fn more(&mut self, deadline: Instant) -> Result<bool, NoMore> {
        loop {
            let next = timeout_at(deadline, self.body.frame()).await.map_err(|_| NoMore::Silent)?;
            let Some(frame) = next else { return Ok(false) };
            let frame = frame.map_err(|error| NoMore::Failed(with_causes(&error)))?;
            let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { continue };
            if self.text.len() + data.len() > ANSWER_BYTES {
                return Err(NoMore::Failed(format!("the answer is longer than {ANSWER_BYTES} bytes")));
            }
            self.text.extend_from_slice(data);
            return Ok(true);
        }
    }

    /// Waits for all of it; what has come by then will do.
    pub(super) async fn whole(mut self, deadline: Instant) -> (response::Parts, String) {
        while self.more(deadline).await.is_ok_and(|has_more| has_more) {}
        let text = self.text();
        (self.head, text)
    }
}
