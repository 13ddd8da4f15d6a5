//! What the hub knows of one connection: its name, its outbox, and how to wake whoever drives it.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use crate::protocol::{ChannelName, CloseStatus, Form, Frame, LatestKey, ProtocolVersion, SocketId};
use crate::video::{ForViewer, Viewer, ViewerLag};

use super::AppState;
use super::details::{ConnectionDetails, DetailsReply, DriverRequest};
use super::interceptor::Replacement;
use super::named::NamedClient;
use super::outbox::{Bounds, Outbox, Overflow};
use super::rewind_allowance::RewindAllowance;

/// How frames leave: the one thing that differs between transports. It is called on the connection's own thread.
pub trait Transport {
    /// Writes as much of the outbox as can be written without waiting. `context` is that of the connection's driver:
    /// it is to be woken when more can be written.
    ///
    /// # Errors
    /// If the connection is lost.
    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written>;

    /// What it is called where connections are shown.
    fn name(&self) -> &'static str {
        if self.is_stream() { "stream" } else { "websocket" }
    }

    /// The form in which the peer takes messages. Asked once.
    fn form(&self) -> Form {
        Form::Plain
    }

    /// Whether messages of tracks are sent to it, where it takes binary messages.
    fn takes_tracks(&self) -> bool {
        self.form().is_binary()
    }

    /// Whether it is a stream over HTTP, which an app may switch off apart from everything else.
    fn is_stream(&self) -> bool {
        false
    }

    /// How often it may be asked what its peer has received, by pings behind events, if it can tell.
    fn ping_pace(&self) -> Option<Duration> {
        None
    }

    /// Whether a request is there to receive, where it takes requests for that.
    fn has_receiver(&self) -> bool {
        false
    }

    /// Little is to wait in the kernel, from now on: what waits here can be given up.
    fn keep_little_unsent(&self) {}

    /// The peer had its time to take the close frame and has not: dropping the transport must leave nothing behind that
    /// lingers for it.
    fn reset(&self) {}
}

/// How far a write came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The outbox is empty, and nothing is held back by the transport.
    Everything,
    /// The transport takes no more for now; its driver will say when it does again.
    Blocked,
}

/// Bytes of tracks that are queued at once: what is queued cannot be given up any more.
const FRAME_BYTES_AT_ONCE: usize = 16 * 1024;

/// One connection as the hub sees it. It lives on one worker and never leaves it.
pub struct Client<T: ?Sized = dyn Transport> {
    app: Arc<AppState>,
    socket_id: SocketId,
    version: ProtocolVersion,
    bounds: Cell<Bounds>,
    form: Form,
    outbox: RefCell<Outbox>,
    /// In the worker's list of clients with something to write.
    dirty: Cell<bool>,
    /// The transport takes no more; the driver waits for it.
    blocked: Cell<bool>,
    intake: Cell<Intake>,
    signals: Cell<Signals>,
    waker: RefCell<Option<Waker>>,
    /// Whatever it hears on an encrypted channel, but for `{}`, it takes for encrypted.
    decrypts_everything: Cell<bool>,
    /// If its client has named itself.
    named: OnceCell<Box<NamedClient>>,
    /// What it is sent of tracks, once there is something.
    viewer: OnceCell<Box<RefCell<Viewer>>>,
    /// If it has asked for the last events of a channel.
    rewound: OnceCell<Box<Cell<RewindAllowance>>>,
    transport: T,
}

/// What becomes of a frame that is to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    /// It is queued.
    Open,
    /// The app's fault injector decides.
    Intercepted,
    /// It is queued, and tracks may wait behind what is.
    Viewing,
    /// Nothing is queued any more: the final frames are queued, or nobody reads them.
    Stopped,
}

/// What the driver has been woken for.
#[derive(Debug, Default)]
pub struct Signals {
    /// A time it asked for has come.
    pub timer: bool,
    /// The connection is to be ended, or told of.
    pub asked: Option<Box<DriverRequest>>,
    /// The outbox would have passed its bounds.
    pub overflow: bool,
    /// A write failed.
    pub lost: bool,
    /// Joins that had to wait have been answered.
    pub joined: bool,
}

impl<T: Transport> Client<T> {
    /// A connection that has just been admitted.
    pub fn new(
        app: Arc<AppState>,
        socket_id: SocketId,
        version: ProtocolVersion,
        bounds: Bounds,
        transport: T,
    ) -> Self {
        let intake = if app.interceptor().is_set() { Intake::Intercepted } else { Intake::Open };
        Client {
            app,
            socket_id,
            version,
            bounds: Cell::new(bounds),
            form: transport.form(),
            outbox: RefCell::default(),
            dirty: Cell::new(false),
            blocked: Cell::new(false),
            intake: Cell::new(intake),
            signals: Cell::default(),
            waker: RefCell::default(),
            decrypts_everything: Cell::new(false),
            named: OnceCell::new(),
            viewer: OnceCell::new(),
            rewound: OnceCell::new(),
            transport,
        }
    }

    /// The transport, for its driver.
    pub fn transport(&self) -> &T {
        &self.transport
    }
}

impl<T: Transport + ?Sized> Client<T> {
    /// From now on it is not told in clear what happens on encrypted channels: it would try to decrypt it, and fail.
    pub fn decrypts_all(&self) {
        self.decrypts_everything.set(true);
    }

    /// Whether it would try to decrypt whatever it hears on an encrypted channel.
    pub fn decrypts_everything(&self) -> bool {
        self.decrypts_everything.get()
    }

    /// Its client has named itself, before anything was said.
    pub(super) fn set_named(&self, named: NamedClient) {
        let _ = self.named.set(Box::new(named));
    }

    /// What there is of it because its client has named itself.
    pub(crate) fn named(&self) -> Option<&NamedClient> {
        self.named.get().map(|named| &**named)
    }

    /// The app it belongs to.
    pub fn app(&self) -> &Arc<AppState> {
        &self.app
    }

    /// Its name.
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// The dialect it speaks.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The form in which it takes messages.
    pub fn form(&self) -> Form {
        self.form
    }

    /// From now on this much may wait for it. What waits already stays.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// Whether something waits to be written, here or in the transport.
    pub fn has_pending(&self) -> bool {
        self.blocked.get() || !self.outbox.borrow().is_empty()
    }

    /// Bytes and frames that wait to be written.
    pub fn owed(&self) -> (usize, usize) {
        let outbox = self.outbox.borrow();
        let of_tracks = self.viewer.get().map_or(0, |viewer| viewer.borrow().waiting_bytes());
        (outbox.bytes() + of_tracks, outbox.frames())
    }

    /// Whether the transport takes no more; the driver then waits for it and calls [`Client::unblock`].
    pub fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// The transport takes more again.
    pub fn unblock(&self) {
        self.blocked.set(false);
    }

    /// The peer had its time: see [`Transport::reset`].
    pub fn reset(&self) {
        self.transport.reset();
    }

    /// From now on nothing is queued but by [`Client::queue_final_frames`].
    pub fn stop_sending(&self) {
        self.intake.set(Intake::Stopped);
    }

    /// Whether nothing is queued any more: the connection's end has begun.
    pub fn is_stopped(&self) -> bool {
        self.intake.get() == Intake::Stopped
    }

    /// Queues the last frames that the client is sent, in the client's form, whatever the bounds.
    pub fn queue_final_frames(&self, frames: impl IntoIterator<Item = Frame>) {
        const NO_BOUNDS: Bounds = Bounds { bytes: usize::MAX, frames: usize::MAX };
        let mut outbox = self.outbox.borrow_mut();
        for frame in frames {
            // Nothing can overflow without bounds.
            let _ = outbox.push(frame, NO_BOUNDS);
        }
    }

    /// Gives up what waits; the peer was too slow for it.
    pub fn abandon_outbox(&self) {
        self.outbox.borrow_mut().abandon();
    }

    /// Writes what can be written, and wakes the driver if it has something to do about the outcome.
    pub fn flush(&self) {
        self.dirty.set(false);
        if self.blocked.get() {
            return;
        }
        match self.write() {
            Ok(Written::Everything) if self.intake.get() != Intake::Open => self.all_written(),
            Ok(Written::Everything) => {}
            Ok(Written::Blocked) => self.became_blocked(),
            Err(_) => self.signal_lost(),
        }
    }

    fn write(&self) -> io::Result<Written> {
        let waker = self.waker.borrow();
        let mut context = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        self.transport.write(&mut self.outbox.borrow_mut(), &mut context)
    }

    fn became_blocked(&self) {
        self.blocked.set(true);
        self.wake();
    }

    /// The outbox is written, of a client that is not like most: it is over, or tracks are sent now.
    #[cold]
    fn all_written(&self) {
        while self.intake.get() != Intake::Stopped {
            if !self.queue_frames() {
                return;
            }
            match self.write() {
                Ok(Written::Everything) => {}
                Ok(Written::Blocked) => return self.became_blocked(),
                Err(_) => return self.signal_lost(),
            }
        }
        self.wake();
    }

    /// What it is sent of tracks; none if it takes none, or its end has begun.
    pub(super) fn viewer(&self) -> Option<&RefCell<Viewer>> {
        if !self.form.is_binary() || self.is_stopped() {
            return None;
        }
        match self.viewer.get() {
            Some(viewer) => Some(viewer),
            None => self.begin_viewing(),
        }
    }

    #[cold]
    fn begin_viewing(&self) -> Option<&RefCell<Viewer>> {
        if !self.transport.takes_tracks() {
            return None;
        }
        self.transport.keep_little_unsent();
        if self.intake.get() == Intake::Open {
            self.intake.set(Intake::Viewing);
        }
        let viewer = self.viewer.get_or_init(Box::default);
        if self.transport.is_stream() {
            viewer.borrow_mut().returns_no_pings();
        }
        Some(viewer)
    }

    /// Whether messages of tracks wait for it, and it is to be put on the worker's dirty list for them.
    pub(super) fn has_frames(&self) -> bool {
        let waits = self.viewer.get().is_some_and(|viewer| viewer.borrow().has_waiting());
        waits && !self.blocked.get() && !self.dirty.replace(true)
    }

    /// Whether it is to be sent pictures for those who take no tracks.
    pub(super) fn wants_stills(&self, channel: &ChannelName) -> bool {
        !self.transport.takes_tracks()
            || self.viewer.get().is_some_and(|viewer| viewer.borrow().wants_stills(channel))
    }

    /// How late it is sent what it sees of a channel; none if it has been sent no frames of it.
    #[cold]
    pub(super) fn lag(&self, channel: &ChannelName) -> Option<ViewerLag> {
        self.viewer.get()?.borrow().lag(channel, self.app.clock().now())
    }

    /// It has left a channel.
    pub(super) fn leave_tracks(&self, channel: &ChannelName) {
        if let Some(viewer) = self.viewer.get() {
            viewer.borrow_mut().leave(channel);
        }
    }

    /// A pong came, with this in it.
    pub fn track_echoed(&self, payload: &[u8]) {
        if let Some(viewer) = self.viewer.get() {
            viewer.borrow_mut().echoed(payload, self.app.clock().now());
        }
    }

    /// Queues messages of tracks behind what was written, and a ping that says when they have arrived. Returns whether there
    /// were some.
    fn queue_frames(&self) -> bool {
        let Some(viewer) = self.viewer.get() else { return false };
        let (mut viewer, mut outbox) = (viewer.borrow_mut(), self.outbox.borrow_mut());
        if !viewer.has_waiting() {
            return false;
        }
        let is_intercepted = self.intake.get() == Intake::Intercepted;
        viewer.hand_out(self.app.clock().now(), FRAME_BYTES_AT_ONCE, |handed| match handed {
            ForViewer::Message(frame) => {
                if is_intercepted {
                    self.app.interceptor().queued(self.socket_id, &frame);
                }
                outbox.push_replayed(frame);
            }
            ForViewer::Ping(frame) => outbox.push_replayed(frame),
        });
        true
    }

    /// The driver's task, to be woken. Called at each of its turns.
    pub fn set_waker(&self, waker: &Waker) {
        let mut current = self.waker.borrow_mut();
        if !current.as_ref().is_some_and(|c| c.will_wake(waker)) {
            *current = Some(waker.clone());
        }
    }

    /// What the driver has been woken for since it last asked.
    pub fn take_signals(&self) -> Signals {
        self.signals.take()
    }

    /// Whether it is a stream over HTTP.
    pub(super) fn is_stream(&self) -> bool {
        self.transport.is_stream()
    }

    /// How often its peer may be pinged, if it returns what a ping carries.
    pub(super) fn ping_pace(&self) -> Option<Duration> {
        self.transport.ping_pace()
    }

    /// Whether a request is there to receive.
    pub fn has_receiver(&self) -> bool {
        self.transport.has_receiver()
    }

    /// Tells the driver that a time it asked for has come.
    pub(super) fn signal_timer(&self) {
        self.signal(|signals| signals.timer = true);
    }

    /// Tells the driver to end the connection.
    pub(super) fn signal_close(&self, code: CloseStatus, reason: Cow<'static, str>) {
        self.signal(|signals| signals.asked = Some(Box::new(DriverRequest::Close(code, reason))));
    }

    /// Asks the driver to tell of the connection, unless it is to be ended.
    #[cold]
    pub(super) fn signal_describe(&self, reply: DetailsReply) {
        self.signal(|signals| {
            if !signals.asked.as_deref().is_some_and(|asked| matches!(asked, DriverRequest::Close(..))) {
                signals.asked = Some(Box::new(DriverRequest::Describe(reply)));
            }
        });
    }

    /// What is known of it here; its driver knows more.
    #[cold]
    pub(crate) fn details(&self) -> ConnectionDetails {
        let Bounds { bytes, frames } = self.bounds.get();
        ConnectionDetails {
            transport: self.transport.name(),
            protocol: self.version.number(),
            owed: self.owed(),
            bounds: (bytes, frames),
            is_blocked: self.is_blocked(),
            ..ConnectionDetails::default()
        }
    }

    /// Tells the driver that joins of it which had to wait have been answered.
    pub(super) fn signal_joined(&self) {
        self.signal(|signals| signals.joined = true);
    }

    /// Tells the driver that the connection is lost.
    pub(super) fn signal_lost(&self) {
        self.stop_sending();
        self.signal(|signals| signals.lost = true);
    }

    /// Queues a frame in the client's form; `true` if the client is to be put on the worker's dirty list.
    pub(super) fn enqueue(&self, frame: Frame) -> bool {
        if self.intake.get() != Intake::Open {
            return self.enqueue_intercepted(frame, None);
        }
        self.enqueue_as_it_is(frame)
    }

    /// What is seldom: nothing is queued any more, or the app has a fault injector.
    #[cold]
    fn enqueue_intercepted(&self, frame: Frame, latest: Option<&Arc<LatestKey>>) -> bool {
        match (self.intake.get(), latest) {
            (Intake::Intercepted, _) => {}
            (Intake::Viewing, Some(latest)) => return self.enqueue_latest_as_it_is(frame, latest),
            (Intake::Viewing, None) => return self.enqueue_as_it_is(frame),
            _ => return false,
        }
        match self.app.interceptor().replace(self.app.clock(), self.socket_id, frame) {
            Replacement::One(frame) => self.release(frame, latest),
            Replacement::Several(frames) => {
                let mut dirty = false;
                for frame in frames {
                    dirty |= self.release(frame, None);
                }
                dirty
            }
        }
    }

    /// Queues a frame, whatever the fault injector says, and tells it; `true` as of [`Client::enqueue`].
    pub(super) fn release(&self, frame: Frame, latest: Option<&Arc<LatestKey>>) -> bool {
        if self.intake.get() == Intake::Stopped {
            return false;
        }
        self.app.interceptor().queued(self.socket_id, &frame);
        match latest {
            Some(latest) => self.enqueue_latest_as_it_is(frame, latest),
            None => self.enqueue_as_it_is(frame),
        }
    }

    /// How many of so many bytes it may be sent of what it has missed, as long as something waits for it. What is made for it
    /// alone takes memory that is not shared: of that it may have as much as may wait for it at any time.
    pub(super) fn replay_room(&self, bytes: usize) -> usize {
        let bytes = if self.form.is_of_its_own() { bytes.min(self.bounds.get().bytes) } else { bytes };
        bytes.saturating_sub(self.outbox.borrow().replayed_bytes())
    }

    /// How many of so many bytes it may be sent where it asks for the last events itself, of which it is sent as many in a minute.
    #[cold]
    pub(super) fn rewind_room(&self, bytes: usize) -> usize {
        let rewound = self.rewound.get_or_init(Box::default);
        let mut allowance = rewound.get();
        let room = allowance.room(bytes, self.app.clock().now());
        rewound.set(allowance);
        room.min(self.replay_room(bytes))
    }

    /// It has asked for the last events, and is sent so many bytes of them.
    #[cold]
    pub(super) fn rewound(&self, bytes: usize) {
        if let Some(rewound) = self.rewound.get() {
            let mut allowance = rewound.get();
            allowance.spend(bytes);
            rewound.set(allowance);
        }
    }

    /// Queues an event that it has missed, in its form: besides what may wait for it at any time. Returns as
    /// [`Client::enqueue`] does.
    #[cold]
    pub(super) fn enqueue_replayed(&self, frame: Frame) -> bool {
        let replacement = match self.intake.get() {
            Intake::Stopped => return false,
            Intake::Open | Intake::Viewing => Replacement::One(frame),
            Intake::Intercepted => self.app.interceptor().replace(self.app.clock(), self.socket_id, frame),
        };
        let frames = match replacement {
            Replacement::One(frame) => vec![frame],
            Replacement::Several(frames) => frames,
        };
        for frame in frames {
            self.app.interceptor().queued(self.socket_id, &frame);
            self.outbox.borrow_mut().push_replayed(frame);
        }
        !self.blocked.get() && !self.dirty.replace(true)
    }

    fn enqueue_as_it_is(&self, frame: Frame) -> bool {
        if let Err(Overflow(frame)) = self.push(frame)
            && !self.enqueue_if_room_can_be_made(frame)
        {
            return false;
        }
        !self.blocked.get() && !self.dirty.replace(true)
    }

    /// The outbox is full: makes room, or says that it has overflown.
    #[cold]
    fn enqueue_if_room_can_be_made(&self, frame: Frame) -> bool {
        // A burst of one turn is no sign of a slow reader: it has had no chance to read yet.
        self.flush();
        let given_up = self.outbox.borrow_mut().make_room(&frame, self.bounds.get());
        self.app.conflated.add(given_up);
        let has_room = self.push(frame).is_ok();
        if !has_room {
            self.stop_sending();
            self.signal(|signals| signals.overflow = true);
        }
        has_room
    }

    /// Queues a frame of a latest-only channel: while the transport takes no more, in place of older ones of its kind.
    /// Returns as [`Client::enqueue`] does.
    pub(super) fn enqueue_latest(&self, frame: Frame, latest: &Arc<LatestKey>) -> bool {
        if self.intake.get() != Intake::Open {
            return self.enqueue_intercepted(frame, Some(latest));
        }
        self.enqueue_latest_as_it_is(frame, latest)
    }

    fn enqueue_latest_as_it_is(&self, frame: Frame, latest: &Arc<LatestKey>) -> bool {
        let keeps_up = if self.blocked.get() {
            Err(Overflow(frame))
        } else {
            self.outbox.borrow_mut().push_as(frame, latest, self.bounds.get())
        };
        if let Err(Overflow(frame)) = keeps_up {
            // As above, a burst of one turn may still go out.
            self.flush();
            let given_up = self.outbox.borrow_mut().push_latest(frame, latest, self.bounds.get());
            self.app.conflated.add(given_up);
        }
        !self.blocked.get() && !self.dirty.replace(true)
    }

    fn push(&self, frame: Frame) -> Result<(), Overflow> {
        self.outbox.borrow_mut().push(frame, self.bounds.get())
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        let mut signals = self.signals.take();
        change(&mut signals);
        self.signals.set(signals);
        self.wake();
    }

    /// Wakes the driver's task.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
