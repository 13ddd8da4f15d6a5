//! The hub without sockets: what is bounded, and what becomes of apps that go.

mod told;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::client::Signals;
use super::mailbox::WorkerCommand;
use super::*;
use crate::app::{ChannelSettings, Delivery, Limits, VideoSettings};
use crate::channel::NodeId;
use crate::connection::{Join, JoinNumber};
use crate::event::{AcceptedEvent, Destination, Source};
use crate::protocol::json::Data;
use crate::protocol::pattern::Pattern;
use crate::protocol::{
    BinaryPayload, ChannelName, CloseCode, Frame, ProtocolVersion, TrackKind, server_message,
};
use crate::video::{FilmingClaim, KeyframesWanted, TrackRequest};

fn hub(apps: Vec<App>) -> Arc<Hub> {
    let apps = apps.into_iter().map(|app| (app, Vec::new())).collect();
    Hub::new(apps, ConnectionConfig::default(), 1, 0).unwrap()
}

fn remember(hub: &Arc<Hub>, app: &Arc<AppState>, channel: &str) {
    let to = Destination::Subscribers { channel: ChannelName::parse(channel, 164).unwrap(), except: None };
    let (name, data) = ("e".into(), Data::of_text("0123456789"));
    hub.accept(app, &AcceptedEvent { source: Source::Http, to, name, data, raw: None });
}

fn totals(hub: &Hub) -> Totals {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(hub.totals())
}

#[test]
fn a_million_keys_of_cache_channels_take_the_memory_of_those_that_are_remembered() {
    const REMEMBERED: usize = 1000;
    let limits = Limits { cached_channels: REMEMBERED, ..Limits::default() };
    let hub = hub(vec![App { limits, ..App::new("1", "k", "s") }]);
    let app = hub.state_by_key("k").unwrap();
    for n in 0..1_000_000 {
        remember(&hub, &app, &format!("cache-{n}"));
    }
    let Totals { channels, cached_events, cached_bytes, .. } = totals(&hub);
    assert_eq!((channels, cached_events), (REMEMBERED, REMEMBERED));
    assert!(cached_bytes < REMEMBERED * 200, "{cached_bytes}");
    // The map grows by doubling, each of its parts by itself.
    assert!(app.channels.capacity() < 8 * REMEMBERED, "{}", app.channels.capacity());
}

#[test]
fn what_channels_remember_and_what_is_noted_of_it_stay_one_however_many_publish() {
    const CHANNELS: usize = 20_000;
    let limits = Limits { cached_channels: CHANNELS, ..Limits::default() };
    let hub = hub(vec![App { limits, ..App::new("1", "k", "s") }]);
    let app = hub.state_by_key("k").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..CHANNELS).for_each(|n| remember(&hub, &app, &format!("cache-{n}"))));
        }
    });
    assert_eq!(totals(&hub).cached_events, CHANNELS);
    // What is not noted with the version that its channel has cannot be forgotten.
    app.forget_cache();
    let Totals { channels, cached_events, cached_bytes, .. } = totals(&hub);
    assert_eq!((channels, cached_events, cached_bytes), (0, 0, 0));
}

#[test]
fn a_worker_that_is_no_longer_far_behind_tells_the_others() {
    let apps = vec![(App::new("1", "k", "s"), Vec::new())];
    let hub = Hub::new(apps, ConnectionConfig::default(), 3, 0).unwrap();
    while !hub.mailboxes.of(0).is_congested() {
        hub.mailboxes.of(0).post(WorkerCommand::Relieved);
    }
    assert!(hub.mailboxes.of(1).is_empty() && hub.mailboxes.of(2).is_empty());
    actix_web::rt::System::new().block_on(async {
        // The first half that is started has the first mailbox; those of the others are never read.
        Worker::of_this_thread(&hub).unwrap().uncongested().await;
    });
    assert!(
        !hub.mailboxes.of(1).is_empty() && !hub.mailboxes.of(2).is_empty(),
        "they wait no longer for a tick of theirs"
    );
}

#[test]
fn a_removed_app_is_counted_until_nobody_holds_it() {
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    remember(&hub, &app, "cache-a");
    hub.set_apps(Vec::new()).unwrap();
    let held = totals(&hub);
    assert_eq!((held.removed_apps, held.channels, held.cached_events), (1, 1, 1));
    drop(app);
    let Totals { removed_apps, channels, cached_events, .. } = totals(&hub);
    assert_eq!((removed_apps, channels, cached_events), (0, 0, 0));
}

#[test]
fn an_app_of_the_same_id_begins_from_nothing() {
    let hub = hub(vec![App::new("1", "k", "s")]);
    let before = hub.state_by_key("k").unwrap();
    remember(&hub, &before, "cache-a");
    hub.set_apps(Vec::new()).unwrap();
    hub.set_apps(vec![(App::new("1", "k", "s"), None)]).unwrap();
    let after = hub.state_by_key("k").unwrap();
    assert!(!Arc::ptr_eq(&before, &after));
    assert_ne!(before.index(), after.index());
    assert!(after.cached(&ChannelName::parse("cache-a", 164).unwrap()).is_none());
}

/// A peer that takes everything, and counts it.
struct Sink(Rc<Cell<usize>>);

impl Transport for Sink {
    fn write(&self, outbox: &mut Outbox, _: &mut Context<'_>) -> io::Result<Written> {
        self.0.set(self.0.get() + std::iter::from_fn(|| outbox.pop()).count());
        Ok(Written::Everything)
    }
}

/// A connection, and how many frames it has been sent.
fn client(worker: &Worker, app: &Arc<AppState>) -> (Rc<Client>, Rc<Cell<usize>>) {
    let (version, bounds) = (ProtocolVersion::NEWEST, Bounds { bytes: 1 << 20, frames: 1000 });
    let socket_id = worker.admit(app, true).unwrap().socket_id;
    let sent = Rc::new(Cell::new(0));
    let client: Rc<Client> =
        Rc::new(Client::new(Arc::clone(app), socket_id, version, bounds, Sink(Rc::clone(&sent))));
    worker.open(&client);
    (client, sent)
}

/// Everything that is said to all connections: each is told once, in several turns, and nobody else.
#[test]
fn what_is_said_to_very_many_connections_is_said_to_each_of_them_in_turns() {
    const MANY: usize = 3000;
    type Say = fn(&Hub, &AppState);
    type Heard = fn(&Signals) -> bool;
    let close: Say = |hub, app| hub.close_app(app, CloseCode::UnknownApp, "gone");
    let advance: Say = |hub, app| hub.advance_clock(app, Duration::from_secs(1));
    let drain: Say = |hub, _| {
        hub.mailboxes.of(0).post(WorkerCommand::Drain { code: CloseCode::OverCapacity, reason: "stopping" })
    };
    let (closed, looks): (Heard, Heard) = (|signals| signals.asked.is_some(), |signals| signals.timer);
    for (say, heard, by_all) in [(close, closed, false), (advance, looks, false), (drain, closed, true)] {
        // A worker belongs to its thread.
        let thread = std::thread::spawn(move || {
            let hub = hub(vec![App::new("1", "k", "s"), App::new("2", "other", "s")]);
            let (app, other) = (hub.state_by_key("k").unwrap(), hub.state_by_key("other").unwrap());
            actix_web::rt::System::new().block_on(async {
                let worker = Worker::of_this_thread(&hub).unwrap();
                let clients: Vec<_> = (0..MANY).map(|_| client(&worker, &app).0).collect();
                let other_client = client(&worker, &other).0;
                say(&hub, &app);
                let (mut told, mut turns) = (0, 0);
                while told < MANY {
                    tokio::task::yield_now().await;
                    let of_turn = clients.iter().filter(|client| heard(&client.take_signals())).count();
                    told += of_turn;
                    turns += usize::from(of_turn > 0);
                }
                assert!(turns > 1, "all in one turn");
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                    assert!(!clients.iter().any(|client| heard(&client.take_signals())), "told twice");
                }
                assert_eq!(heard(&other_client.take_signals()), by_all);
            });
        });
        thread.join().unwrap();
    }
}

#[test]
fn whoever_looks_at_the_viewers_of_a_channel_is_told_of_very_many_in_turns() {
    const MANY: usize = 3000;
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let channel = ChannelName::parse("film", 164).unwrap();
        let (nobody, is_whole) = hub.look_at_viewers(&app, &channel).await;
        assert_eq!((nobody.without, is_whole), (0, true));
        let worker = Worker::of_this_thread(&hub).unwrap();
        let clients: Vec<_> = (0..MANY).map(|_| client(&worker, &app)).collect();
        for (client, _) in &clients {
            let join = Join::plain(channel.clone(), JoinNumber::default());
            assert_eq!(worker.join(client, &join), Some(Ok(())));
        }
        while clients.iter().any(|(_, sent)| sent.get() == 0) {
            tokio::task::yield_now().await;
        }
        let (seen, is_whole) = hub.look_at_viewers(&app, &channel).await;
        assert_eq!((seen.without, seen.latest.len(), is_whole), (MANY, 0, true));
        assert!(clients.iter().all(|(_, sent)| sent.get() == 1), "none of them is sent anything");
    });
}

#[test]
fn all_who_watch_a_user_are_told_once_that_it_comes_and_goes() {
    const WATCHERS: usize = 3000;
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let worker = Worker::of_this_thread(&hub).unwrap();
        let star: Arc<str> = Arc::from("star");
        let answer = server_message::pong;
        let mut watchers = Vec::new();
        for n in 0..WATCHERS {
            let (watcher, sent) = client(&worker, &app);
            worker
                .sign_in(&watcher, &Arc::from(format!("fan-{n}")), &[Arc::clone(&star)], answer(), false)
                .unwrap();
            watchers.push((watcher, sent));
        }
        let all_have = |frames: usize| watchers.iter().all(|(_, sent)| sent.get() == frames);
        while !all_have(2) {
            tokio::task::yield_now().await;
        }
        let seen = client(&worker, &app).0;
        worker.sign_in(&seen, &star, &[], answer(), false).unwrap();
        while !all_have(3) {
            tokio::task::yield_now().await;
        }
        worker.disconnect(&seen, lost(Some(Arc::clone(&star))), None);
        while !all_have(4) {
            tokio::task::yield_now().await;
        }
    });
}

fn lost(user_id: Option<Arc<str>>) -> crate::connection::Cleanup {
    let ending = crate::connection::Ending::Lost;
    crate::connection::Cleanup { user_id, subscriptions: Vec::new(), ending }
}

#[test]
fn very_many_connections_that_end_at_once_end_in_turns_and_their_sockets_with_them() {
    const MANY: usize = 2000;
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let worker = Worker::of_this_thread(&hub).unwrap();
        let shutdown_guard = hub.begin_work().expect("it does not stop");
        let clients: Vec<_> = (0..MANY).map(|_| client(&worker, &app).0).collect();
        // Half of them were closed by the broker, and their tasks are over later.
        let (closed, gone) = clients.split_at(MANY / 2);
        closed.iter().for_each(|client| worker.disconnect(client, lost(None), Some(&shutdown_guard)));
        while hub.sockets().len() > gone.len() {
            tokio::task::yield_now().await;
        }
        for client in gone {
            worker.disconnect(client, lost(None), Some(&shutdown_guard));
        }
        clients.iter().for_each(|client| worker.let_go(client, &shutdown_guard));
        let (left, at_once) = (hub.sockets().len(), leaving::ENDS_AT_ONCE);
        assert!(
            left >= gone.len() - at_once,
            "only so much is done about it in the turns of their tasks: {left}"
        );
        let held = || clients.iter().filter(|client| Rc::strong_count(client) > 1).count();
        let (mut left, mut turns) = (held(), 0);
        assert!(left >= MANY - at_once, "{left}");
        while left > 0 {
            tokio::task::yield_now().await;
            let now = held();
            turns += usize::from(now < left);
            left = now;
        }
        assert!(turns >= MANY / leaving::ENDS_PER_TURN, "{turns}");
        assert_eq!(hub.sockets().len(), 0);
    });
}

/// Connections that are told something have something to do about it. Whoever comes of his own accord does not queue among
/// all of them.
#[test]
fn nobody_waits_for_all_who_are_told_to_close() {
    const MANY: usize = 4000;
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let worker = Worker::of_this_thread(&hub).unwrap();
        let (waiting, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let far = tokio::net::UnixStream::from_std(far).unwrap();
        let tasks: Vec<_> = (0..MANY)
            .map(|_| {
                let (client, _) = client(&worker, &app);
                let (worker, waiting, done) = (Rc::clone(&worker), Rc::clone(&waiting), Rc::clone(&done));
                let mut queued = Queued::default();
                actix_web::rt::spawn(std::future::poll_fn(move |context| {
                    let Some(_turn) = worker.turn_of(&mut queued, context) else { return Poll::Pending };
                    client.set_waker(context.waker());
                    if client.take_signals().asked.is_none() {
                        waiting.set(waiting.get() + 1);
                        return Poll::Pending;
                    }
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(100) {
                        std::hint::spin_loop();
                    }
                    done.set(done.get() + 1);
                    Poll::Ready(())
                }))
            })
            .collect();
        while waiting.get() < MANY {
            tokio::task::yield_now().await;
        }
        hub.close_app(&app, CloseCode::UnknownApp, "gone");
        while done.get() == 0 {
            tokio::task::yield_now().await;
        }
        let (worker, done_before) = (Rc::clone(&worker), Rc::clone(&done));
        let newcomer = actix_web::rt::spawn(async move {
            far.readable().await.unwrap();
            let mut queued = Queued::default();
            std::future::poll_fn(|context| match worker.turn_of(&mut queued, context) {
                Some(_turn) => Poll::Ready(()),
                None => Poll::Pending,
            })
            .await;
            done_before.get()
        });
        let before = done.get();
        std::io::Write::write_all(&mut near, b"x").unwrap();
        let waited_for = newcomer.await.unwrap() - before;
        for task in tasks {
            task.await.unwrap();
        }
        assert!(waited_for < MANY / 8, "{waited_for}");
    });
}

#[test]
fn clients_that_have_gone_are_not_closed_slowly() {
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let worker = Worker::of_this_thread(&hub).unwrap();
        let clients: Vec<_> = (0..100).map(|_| client(&worker, &app).0).collect();
        let leave = async {
            clients.iter().for_each(|client| hub.sockets().remove(app.index(), client.socket_id(), |_| {}));
            assert_eq!(hub.sockets().len(), 0);
        };
        let closed = async { tokio::join!(hub.close_slowly(1, Shutdown::Soon), leave) };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it would take 100 s");
    });
}

/// Whoever floods queues for a turn all the time. Others are told nevertheless what concerns them.
#[test]
fn a_flood_does_not_keep_what_is_said_to_all_from_anybody() {
    const OTHERS: usize = 100;
    let hub = hub(vec![App::new("1", "k", "s")]);
    let app = hub.state_by_key("k").unwrap();
    actix_web::rt::System::new().block_on(async {
        let worker = Worker::of_this_thread(&hub).unwrap();
        let over = Rc::new(Cell::new(false));
        let floods: Vec<_> = (0..16)
            .map(|_| {
                let (worker, over) = (Rc::clone(&worker), Rc::clone(&over));
                let mut queued = Queued::default();
                actix_web::rt::spawn(std::future::poll_fn(move |context| {
                    if over.get() {
                        return Poll::Ready(());
                    }
                    if let Some(_turn) = worker.turn_of(&mut queued, context) {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_millis(2) {
                            std::hint::spin_loop();
                        }
                        come_again(context);
                    }
                    Poll::Pending
                }))
            })
            .collect();
        let others: Vec<_> = (0..OTHERS).map(|_| client(&worker, &app).0).collect();
        hub.close_app(&app, CloseCode::UnknownApp, "gone");
        let (mut told, mut looks) = (0, 0);
        while told < OTHERS {
            tokio::task::yield_now().await;
            told += others.iter().filter(|client| client.take_signals().asked.is_some()).count();
            looks += 1;
            assert!(looks < 1000, "{told} have been told");
        }
        over.set(true);
        for flood in floods {
            flood.await.unwrap();
        }
    });
}

#[test]
fn what_proves_a_publisher_is_shown_to_nobody_while_nodes_are_reloaded_one_after_the_other() {
    let with = |pattern: Option<&str>| {
        let channel = |pattern| ChannelSettings {
            pattern: Pattern::parse(pattern).unwrap(),
            delivery: Delivery::Video,
            history: None,
            video: Some(VideoSettings::default()),
        };
        App { channels: pattern.map(channel).into_iter().collect(), ..App::new("1", "k", "s") }
    };
    let camera = ChannelName::parse("private-camera", 164).unwrap();
    let whole = r#"{"sequence":1,"timestamp":1,"publisher":"a tab"}"#;
    let come = |hub: &Hub, media_type: &str, members: &str| {
        let payload = BinaryPayload::new(media_type, members, b"x").unwrap();
        let frame = server_message::binary_event("client-video", &payload, &camera, None);
        let node = NodeId::new(7);
        let shown = hub.film_from_elsewhere("1", &camera, (&frame, false), None, node)?;
        Some(String::from_utf8_lossy(shown.payload()).contains("a tab"))
    };
    let from_elsewhere = |hub: &Hub, media_type: &str| come(hub, media_type, whole);
    let hub = hub(vec![with(None)]);
    assert_eq!(from_elsewhere(&hub, "video/webcodecs"), Some(true), "there has been no film in this app");
    for (pattern, is_shown) in [("*-other", Some(false)), ("*-camera", None)] {
        hub.set_apps(vec![(with(Some(pattern)), None)]).unwrap();
        assert_eq!(from_elsewhere(&hub, "video/webcodecs"), is_shown, "{pattern}");
    }
    let unreadable = come(&hub, "video/webcodecs", r#"{"publisher":"a tab"}"#);
    assert_eq!(unreadable, Some(false), "a later release may say other things of a message");
    hub.set_apps(vec![(with(None), None)]).unwrap();
    assert_eq!(from_elsewhere(&hub, "video/webcodecs"), Some(false), "it is an ordinary event now");
    assert_eq!(from_elsewhere(&hub, "image/jpeg"), Some(true), "it is none of a track");
}

#[test]
fn a_node_that_is_yet_to_be_told_of_video_channels_hears_of_them_from_others() {
    type Say = fn(&Hub, &ChannelName, &Frame);
    let (node, camera) = (NodeId::new(7), ChannelName::parse("private-camera", 164).unwrap());
    let payload = BinaryPayload::new("video/webcodecs", r#"{"publisher":"a tab"}"#, b"x").unwrap();
    let frame = server_message::binary_event("client-video", &payload, &camera, None);
    let is_shown = |frame: &Frame| String::from_utf8_lossy(frame.payload()).contains("a tab");
    let filmed: Say = |hub, channel, frame| {
        let node = NodeId::new(7);
        let _ = hub.film_from_elsewhere("1", channel, (frame, true), None, node);
    };
    let wanted: Say = |hub, channel, _| {
        hub.key_frames_wanted_elsewhere("1", &KeyframesWanted { channel: channel.clone(), of: None });
    };
    let claimed: Say = |hub, channel, _| {
        let claim = FilmingClaim {
            channel: channel.clone(),
            of: TrackRequest { event: "client-video".into(), track: "".into() },
            kind: TrackKind::Pictures,
            publisher: None,
            user_id: None,
            is_older: false,
            moves: Default::default(),
        };
        hub.filming_claimed_elsewhere("1", &claim, NodeId::new(7));
    };
    for say in [filmed, wanted, claimed] {
        let hub = hub(vec![App::new("1", "k", "s")]);
        let ordinary = || hub.film_from_elsewhere("1", &camera, (&frame, false), None, node).unwrap();
        assert!(is_shown(&ordinary()), "no node is known to have video channels");
        say(&hub, &camera, &frame);
        assert!(!is_shown(&ordinary()));
    }
    let hub = hub(vec![App::new("1", "k", "s")]);
    let shown = hub.film_from_elsewhere("1", &camera, (&frame, true), None, node).unwrap();
    assert!(!is_shown(&shown), "the first of all");
}
