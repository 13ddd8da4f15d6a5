//! What other nodes say, in a hub whose workers do not run: what is announced, what is posted, what is left.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::app::App;
use crate::channel::{JoinRefused, Member, WorkerIndex};
use crate::connection::ConnectionConfig;
use crate::hub::Listener;
use crate::hub::counts::PendingCounts;
use crate::hub::mailbox::WorkerCommand;
use crate::hub::settle::{NOTHING, SubscriptionChange};
use crate::protocol::SocketId;

/// Keeps what it hears of channels and users.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Listener for Heard {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, notice: &Notice<'_>) {
        let text = match notice {
            Notice::ChannelOccupied(channel, _) => format!("{channel} occupied"),
            Notice::ChannelVacated(channel, _) => format!("{channel} vacated"),
            Notice::MemberAdded(_, user_id, _) => format!("{user_id} added"),
            Notice::MemberRemoved(_, user_id, _) => format!("{user_id} removed"),
            Notice::SubscriptionCount(_, count, _) => format!("{count} there"),
            _ => return,
        };
        self.0.lock().push(text);
    }
}

/// A hub of two workers, neither of which runs, and one app.
struct Subject {
    hub: Arc<Hub>,
    app: Arc<AppState>,
    counts: PendingCounts,
    heard: Arc<Heard>,
}

impl Subject {
    fn new(change: impl FnOnce(&mut App)) -> Self {
        let (mut app, heard) = (App::new("1", "k", "s"), Arc::<Heard>::default());
        change(&mut app);
        let apps = vec![(app, vec![Arc::clone(&heard) as Arc<dyn Listener>])];
        let hub = Hub::new(apps, ConnectionConfig::default(), 2, 0).unwrap();
        let app = hub.state_by_key("k").unwrap();
        Subject { hub, app, counts: PendingCounts::new(Duration::from_secs(1)), heard }
    }

    /// The subscription of a connection that no worker has.
    fn here<'a>(&'a self, channel: &'a ChannelName, n: u32) -> SubscriptionChange<'a> {
        let address = ((n % 2) as WorkerIndex, SocketId::new(n, 1));
        SubscriptionChange { hub: &self.hub, counts: &self.counts, app: &self.app, channel, address }
    }

    fn elsewhere(&self, node: u128, change: Change) {
        self.hub.change_elsewhere("1", NodeId::new(node), &change).unwrap();
    }

    /// What listeners have heard since this was last asked.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.0.lock())
    }

    /// What each worker was posted: the version of what is for a roster, and a text.
    fn posted(&self) -> Vec<Vec<(Option<ChannelVersion>, String)>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut of_all = Vec::new();
        while let Some((_, mut reader)) = self.hub.mailboxes.take_reader() {
            let mut posted = Vec::new();
            while let Poll::Ready(Some(command)) = reader.poll(&mut context) {
                let text = |json: &[u8]| String::from_utf8(json.to_vec()).unwrap();
                posted.push(match command {
                    WorkerCommand::Member { frame, version, .. } => (Some(version), text(frame.json())),
                    WorkerCommand::Broadcast { message, .. } => (None, text(message.plain().json())),
                    WorkerCommand::ToSockets { sockets, frame, .. } => {
                        (None, format!("{} {}", sockets.len(), text(frame.json())))
                    }
                    WorkerCommand::Count { channel, .. } => (None, format!("count of {channel}")),
                    other => panic!("{other:?}"),
                });
            }
            of_all.push(posted);
        }
        of_all
    }
}

fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel, 164).unwrap()
}

fn member(user_id: &str) -> Member {
    Member { user_id: user_id.into(), user_info: None }
}

fn joined(channel: &ChannelName, version: u64, user_id: &str) -> Change {
    let (channel, version, member) = (channel.clone(), ChannelVersion::new(version), member(user_id));
    Change::Joined { channel, version, told: version, member }
}

fn left(channel: &ChannelName, joined: u64, user_id: &str) -> Change {
    let (channel, joined, version) =
        (channel.clone(), ChannelVersion::new(joined), ChannelVersion::new(joined + 1));
    Change::Left { channel, joined, user_id: user_id.into(), version }
}

fn subscribers(channel: &ChannelName, count: u32) -> Change {
    Change::Subscribers { channel: channel.clone(), count, version: ChannelVersion::new(1) }
}

#[test]
fn members_elsewhere_are_in_the_roster_or_announced_later() {
    let (subject, room) = (Subject::new(|_| {}), name("presence-a"));
    subject.elsewhere(1, joined(&room, 7, "ann"));
    assert_eq!(subject.heard(), ["presence-a occupied", "ann added"]);
    let zoe = subject.here(&room, 0).begin(Some(&member("zoe")), true, NOTHING).unwrap();
    assert!(zoe.roster.unwrap().contains(r#""ids":["ann","zoe"]"#));
    subject.elsewhere(2, joined(&room, 7, "ann"));
    subject.elsewhere(1, left(&room, 7, "ann"));
    subject.elsewhere(1, joined(&room, 9, "bob"));
    subject.elsewhere(1, joined(&room, 9, "bob"));
    subject.elsewhere(2, left(&room, 7, "ann"));
    subject.here(&room, 0).end();
    assert_eq!(subject.heard(), ["zoe added", "bob added", "ann removed", "zoe removed"]);
    assert_eq!(subject.app.user_ids(&room), ["bob"]);
    subject.elsewhere(1, left(&room, 9, "bob"));
    subject.elsewhere(1, left(&room, 9, "bob"));
    assert_eq!(subject.heard(), ["bob removed", "presence-a vacated"]);
    assert!(subject.app.channels.is_empty(), "nothing is left of the channel");
    let [here, there] = <[_; 2]>::try_from(subject.posted()).unwrap();
    assert!(there.is_empty(), "nobody is subscribed on that worker");
    assert!(here.is_sorted(), "in the order of the versions: {here:?}");
    let later: Vec<_> = here.iter().filter(|(version, _)| *version > Some(zoe.version)).collect();
    let said = |text: &str, n: usize| later.iter().filter(|(_, event)| event.contains(text)).count() == n;
    assert_eq!((here.len(), later.len()), (5, 4), "each connection, and zoe's own");
    assert!(said("ann\\", 3) && said("bob\\", 1) && said("member_removed", 2), "{later:?}");
}

#[test]
fn a_thousand_members_of_a_node_that_dies_leave_once_and_nobody_else_does() {
    const MEMBERS: u64 = 1000;
    let (subject, room) = (Subject::new(|_| {}), name("presence-a"));
    subject.here(&room, 0).begin(Some(&member("u1")), true, NOTHING).unwrap();
    for n in 0..MEMBERS {
        subject.elsewhere(1, joined(&room, n, &format!("u{n}")));
    }
    subject.elsewhere(2, joined(&room, 1, "u2"));
    let state = |subject: &Subject| {
        let summary = subject.app.channel(&room).unwrap();
        (summary.subscription_count, summary.user_count)
    };
    assert_eq!(state(&subject), (1002, 1000));
    subject.heard();
    for n in 0..MEMBERS {
        subject.elsewhere(1, left(&room, n, &format!("u{n}")));
    }
    let removed = subject.heard();
    assert_eq!(removed.len(), 998);
    assert!(!removed.contains(&"u1 removed".into()) && !removed.contains(&"u2 removed".into()));
    assert_eq!(state(&subject), (2, 2));
}

#[test]
fn a_channel_is_occupied_and_vacated_once_wherever_its_subscribers_are() {
    let (subject, news) = (Subject::new(|_| {}), name("news"));
    subject.elsewhere(1, subscribers(&news, 2));
    subject.here(&news, 0).begin(None, true, NOTHING).unwrap();
    subject.elsewhere(1, subscribers(&news, 5));
    assert_eq!((subject.app.subscription_count(&news), subject.app.channels("").len()), (6, 1));
    subject.here(&news, 0).end();
    subject.elsewhere(2, subscribers(&news, 1));
    subject.elsewhere(1, subscribers(&news, 0));
    assert_eq!(subject.app.channel_names(""), std::slice::from_ref(&news));
    assert_eq!(subject.heard(), ["news occupied"]);
    subject.elsewhere(2, subscribers(&news, 0));
    subject.elsewhere(2, subscribers(&news, 0));
    assert_eq!(subject.heard(), ["news vacated"]);
    assert!(subject.app.channels.is_empty() && subject.app.channel(&news).is_none());
}

#[test]
fn counts_are_those_of_all_nodes_and_a_window_begins_on_one_worker() {
    let (subject, news) = (Subject::new(|app| app.subscription_count = true), name("news"));
    subject.here(&news, 0).begin(None, true, NOTHING).unwrap();
    subject.elsewhere(1, subscribers(&news, 99));
    subject.elsewhere(1, subscribers(&news, 99));
    assert_eq!(subject.heard(), ["news occupied", "1 there", "100 there"]);
    subject.elsewhere(1, subscribers(&news, 100));
    subject.elsewhere(2, subscribers(&news, 7));
    subject.here(&news, 2).begin(None, true, NOTHING).unwrap();
    assert!(subject.heard().is_empty() && subject.counts.len() == 0, "it is told later, by another worker");
    subject.elsewhere(1, subscribers(&news, 10));
    assert_eq!(subject.heard(), ["19 there"]);
    let posted: Vec<String> = subject.posted().into_iter().flatten().map(|(_, text)| text).collect();
    assert_eq!(posted.iter().filter(|text| *text == "count of news").count(), 1, "{posted:?}");
    assert_eq!(posted.iter().filter(|text| text.contains("subscription_count")).count(), 3, "{posted:?}");
    subject.counts.look_at(Arc::clone(&subject.app), news);
    assert!(subject.counts.tell(&subject.hub));
    assert_eq!(subject.counts.len(), 0, "the window was closed meanwhile");
}

#[test]
fn a_window_that_has_begun_elsewhere_is_told_at_its_end() {
    let (subject, news) = (Subject::new(|app| app.subscription_count = true), name("news"));
    subject.elsewhere(1, subscribers(&news, 101));
    assert!(subject.heard() == ["news occupied"]);
    subject.counts.look_at(Arc::clone(&subject.app), news.clone());
    assert!(subject.counts.tell(&subject.hub));
    assert_eq!((subject.heard().len(), subject.counts.len()), (0, 1), "not before its end");
    subject.elsewhere(1, subscribers(&news, 102));
    subject.hub.advance_clock(&subject.app, Duration::from_secs(6));
    subject.counts.clock_advanced(subject.app.index());
    assert!(subject.counts.tell(&subject.hub));
    assert_eq!(subject.heard(), ["102 there"]);
}

#[test]
fn members_of_all_nodes_count_towards_the_limit_of_a_channel() {
    let subject = Subject::new(|app| app.limits.presence_members_per_channel = 2);
    let room = name("presence-a");
    subject.elsewhere(1, joined(&room, 1, "ann"));
    subject.here(&room, 0).begin(Some(&member("bob")), true, NOTHING).unwrap();
    let refused = subject.here(&room, 1).begin(Some(&member("cy")), true, NOTHING);
    assert_eq!(refused.err(), Some(JoinRefused::OverCapacity));
    assert!(subject.here(&room, 1).begin(Some(&member("ann")), true, NOTHING).is_ok(), "she is there");
    subject.elsewhere(1, joined(&room, 2, "dan"));
    assert_eq!(subject.app.user_ids(&room).len(), 3, "whom another node has admitted is not thrown out");
}

#[test]
fn those_who_watch_a_user_are_told_wherever_it_comes_and_goes() {
    let subject = Subject::new(|_| {});
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    let watched = subject.app.users.sign_in(&ann, (0, SocketId::new(1, 1)), &[Arc::clone(&bob)], |_| {});
    assert_eq!(watched.offline, [Arc::clone(&bob)]);
    for node in [1, 2] {
        subject.elsewhere(node, Change::SignedIn { user_id: Arc::clone(&bob) });
    }
    for node in [1, 2] {
        subject.elsewhere(node, Change::SignedOut { user_id: Arc::clone(&bob) });
    }
    let posted = subject.posted();
    let [online, offline] = <[_; 2]>::try_from(posted[0].clone()).unwrap();
    assert!(online.1.starts_with("1 ") && online.1.contains("online") && offline.1.contains("offline"));
}

#[test]
fn what_does_not_concern_this_node_changes_nothing() {
    let (subject, news) = (Subject::new(|_| {}), name("news"));
    let node = NodeId::new(1);
    let change = |app, change| subject.hub.change_elsewhere(app, node, &change);
    assert_eq!(change("2", subscribers(&news, 1)), Err(Unconcerned::UnknownApp));
    assert_eq!(change("1", joined(&news, 1, "ann")), Err(Unconcerned::NotAPresenceChannel));
    assert_eq!(change("1", left(&news, 1, "ann")), Err(Unconcerned::NotAPresenceChannel));
    assert_eq!(change("1", left(&name("presence-a"), 1, "ann")), Ok(()));
    assert_eq!(change("1", subscribers(&news, 0)), Ok(()));
    assert!(subject.app.channels.is_empty() && subject.heard().is_empty());
}

#[test]
fn a_change_of_the_apps_is_told_and_an_app_that_comes_again_is_another() {
    let subject = Subject::new(|_| {});
    let mut changes = subject.hub.watch_apps();
    let before = subject.app.index();
    assert!(!changes.has_changed().unwrap());
    subject.hub.set_apps(Vec::new()).unwrap();
    subject.hub.set_apps(vec![(App::new("1", "k", "s"), None)]).unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_ne!(subject.hub.apps().by_id("1").unwrap().index(), before);
}
