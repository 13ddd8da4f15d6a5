//! Histories in a hub whose workers do not run: what is kept, for how long, and what is forgotten for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::app::{App, ChannelSettings, Delivery};
use crate::channel::{HistoryPosition, Wanted};
use crate::connection::ConnectionConfig;
use crate::event::{AcceptedEvent, Destination};
use crate::hub::Hub;
use crate::hub::app_state::payload_of;
use crate::hub::counts::PendingCounts;
use crate::hub::publish::Way;
use crate::hub::settle::SubscriptionChange;
use crate::protocol::json::Data;
use crate::protocol::pattern::Pattern;
use crate::protocol::{BinaryPayload, Rewind, server_message};
use crate::recovery::RecoveryConfig;

/// Bytes of the payload of each event, so that bounds are reached soon.
const PAYLOAD: usize = 1000;

fn settings(pattern: &str, history: Option<HistoryBounds>) -> ChannelSettings {
    ChannelSettings {
        pattern: Pattern::parse(pattern).unwrap(),
        delivery: Delivery::Every,
        history,
        video: None,
    }
}

/// An app whose channels keep events for ten seconds.
fn app(id: &str) -> App {
    let mut app = App::new(id, format!("key-{id}"), "s");
    let bounds = HistoryBounds { time: Duration::from_secs(10), ..HistoryBounds::default() };
    app.channels = vec![settings("*", Some(bounds))];
    app
}

struct Subject {
    hub: Arc<Hub>,
    counts: PendingCounts,
}

impl Subject {
    fn new(apps: Vec<App>, recovery: RecoveryConfig) -> Self {
        let apps = apps.into_iter().map(|app| (app, Vec::new())).collect();
        let hub = Hub::new(apps, ConnectionConfig::default(), 1, 0).unwrap();
        hub.set_recovery(recovery);
        Subject { hub, counts: PendingCounts::new(Duration::from_secs(1)) }
    }

    fn app(&self, id: &str) -> Arc<AppState> {
        Arc::clone(self.hub.apps().by_id(id).unwrap())
    }

    fn publish(&self, app: &Arc<AppState>, channel: &ChannelName, number: usize) {
        let to = Destination::Subscribers { channel: channel.clone(), except: None };
        let data = format!("{number:0PAYLOAD$}");
        self.hub.accept(app, &AcceptedEvent::of_pipe(to, "e", Data::of_text(&data)));
    }

    /// The numbers of the events that a channel keeps.
    fn kept(&self, app: &AppState, channel: &ChannelName) -> Vec<usize> {
        let page = self.hub.page_here(app, channel, HistoryStart::Oldest, (usize::MAX, usize::MAX)).unwrap();
        page.events.iter().map(|(_, event)| payload_of(&event.frame).unwrap().parse().unwrap()).collect()
    }

    fn join(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
        wanted: &Wanted,
    ) -> (ChannelVersion, Option<bool>) {
        let welcome = self.subscription(app, channel).begin(None, true, (wanted, usize::MAX)).unwrap();
        (welcome.version, welcome.replay.map(|replay| replay.complete))
    }

    fn leave(&self, app: &Arc<AppState>, channel: &ChannelName) {
        assert!(self.subscription(app, channel).end());
    }

    fn subscription<'a>(
        &'a self,
        app: &'a Arc<AppState>,
        channel: &'a ChannelName,
    ) -> SubscriptionChange<'a> {
        let (hub, counts) = (&self.hub, &self.counts);
        SubscriptionChange { hub, counts, app, channel, address: (0, SocketId::new(1, 1)) }
    }

    /// Subscribes again behind this version, and leaves; whether it is told that nothing is missing.
    fn comes_back(&self, app: &Arc<AppState>, channel: &ChannelName, since: ChannelVersion) -> bool {
        let position = HistoryPosition { epoch: self.hub.history_epoch(), number: since.number() };
        let (_, complete) = self.join(app, channel, &Wanted::Since { position, own: Vec::new() });
        self.leave(app, channel);
        complete.unwrap()
    }

    fn lost(&self) -> BTreeMap<&'static str, u64> {
        self.hub.histories().lost().filter(|(_, events)| *events > 0).map(|(r, n)| (r.name(), n)).collect()
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text, 164).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn events_are_kept_for_their_time_by_the_apps_clock_also_where_nothing_is_published_any_more() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (app, channel) = (subject.app("1"), name("a"));
    subject.publish(&app, &channel, 1);
    subject.hub.advance_clock(&app, 5 * SECOND);
    subject.publish(&app, &channel, 2);
    assert_eq!(subject.kept(&app, &channel), [1, 2]);
    let one = app.histories.bytes();
    subject.hub.advance_clock(&app, 5 * SECOND);
    assert!(app.histories.bytes() < one, "without anybody asking");
    assert_eq!(subject.kept(&app, &channel), [2]);
    subject.hub.advance_clock(&app, 5 * SECOND);
    assert_eq!((app.histories.sizes().0, subject.lost()), (0, BTreeMap::from([("seconds", 2)])));
    assert_eq!(
        (app.histories.bytes(), app.channels.len()),
        (0, 1),
        "it is known for a while what it has lost"
    );
    subject.hub.advance_clock(&app, subject.hub.recovery().retention);
    assert_eq!((app.histories.sizes(), app.channels.len()), ((0, 0, 0), 0));
    assert_eq!(subject.hub.histories().bytes(), 0);
}

#[test]
fn the_sweep_goes_through_many_channels_in_several_turns() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let app = subject.app("1");
    (0..600).for_each(|n| subject.publish(&app, &name(&format!("c-{n}")), n));
    app.clock().advance(10 * SECOND);
    let mut turns = 1;
    while !subject.hub.expire_histories() {
        turns += 1;
    }
    assert_eq!(turns, 3, "of 256 channels each");
    assert_eq!(app.histories.sizes().0, 0);
}

#[test]
fn of_an_app_that_keeps_too_much_the_oldest_events_go_whosever_they_are() {
    let mut bounded = app("1");
    bounded.limits.history_bytes = 10 * (PAYLOAD + 250);
    let subject = Subject::new(vec![bounded], RecoveryConfig::default());
    let app = subject.app("1");
    let [busy, quiet, seldom] = ["busy", "quiet", "seldom"].map(name);
    [&busy, &quiet, &seldom].into_iter().for_each(|channel| {
        subject.join(&app, channel, &Wanted::Nothing);
    });
    subject.publish(&app, &quiet, 0);
    (1..=8).for_each(|n| subject.publish(&app, &busy, n));
    subject.publish(&app, &seldom, 9);
    assert_eq!(subject.kept(&app, &quiet), [0]);
    (10..=13).for_each(|n| subject.publish(&app, &busy, n));
    assert!(app.histories.bytes() <= app.app().limits.history_bytes);
    assert_eq!(subject.kept(&app, &quiet), [0; 0], "it is older than all others");
    assert_eq!(subject.kept(&app, &seldom), [9], "it is not");
    let of_busy = subject.kept(&app, &busy);
    assert!(of_busy.len() >= 8 && of_busy.is_sorted() && of_busy.last() == Some(&13), "{of_busy:?}");
    assert_eq!(subject.lost().keys().collect::<Vec<_>>(), [&"app"]);
    let (events, bytes, channels) = app.histories.sizes();
    assert_eq!((events, channels), (of_busy.len() + 1, 2));
    assert_eq!(bytes, app.channels.iter().map(|entry| entry.history().unwrap().bytes()).sum::<usize>());
}

#[test]
fn of_a_node_that_keeps_too_much_the_oldest_events_of_all_apps_go() {
    let history_bytes = 100 * (PAYLOAD + 250);
    let recovery = RecoveryConfig { history_bytes, ..RecoveryConfig::default() };
    let subject = Subject::new(vec![app("1"), app("2")], recovery);
    let (one, two, channel) = (subject.app("1"), subject.app("2"), name("a"));
    (0..40).for_each(|n| subject.publish(&one, &channel, n));
    (0..40).for_each(|n| subject.publish(&two, &channel, n));
    (40..80).for_each(|n| subject.publish(&two, &channel, n));
    assert!(subject.hub.histories().bytes() <= history_bytes);
    assert_eq!(subject.kept(&two, &channel), (0..80).collect::<Vec<_>>(), "they are newer");
    let of_one = subject.kept(&one, &channel);
    assert!((10..=25).contains(&of_one.len()) && of_one.last() == Some(&39), "{of_one:?}");
    assert_eq!(subject.lost(), BTreeMap::from([("node", 40 - of_one.len() as u64)]));
}

#[test]
fn who_comes_back_is_never_told_that_nothing_is_missing_where_something_is() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (app, left, quiet) = (subject.app("1"), name("left"), name("quiet"));
    let (since, first) = subject.join(&app, &left, &Wanted::Unknown);
    assert_eq!(first, Some(false));
    subject.leave(&app, &left);
    let (since_quiet, _) = subject.join(&app, &quiet, &Wanted::Unknown);
    subject.leave(&app, &quiet);
    assert!(subject.comes_back(&app, &left, since) && subject.comes_back(&app, &quiet, since_quiet));
    subject.publish(&app, &left, 1);
    subject.hub.advance_clock(&app, 20 * SECOND);
    assert!(!subject.comes_back(&app, &left, since), "it has been forgotten by now");
    assert!(subject.comes_back(&app, &quiet, since_quiet), "nothing was published there");
    // Both channels are forgotten.
    subject.hub.advance_clock(&app, 2 * subject.hub.recovery().retention);
    subject.hub.advance_clock(&app, 2 * subject.hub.recovery().retention);
    assert_eq!(app.channels.len(), 0);
    assert!(!subject.comes_back(&app, &left, since));
    assert!(!subject.comes_back(&app, &quiet, since_quiet), "nobody knows any more");
    let never = name("never-heard-of");
    assert!(!subject.comes_back(&app, &never, since));
    let now = subject.hub.next_version();
    assert!(subject.comes_back(&app, &never, now), "nothing is lost that is newer");
}

#[test]
fn a_channel_that_is_forgotten_for_others_is_not_taken_for_one_that_has_lost_nothing() {
    let mut bounded = app("1");
    bounded.limits.history_bytes = 4 * (VACANT_BYTES + PAYLOAD + 250);
    let subject = Subject::new(vec![bounded], RecoveryConfig::default());
    let app = subject.app("1");
    let channels: Vec<ChannelName> = (0..20).map(|n| name(&format!("c-{n}"))).collect();
    let since: Vec<ChannelVersion> =
        channels.iter().map(|channel| subject.join(&app, channel, &Wanted::Unknown).0).collect();
    (0..20).for_each(|n| subject.publish(&app, &channels[n], n));
    channels.iter().for_each(|channel| subject.leave(&app, channel));
    while !subject.hub.expire_histories() {}
    assert!(app.histories.bytes() <= app.app().limits.history_bytes);
    assert_eq!(subject.kept(&app, &channels[19]), [19], "it is the newest");
    assert!(!subject.comes_back(&app, &channels[0], since[0]), "what it had is lost");
    assert!(!subject.comes_back(&app, &name("never-heard-of"), since[0]));
}

#[test]
fn channels_that_anybody_makes_cost_nobody_an_event_and_are_not_without_end() {
    let mut bounded = app("1");
    bounded.limits.history_bytes = 100 * VACANT_BYTES;
    let subject = Subject::new(vec![bounded], RecoveryConfig::default());
    let (app, kept, lossy) = (subject.app("1"), name("kept"), name("lossy"));
    let (since, _) = subject.join(&app, &lossy, &Wanted::Unknown);
    subject.publish(&app, &lossy, 0);
    subject.leave(&app, &lossy);
    subject.hub.advance_clock(&app, 20 * SECOND);
    let after = subject.hub.next_version();
    subject.publish(&app, &kept, 1);
    let visit = |range: std::ops::Range<usize>| {
        for channel in range.map(|n| name(&format!("c-{n}"))) {
            subject.join(&app, &channel, &Wanted::Nothing);
            subject.leave(&app, &channel);
        }
    };
    visit(0..MOST_VACANT - 1);
    assert!(app.channels.contains_key(&lossy), "there is room for it");
    visit(MOST_VACANT - 1..MOST_VACANT + 500);
    assert_eq!(app.channels.len(), MOST_VACANT + 1, "of those without events as many as may be");
    assert_eq!((subject.kept(&app, &kept), subject.lost()), (vec![1], BTreeMap::from([("seconds", 1)])));
    assert!(!app.channels.contains_key(&lossy), "it was the oldest");
    assert!(!subject.comes_back(&app, &lossy, since), "what it had is lost");
    assert!(subject.comes_back(&app, &lossy, after), "the others have lost nothing");
    subject.hub.advance_clock(&app, 2 * subject.hub.recovery().retention);
    subject.hub.advance_clock(&app, 2 * subject.hub.recovery().retention);
    assert_eq!((app.histories.sizes(), app.channels.len()), ((0, 0, 0), 0));
}

#[test]
fn settings_that_change_are_in_force_for_channels_that_live() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (app_state, channel, other) = (subject.app("1"), name("a"), name("b"));
    let set = |channels: Vec<ChannelSettings>| {
        let mut changed = app("1");
        changed.channels = channels;
        subject.hub.set_apps(vec![(changed, None)]).unwrap();
    };
    let bounds = |events| Some(HistoryBounds { events, ..HistoryBounds::default() });
    let (since, _) = subject.join(&app_state, &other, &Wanted::Unknown);
    (0..5).for_each(|n| subject.publish(&app_state, &channel, n));
    set(vec![settings("*", bounds(3))]);
    while !subject.hub.expire_histories() {}
    assert_eq!(subject.kept(&app_state, &channel), [2, 3, 4]);
    assert!(subject.comes_back_beside(&app_state, &other, since), "nothing was missed by that");
    // Off, for one of them.
    set(vec![settings("b", bounds(3))]);
    assert!(subject.hub.page_here(&app_state, &channel, HistoryStart::Oldest, (1, 1)).is_none());
    assert_eq!(app_state.histories.sizes().0, 0, "at once");
    assert_eq!(subject.lost(), BTreeMap::from([("events", 2), ("switched_off", 3)]));
    assert!(
        app_state.channels.get(&channel).is_none() && subject.comes_back_beside(&app_state, &other, since)
    );
    // Off for both, and on again, while something is published.
    set(Vec::new());
    assert!(!app_state.keeps_history());
    subject.publish(&app_state, &other, 6);
    set(vec![settings("*", bounds(3))]);
    assert!(!subject.comes_back_beside(&app_state, &other, since), "it has missed 6");
    subject.publish(&app_state, &other, 7);
    assert_eq!(subject.kept(&app_state, &other), [7]);
}

impl Subject {
    /// The same as [`Subject::comes_back`], while another connection is subscribed.
    fn comes_back_beside(&self, app: &Arc<AppState>, channel: &ChannelName, since: ChannelVersion) -> bool {
        let position = HistoryPosition { epoch: self.hub.history_epoch(), number: since.number() };
        let wanted = Wanted::Since { position, own: Vec::new() };
        let address = (0, SocketId::new(2, 2));
        let subscription = SubscriptionChange { address, ..self.subscription(app, channel) };
        let welcome = subscription.begin(None, true, (&wanted, usize::MAX)).unwrap();
        assert!(subscription.end());
        welcome.replay.unwrap().complete
    }
}

#[test]
fn an_app_that_is_removed_gives_its_history_back() {
    let subject = Subject::new(vec![app("1"), app("2")], RecoveryConfig::default());
    let (gone, channel) = (subject.app("1"), name("a"));
    subject.join(&gone, &name("occupied"), &Wanted::Unknown);
    (0..5).for_each(|n| subject.publish(&gone, &channel, n));
    subject.hub.set_apps(vec![(app("2"), None)]).unwrap();
    assert_eq!((gone.histories.sizes(), subject.hub.histories().bytes()), ((0, 0, 0), 0));
    subject.publish(&gone, &channel, 9);
    assert_eq!(gone.histories.sizes().0, 0, "nothing is kept any more");
    subject.leave(&gone, &name("occupied"));
    assert_eq!(gone.channels.len(), 0);
}

#[test]
fn an_event_that_is_too_large_for_its_channel_is_lost_and_the_channel_is_looked_after() {
    let mut small = app("1");
    small.channels = vec![settings("*", Some(HistoryBounds { bytes: 1024, ..HistoryBounds::default() }))];
    let subject = Subject::new(vec![small], RecoveryConfig::default());
    let (app, channel) = (subject.app("1"), name("a"));
    let now = subject.hub.next_version();
    subject.publish(&app, &channel, 1);
    assert_eq!(subject.lost(), BTreeMap::from([("bytes", 1)]));
    assert!(!subject.comes_back(&app, &channel, now));
    for _ in 0..2 {
        subject.hub.advance_clock(&app, HistoryBounds::default().time + subject.hub.recovery().retention);
    }
    assert_eq!((app.channels.len(), app.histories.sizes()), (0, (0, 0, 0)));
}

#[test]
fn no_history_begins_by_new_settings_as_if_nothing_had_been_published_before() {
    let mut without = app("1");
    without.channels = Vec::new();
    let subject = Subject::new(vec![without], RecoveryConfig::default());
    let (state, channel) = (subject.app("1"), name("a"));
    let before = subject.hub.next_version();
    subject.publish(&state, &channel, 1);
    let version = subject.hub.next_version();
    // The rest of the change comes later.
    state.put_in_force(Arc::new(app("1")), version);
    assert!(!subject.comes_back(&state, &channel, before), "1 was not kept");
    state.history_changed();
    assert!(!subject.comes_back(&state, &channel, before));
    assert!(subject.comes_back(&state, &channel, version));
}

#[test]
fn a_binary_message_is_kept_as_it_was_made_and_read_as_text() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (app, channel) = (subject.app("1"), name("a"));
    let payload = BinaryPayload::new("image/jpeg", "", &[7; 600]).unwrap();
    let to = Destination::Subscribers { channel: channel.clone(), except: None };
    subject.hub.accept(&app, &AcceptedEvent::of_pipe(to, "e", Data::of_binary(payload.clone())));
    let page = subject.hub.page_here(&app, &channel, HistoryStart::Oldest, (1, 1)).unwrap();
    assert_eq!(page.events[0].1.frame, server_message::binary_event("e", &payload, &channel, None));
    let text = server_message::channel_event("e", &Data::of_binary(payload), &channel, None);
    assert_eq!(page.events[0].1.text(), text);
    // It has to have room as text, too.
    let rewind = Wanted::Last(Rewind::Events(1));
    let room = |room| {
        let welcome = subject.subscription(&app, &channel).begin(None, true, (&rewind, room)).unwrap();
        subject.leave(&app, &channel);
        welcome.replay.unwrap().is_too_large
    };
    assert!(room(text.websocket().len() - 1) && !room(2 * text.websocket().len()));
}

#[test]
fn an_event_is_kept_where_a_history_has_begun_since_the_settings_were_looked_at() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (app, channel) = (subject.app("1"), name("a"));
    let (since, _) = subject.join(&app, &channel, &Wanted::Unknown);
    let frame = server_message::channel_event("e", &Data::of_text("1"), &channel, None);
    // As by who found no history in the settings before.
    subject.hub.broadcast(&app, &channel, || Broadcast::new(frame, false), None);
    assert_eq!(subject.kept(&app, &channel), [1]);
    assert!(subject.comes_back_beside(&app, &channel, since));
}

#[test]
fn nothing_is_left_of_a_channel_whose_history_was_switched_off_meanwhile() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (state, channel) = (subject.app("1"), name("a"));
    let terms = state.history_terms(&channel).unwrap();
    let mut without = app("1");
    without.channels = Vec::new();
    subject.hub.set_apps(vec![(without, None)]).unwrap();
    let frame = server_message::channel_event("e", &Data::of_text("1"), &channel, None);
    let way = Way { app: &state, channel: &channel, except: None, numbered: None };
    subject.hub.broadcast_and_keep(&way, &Broadcast::new(frame, false), terms);
    assert_eq!(state.channels.len(), 0);
}

#[test]
fn a_place_that_was_not_reached_yet_is_not_known() {
    let subject = Subject::new(vec![app("1")], RecoveryConfig::default());
    let (state, channel) = (subject.app("1"), name("a"));
    subject.publish(&state, &channel, 1);
    let (epoch, number) = (subject.hub.history_epoch(), subject.hub.next_version().number());
    let knows = |epoch, number| {
        let start = HistoryStart::Behind(HistoryPosition { epoch, number });
        let page = subject.hub.page_here(&state, &channel, start, (1, usize::MAX)).unwrap();
        assert_eq!(page.complete, page.events.is_empty(), "what is not known begins with the oldest");
        page.complete
    };
    assert!(knows(epoch, number));
    assert!(!knows(epoch, number + 1) && !knows(epoch ^ 1, number));
}
