//! One session: a conversation whose client comes and goes with requests.
//!
//! It is a task on the worker that its first request came to. What happens to it comes in as [`Visit`]s, and what it
//! has to say goes out by its [`Outlet`]. It ends when nobody has received for a while, and some seconds after its
//! final frame.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::vec;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tracing::field::display;
use tracing::info;

use super::Fallback;
use super::carrier::Prelude;
use super::endpoint::SessionName;
use super::introduction::Path;
use super::order::Order;
use super::outlet::Outlet;
use super::response::{Chunk, Receiver};
use super::sessions::Visit;
use crate::auth::request::Query;
use crate::connection::phase::Phase;
use crate::connection::{Probe, last_error};
use crate::http::Arrival;
use crate::hub::{Busy, Client, Due, Queued, Timed, Turn, come_again};
use crate::protocol::{CloseCode, Frame, ProtocolVersion};
use crate::transport::admission::{self, Introduction, Refused};
use crate::transport::conversation::{Begun, CLOSE_GRACE, Conversation};

/// What SockJS says to a second response while a first one receives.
const ANOTHER_RECEIVES: &str = "c[2010,\"Another connection still open\"]";

/// One session.
pub(super) struct Session {
    fallback: Rc<Fallback>,
    name: SessionName,
    visits: mpsc::Receiver<Visit>,
    outlet: Rc<Outlet>,
    /// The very first frame, until somebody is there to hear it.
    hello: Option<String>,
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    set_to: Option<(Deadline, Duration)>,
    /// Stands for that.
    due: Due,
    /// While it is polled: what it does comes before it is known what is waited for next.
    busy: Busy,
    order: Order<Sent>,
    /// While a send waits for its turn.
    held: Option<Pin<Box<Sleep>>>,
    /// The rest of a send whose turn has come.
    unheard: Option<Unheard>,
    queued: Queued,
}

/// Messages, in order, and who is told when they have been heard.
struct Sent {
    messages: Vec<String>,
    taken: oneshot::Sender<()>,
}

/// The messages of a send that have not been heard, in order.
struct Unheard {
    messages: vec::IntoIter<String>,
    taken: oneshot::Sender<()>,
}

/// When to look at the time again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// By the machine's clock.
    Machine(Instant),
    /// By the app's, for this.
    App(Instant, Timed),
}

enum Stage {
    /// SockJS: the client has not said yet what it wants.
    Introducing { until: Instant, arrival: Arrival },
    /// It has been admitted.
    Talking(Box<Talking>),
    /// The final frames are sent, or would be if somebody received. The very last is repeated to whoever asks.
    Over { frames: VecDeque<String>, until: Instant },
    /// There is nothing more to it.
    Ended,
}

struct Talking {
    client: Rc<Client<Rc<Outlet>>>,
    conversation: Conversation,
}

impl Session {
    /// A native session, whose first request says everything about its client.
    pub(super) fn native(
        fallback: &Rc<Fallback>,
        name: SessionName,
        visits: mpsc::Receiver<Visit>,
        key: &str,
        query: &Query,
        arrival: &Arrival,
    ) -> Self {
        let mut session = Session::new(fallback, name, visits, hello(&fallback.config.hostname));
        let introduction = Introduction { key: Ok(key.into()), query, arrival };
        // The client answers a heartbeat of a stream, and polls again after one.
        session.admit(&introduction, |_| Probe::ControlFrame);
        session
    }

    /// A session of SockJS, whose client will say in its first message what it wants.
    pub(super) fn sockjs(
        fallback: &Rc<Fallback>,
        name: SessionName,
        visits: mpsc::Receiver<Visit>,
        arrival: Arrival,
    ) -> Self {
        let mut session = Session::new(fallback, name, visits, "o".to_owned());
        let until = Instant::now() + fallback.config.introduction_timeout;
        session.stage = Stage::Introducing { until, arrival };
        session
    }

    fn new(fallback: &Rc<Fallback>, name: SessionName, visits: mpsc::Receiver<Visit>, hello: String) -> Self {
        let stream_bytes = match name {
            SessionName::Native { .. } => usize::MAX,
            SessionName::SockJs(_) => fallback.config.sockjs_stream_bytes,
        };
        Session {
            fallback: Rc::clone(fallback),
            name,
            visits,
            outlet: Rc::new(Outlet::new(stream_bytes)),
            hello: Some(hello),
            stage: Stage::Ended,
            timer: Box::pin(tokio::time::sleep(fallback.config.session_timeout)),
            set_to: None,
            due: Due::default(),
            busy: Busy::default(),
            order: Order::new(),
            held: None,
            unheard: None,
            queued: Queued::default(),
        }
    }

    fn admit(&mut self, introduction: &Introduction<'_>, probe: impl FnOnce(ProtocolVersion) -> Probe) {
        let worker = &self.fallback.worker;
        let admitted = match admission::admit(worker, introduction) {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse(&refused),
        };
        self.outlet.admitted(&admitted.app, admitted.at_work.clone());
        self.busy = self.outlet.busy();
        let agreed = admitted.agreed;
        let transport = Rc::clone(&self.outlet);
        let begun = Conversation::begin(Rc::clone(worker), admitted, probe(agreed.version), transport);
        let Begun { client, mut conversation, .. } = begun;
        conversation.greet(agreed.parameterless, introduction.query.get("channel"));
        self.stage = Stage::Talking(Box::new(Talking { client, conversation }));
    }

    fn refuse(&mut self, refused: &Refused) {
        let Refused { code, reason, version } = refused;
        let error = last_error(*version, *code, reason).map(|error| error.quoted());
        let frames = error.into_iter().chain([Frame::quoted_close(*code, reason)]);
        let frames = frames.map(|frame| String::from_utf8_lossy(frame.json()).into_owned()).collect();
        self.stage = Stage::Over { frames, until: Instant::now() + CLOSE_GRACE };
        self.send_final_frames();
    }

    /// Sends the final frames, as many as are taken.
    fn send_final_frames(&mut self) {
        let Stage::Over { frames, .. } = &mut self.stage else { return };
        while let Some(frame) = frames.front() {
            if !self.outlet.say(frame) {
                return;
            }
            if frames.len() == 1 {
                return self.outlet.end();
            }
            frames.pop_front();
        }
    }

    fn take(&mut self, visit: Visit, turn: &mut Turn<'_>) {
        match visit {
            Visit::Receive { receiver, prelude, number, arrival, taken } => {
                self.look_at(&arrival);
                self.receive_by(receiver, prelude);
                // The request may have been given up meanwhile; the outlet notices.
                let _ = taken.send(());
                self.order.take_number(number, Instant::now());
            }
            Visit::Send { messages, number, arrival, taken } => {
                self.look_at(&arrival);
                let bytes = messages.iter().map(String::len).sum();
                self.order.take_send(number, Sent { messages, taken }, bytes, Instant::now());
            }
        }
        self.hear_in_order(turn);
    }

    /// Hears the sends whose turn has come, as far as this turn goes.
    fn hear_in_order(&mut self, turn: &mut Turn<'_>) {
        let now = Instant::now();
        while !turn.is_over() {
            let Some(mut unheard) = self.unheard.take().or_else(|| self.next_send(now)) else { return };
            while !turn.is_over()
                && let Some(message) = unheard.messages.next()
            {
                turn.spend(message.len());
                self.hear(&message);
            }
            match unheard.messages.len() {
                // The request may have been given up meanwhile.
                0 => drop(unheard.taken.send(())),
                _ => self.unheard = Some(unheard),
            }
        }
    }

    /// The next send whose turn has come, if there is still somebody to hear it.
    fn next_send(&mut self, now: Instant) -> Option<Unheard> {
        let Sent { messages, taken } = self.order.next(now)?;
        if !matches!(self.stage, Stage::Introducing { .. } | Stage::Talking(_)) {
            // Whoever has sent it is told that there is no session; nothing of it is heard.
            return self.next_send(now);
        }
        if messages.is_empty() {
            self.outlet.acknowledge();
        }
        if let Stage::Talking(talking) = &mut self.stage {
            talking.heard(talking.conversation.now());
        }
        Some(Unheard { messages: messages.into_iter(), taken })
    }

    /// Every request of a session has to pass what its first one had to: others may send it, or over other ways. A client
    /// that has not named its app yet will be judged by all that came until then.
    fn look_at(&mut self, came: &Arrival) {
        match &mut self.stage {
            Stage::Introducing { arrival, .. } => *arrival = std::mem::take(arrival).and(came),
            Stage::Talking(talking) => {
                let checked = came.check(&talking.client.app().app());
                if let Err((code, reason)) = checked {
                    talking.conversation.turn_away_for(came, code, reason);
                }
            }
            Stage::Over { .. } | Stage::Ended => {}
        }
    }

    fn receive_by(&mut self, receiver: Receiver, prelude: Prelude) {
        let is_native = matches!(self.name, SessionName::Native { .. });
        if !is_native && self.outlet.is_received() {
            let bytes = receiver.carrier.wrap(ANOTHER_RECEIVES);
            // A new response has room, and one that is given up needs nothing.
            let _ = receiver.chunks.try_send(Chunk { bytes, at_work: None });
            return;
        }
        self.outlet.attach(receiver, prelude);
        let outlet = &self.outlet;
        let _ = self.hello.take_if(|hello| outlet.say(hello));
        match &mut self.stage {
            Stage::Talking(talking) => {
                talking.heard(talking.conversation.now());
                talking.flush();
                self.outlet.settle();
            }
            Stage::Over { .. } => self.send_final_frames(),
            Stage::Introducing { .. } | Stage::Ended => {}
        }
    }

    fn hear(&mut self, message: &str) {
        match &mut self.stage {
            Stage::Introducing { arrival, .. } => {
                let arrival = std::mem::take(arrival);
                self.introduced(message, &arrival);
            }
            Stage::Talking(talking) => talking.receive(message, talking.conversation.now()),
            Stage::Over { .. } | Stage::Ended => {}
        }
    }

    /// The first message of SockJS, which names the path that a WebSocket would have been opened at.
    fn introduced(&mut self, message: &str, arrival: &Arrival) {
        let path = Path::read(message, &self.fallback.settings.path_prefix);
        let introduction = Introduction { key: path.key, query: &path.query, arrival };
        self.admit(&introduction, |version| match version.understands_ping_event() {
            true => Probe::Event,
            false => Probe::Impossible,
        });
    }

    /// Looks after the conversation, and at who has come and gone.
    fn attend(&mut self, context: &mut Context<'_>) {
        let has_room = self.outlet.poll(context);
        match &mut self.stage {
            Stage::Talking(talking) => {
                talking.conversation.attend(context);
                if has_room {
                    talking.flush();
                }
                match talking.conversation.phase() {
                    Phase::Closed => self.stage = Stage::Ended,
                    Phase::Closing => {
                        if let Some(last) = self.outlet.final_frame() {
                            let until = Instant::now() + CLOSE_GRACE;
                            self.stage = Stage::Over { frames: [last].into(), until };
                        }
                    }
                    Phase::Open => {}
                }
            }
            Stage::Over { .. } if has_room => self.send_final_frames(),
            Stage::Over { .. } | Stage::Introducing { .. } | Stage::Ended => {}
        }
    }

    /// When to look at the time again. How long somebody may receive or be away is measured by the app's clock, which a
    /// test can advance; until a client has named its app, and for the final frames, by the machine's.
    fn deadline(&self) -> Deadline {
        let config = &self.fallback.config;
        let (outlet, what) = match (self.outlet.is_received(), self.outlet.is_single()) {
            (false, _) => (self.outlet.changed() + config.session_timeout, Timed::SessionEnd),
            (true, true) => (self.outlet.changed() + config.poll_hold, Timed::PollHold),
            (true, false) => (self.outlet.said() + config.heartbeat, Timed::SessionHeartbeat),
        };
        match self.stage {
            Stage::Introducing { until, .. } => Deadline::Machine(outlet.min(until)),
            Stage::Over { until, .. } => Deadline::Machine(until),
            Stage::Talking(_) | Stage::Ended => Deadline::App(outlet, what),
        }
    }

    /// A deadline has come.
    fn tick(&mut self, now: Instant) {
        match &self.stage {
            Stage::Introducing { until, arrival } if now >= *until => {
                let code = CloseCode::Unauthorized;
                let reason =
                    "No app was named in time, expected {\"path\":\"/app/KEY?protocol=7\"}".to_owned();
                let (peer, origin) = (arrival.peer.map(display), arrival.origin());
                info!(session = ?self.name, code = code.code(), reason, peer, origin, "session refused");
                self.refuse(&Refused { code, reason, version: Some(ProtocolVersion::NEWEST) });
            }
            Stage::Over { .. } => self.stage = Stage::Ended,
            _ if self.outlet.is_received() => self.outlet.tick(),
            _ => self.stage = Stage::Ended,
        }
    }

    /// Whether the timer was due.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = (self.deadline(), self.outlet.advanced());
        if self.set_to != Some(deadline) {
            self.set_to = Some(deadline);
            let (time, due) = match deadline.0 {
                Deadline::Machine(time) => (time, Due::default()),
                Deadline::App(time, what) => self.outlet.wait_until(time, what),
            };
            std::mem::replace(&mut self.due, due).put_off();
            self.timer.as_mut().reset(time.into());
        }
        let is_due = self.timer.as_mut().poll(context).is_ready();
        if is_due {
            let due = std::mem::take(&mut self.due);
            self.set_to = None;
            self.tick(Instant::now());
            if matches!(self.stage, Stage::Ended) {
                // Its end is done when it is gone.
                self.due = due;
            }
        }
        is_due
    }

    /// Whether a send has waited long enough for its turn.
    fn poll_held(&mut self, turn: &mut Turn<'_>, context: &mut Context<'_>) -> bool {
        let Some(due) = self.order.due().map(tokio::time::Instant::from_std) else {
            self.held = None;
            return false;
        };
        let held = self.held.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if held.deadline() != due {
            held.as_mut().reset(due);
        }
        let is_due = held.as_mut().poll(context).is_ready();
        if is_due {
            self.hear_in_order(turn);
        }
        is_due
    }

    /// Whether the client's next words have to wait.
    fn is_held_up(&self, context: &Context<'_>) -> bool {
        matches!(self.stage, Stage::Talking(_)) && self.fallback.worker.is_congested(context.waker())
    }
}

impl Talking {
    /// Something came from the client.
    fn heard(&mut self, now: Instant) {
        self.conversation.heard(now);
    }

    fn receive(&mut self, message: &str, now: Instant) {
        let (limit, bytes) = (self.conversation.message_bytes(), message.len());
        if bytes > limit {
            let reason = format!("Message too big: at most {limit} bytes are allowed, got {bytes}");
            return self.conversation.turn_away(CloseCode::MessageTooBig, &reason);
        }
        self.conversation.receive(message, now);
    }

    /// Somebody receives again, or has room again.
    fn flush(&self) {
        self.client.unblock();
        self.client.flush();
    }
}

impl Future for Session {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.busy = this.outlet.busy();
        let polled = this.turn(context);
        this.busy = Busy::default();
        polled
    }
}

impl Session {
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let this = self;
        let fallback = Rc::clone(&this.fallback);
        let Some(mut turn) = fallback.worker.turn_of(&mut this.queued, context) else { return Poll::Pending };
        while !turn.is_over() {
            turn.spend(0);
            this.attend(context);
            if matches!(this.stage, Stage::Ended) {
                return Poll::Ready(());
            }
            let held_up = this.is_held_up(context);
            if !held_up {
                // What the last turn was too short for.
                this.hear_in_order(&mut turn);
                if this.unheard.is_some() {
                    come_again(context);
                    return Poll::Pending;
                }
            }
            // Not before all is heard is more taken.
            let visit = match held_up || this.unheard.is_some() {
                true => Poll::Pending,
                false => this.visits.poll_recv(context),
            };
            match visit {
                Poll::Ready(Some(visit)) => this.take(visit, &mut turn),
                // The table holds a sender for as long as the session lives.
                Poll::Ready(None) | Poll::Pending => {
                    let timers = [this.poll_held(&mut turn, context), this.poll_timer(context)];
                    if !timers.contains(&true) {
                        return Poll::Pending;
                    }
                }
            }
        }
        come_again(context);
        Poll::Pending
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.fallback.sessions.remove(&self.name);
    }
}

/// The first frame of a native session; clients send everything later to the host it names.
pub(super) fn hello(hostname: &str) -> String {
    match hostname {
        "" => "o".to_owned(),
        hostname => format!("o{}", serde_json::json!({ "hostname": hostname })),
    }
}
