//! A session over one of the HTTP fallbacks, as a client has it: it is opened, greeted, subscribes to a channel and hears that
//! it has.

use std::cell::Cell;
use std::time::Duration;

use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN};
use hyper::http::response;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use super::fallback_frames::SessionFrame;
use super::fallback_transport::FallbackTransport;
use super::live_answer::{LiveAnswer, NoMore};
use super::visit::Visit;

/// Polls of one session: a server that answers each at once with nothing is not asked for ever.
const MOST_POLLS: u32 = 32;

/// What every session needs to know.
#[derive(Clone, Copy)]
pub(super) struct SessionGround<'g> {
    pub(super) visit: &'g Visit,
    /// The page that is spoken for.
    pub(super) origin: Option<&'g str>,
    /// How long each part of it may take.
    pub(super) patience: Duration,
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Opening,
    Greeting,
    Subscription,
}

impl Awaited {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Awaited::Opening => "the frame that opens the session",
            Awaited::Greeting => "pusher:connection_established",
            Awaited::Subscription => "the answer to a subscription",
        }
    }

    /// Whether this frame is it.
    fn is(self, frame: &SessionFrame) -> bool {
        let has = |words: &str| match frame {
            SessionFrame::Messages(messages) => messages.iter().any(|message| message.contains(words)),
            _ => false,
        };
        match self {
            Awaited::Opening => *frame == SessionFrame::Opened,
            Awaited::Greeting => has("pusher:connection_established"),
            Awaited::Subscription => has("pusher_internal:subscription_succeeded"),
        }
    }
}

/// Why a session does not stand.
#[derive(Clone, Debug)]
pub(super) enum SessionFault {
    /// This did not come in time, and whether the head of the answer had that was to bring it.
    HeldBack { awaited: Awaited, has_head: bool, waited: Duration },
    /// The answer that was to bring it has ended.
    Ended { awaited: Awaited },
    /// What receives, or what sends, was refused like this.
    Refused { asked: &'static str, head: Box<response::Parts>, text: String },
    /// The answer is compressed.
    Compressed { encoding: String },
    /// The session was closed.
    Closed { code: u64, reason: String },
    /// There was no connection, or no HTTP on it.
    Failed { asked: &'static str, error: String },
}

/// A session.
pub(super) struct TriedSession<'g> {
    ground: SessionGround<'g>,
    transport: FallbackTransport,
    /// The path that its requests have in common.
    path: String,
    requests: Cell<u32>,
    /// What receives at this moment, and all that has come before it.
    receiving: Option<LiveAnswer>,
    before: String,
}

impl<'g> TriedSession<'g> {
    pub(super) fn new(ground: SessionGround<'g>, transport: FallbackTransport) -> Self {
        let server = rand::random::<u16>() % 1000;
        let session: String = (0..8).map(|_| char::from(b'a' + rand::random::<u8>() % 22)).collect();
        let path = if transport.is_native() {
            format!("/pusher/app/{}/{server}/{session}", ground.visit.app.key)
        } else {
            format!("/pusher/{server:03}/{session}")
        };
        TriedSession {
            ground,
            transport,
            path,
            requests: Cell::new(0),
            receiving: None,
            before: String::new(),
        }
    }

    /// Opens it, and has it greeted.
    ///
    /// # Errors
    /// If that does not come about.
    pub(super) async fn open(&mut self) -> Result<(), SessionFault> {
        self.hear(Awaited::Opening).await?;
        if !self.transport.is_native() {
            let path = format!("/app/{}?{}", self.ground.visit.app.key, introduction());
            self.send(&json!({ "path": path })).await?;
        }
        self.hear(Awaited::Greeting).await
    }

    /// Subscribes to a channel: what it sends arrives, and what the server says later comes, too.
    ///
    /// # Errors
    /// If it does not.
    pub(super) async fn subscribe(&mut self) -> Result<(), SessionFault> {
        let channel = format!("heliostat-doctor-{:08x}", rand::random::<u32>());
        self.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel } })).await?;
        self.hear(Awaited::Subscription).await
    }

    /// Waits until something comes that has not come before, or what receives ends: whether it ended as it should not.
    ///
    /// # Errors
    /// If nothing comes by then, which is no fault here.
    pub(super) async fn rest(&mut self, deadline: Instant) -> Result<Result<(), SessionFault>, NoMore> {
        // The rest of a poll that was answered is its end.
        if self.receiving.is_none() || !self.transport.is_stream() {
            match self.receive(deadline).await {
                Ok(answer) => self.receiving = Some(answer),
                Err(SessionFault::HeldBack { .. }) => return Err(NoMore::Silent),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let Some(answer) = &mut self.receiving else { return Err(NoMore::Silent) };
        let has_more = answer.more(deadline).await?;
        let ended = SessionFault::Ended { awaited: Awaited::Subscription };
        Ok(if has_more { Ok(()) } else { Err(ended) })
    }

    /// Waits for this.
    async fn hear(&mut self, awaited: Awaited) -> Result<(), SessionFault> {
        let deadline = Instant::now() + self.ground.patience;
        let held_back = |has_head| SessionFault::HeldBack { awaited, has_head, waited: self.ground.patience };
        let mut polls = 0;
        loop {
            for frame in self.frames() {
                if awaited.is(&frame) {
                    return Ok(());
                }
                if let SessionFrame::Closed(code, reason) = frame {
                    return Err(SessionFault::Closed { code, reason });
                }
            }
            let Some(answer) = &mut self.receiving else {
                polls += 1;
                if polls > MOST_POLLS {
                    return Err(held_back(true));
                }
                let answer = self.receive(deadline).await.map_err(|fault| match fault {
                    SessionFault::HeldBack { .. } => held_back(false),
                    fault => fault,
                })?;
                self.receiving = Some(answer);
                continue;
            };
            match answer.more(deadline).await {
                Ok(true) => {}
                // The first poll brings the opening, or is answered by something else.
                Ok(false) if self.transport.is_stream() || awaited == Awaited::Opening => {
                    return Err(SessionFault::Ended { awaited });
                }
                Ok(false) => {
                    self.before.push_str(&answer.text());
                    self.receiving = None;
                }
                Err(NoMore::Silent) => return Err(held_back(true)),
                Err(NoMore::Failed(error)) => {
                    return Err(SessionFault::Failed { asked: self.transport.receiving().1, error });
                }
            }
        }
    }

    fn frames(&self) -> Vec<SessionFrame> {
        let now = self.receiving.as_ref().map(LiveAnswer::text).unwrap_or_default();
        self.transport.format().frames(&format!("{}{now}", self.before))
    }

    /// Begins what receives, up to the head of its answer.
    async fn receive(&self, deadline: Instant) -> Result<LiveAnswer, SessionFault> {
        let (method, asked) = self.transport.receiving();
        let query = match asked {
            "htmlfile" | "jsonp" => format!("c=parent.heliostat&t={}", self.number()),
            _ if self.transport.is_native() => format!("{}&{}", introduction(), self.numbers()),
            _ => format!("t={}", self.number()),
        };
        let answer = self.ask((method, asked, &query), None, deadline).await?;
        if answer.status() != 200 {
            return Err(refused(asked, answer, deadline).await);
        }
        let encoding = answer.header(CONTENT_ENCODING.as_str());
        if self.transport.is_stream() && !["", "identity"].contains(&encoding) {
            return Err(SessionFault::Compressed { encoding: encoding.to_owned() });
        }
        Ok(answer)
    }

    async fn send(&self, message: &Json) -> Result<(), SessionFault> {
        let deadline = Instant::now() + self.ground.patience;
        let (asked, media_type) = self.transport.sending();
        let messages = json!([message.to_string()]).to_string();
        let body = if asked == "jsonp_send" {
            url::form_urlencoded::Serializer::new(String::new()).append_pair("d", &messages).finish()
        } else {
            messages
        };
        let query = if self.transport.is_native() { self.numbers() } else { format!("t={}", self.number()) };
        let answer = self.ask(("POST", asked, &query), Some((media_type, body)), deadline).await?;
        if (200..300).contains(&answer.status()) {
            Ok(())
        } else {
            Err(refused(asked, answer, deadline).await)
        }
    }

    async fn ask(
        &self,
        (method, asked, query): (&str, &'static str, &str),
        body: Option<(&str, String)>,
        deadline: Instant,
    ) -> Result<LiveAnswer, SessionFault> {
        let SessionGround { visit, origin, patience } = self.ground;
        let place = &visit.sockets;
        let url = place.at(&format!("{}/{asked}", self.path), query);
        // What browsers take, so that what compresses streams does so here, too. A poll comes whole all the same.
        let encodings = if self.transport.is_stream() { "gzip, deflate, br" } else { "identity" };
        let mut headers = vec![(ACCEPT_ENCODING.as_str(), encodings)];
        headers.extend(origin.map(|origin| (ORIGIN.as_str(), origin)));
        let media_type = body.as_ref().map(|(media_type, _)| *media_type);
        headers.extend(media_type.map(|media_type| (CONTENT_TYPE.as_str(), media_type)));
        let body = body.map(|(_, body)| body).unwrap_or_default();
        let exchange = visit.begin(place, method, &url, &headers, body);
        match timeout_at(deadline, exchange).await {
            Ok(Ok(response)) => Ok(LiveAnswer::of(response)),
            Ok(Err(error)) => Err(SessionFault::Failed { asked, error: error.to_string() }),
            Err(_) => {
                Err(SessionFault::HeldBack { awaited: Awaited::Opening, has_head: false, waited: patience })
            }
        }
    }

    /// What pusher-js gives its requests, so that no two are alike.
    fn numbers(&self) -> String {
        let number = self.number();
        format!("t={number}&n={number}")
    }

    fn number(&self) -> u32 {
        self.requests.set(self.requests.get() + 1);
        self.requests.get()
    }
}

fn introduction() -> &'static str {
    concat!("protocol=7&client=heliostat-doctor&version=", env!("CARGO_PKG_VERSION"))
}

async fn refused(asked: &'static str, answer: LiveAnswer, deadline: Instant) -> SessionFault {
    let (head, text) = answer.whole(deadline).await;
    SessionFault::Refused { asked, head: Box::new(head), text }
}
