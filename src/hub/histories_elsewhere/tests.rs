//! A node of several, with a bus that leads nowhere: what its channels keep of what the engine's streams have.

use super::*;
use crate::app::{App, ChannelSettings, Delivery, HistoryBounds};
use crate::channel::{HistoryStart, Wanted};
use crate::event::{AcceptedEvent, Destination};
use crate::hub::bus_world::{BusPeer, BusWorld};
use crate::hub::{ArrivedEvent, NamedCaller, RememberedAs};
use crate::protocol::json::{self, Data};
use crate::protocol::pattern::Pattern;
use crate::protocol::{Rewind, server_message};
use crate::recovery::GivenName;

const ENGINE: u64 = 77;

/// A moment at the engine, in microseconds.
const THEN: u64 = 1_800_000_000_000_000;

fn keeps(app: &mut App) {
    let pattern = Pattern::parse("*").unwrap();
    let history = Some(HistoryBounds::default());
    app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text, 164).unwrap()
}

fn frame(channel: &ChannelName, text: &str) -> Frame {
    server_message::channel_event("e", &Data::of_text(text), channel, None)
}

/// Events of a stream, each with its number and that of the one before.
fn part(channel: &ChannelName, events: &[(u64, u64, &str)], reached: u64) -> StreamPart {
    let event = |(number, previous, text): &(u64, u64, &str)| StreamEvent {
        kept: KeptAs { number: THEN + number, is_delivered: false },
        previous: THEN + previous,
        frame: frame(channel, text),
        except: None,
        time: None,
    };
    StreamPart { events: events.iter().map(event).collect(), reached: THEN + reached, now: THEN + 1000 }
}

fn since(number: u64) -> Wanted {
    Wanted::Since { position: place(number), own: Vec::new() }
}

fn place(number: u64) -> HistoryPosition {
    HistoryPosition { epoch: ENGINE, number: THEN + number }
}

impl BusWorld {
    fn hear(&self, channel: &ChannelName, number: u64, text: &str, is_delivered: bool) {
        let kept = Some(KeptAs { number: THEN + number, is_delivered });
        let frame = frame(channel, text);
        let event = ArrivedEvent { channel, frame, latest: None, except: None, remembered: None, kept };
        self.hub.deliver_from_elsewhere("1", &event);
    }

    fn publish(&self, channel: &ChannelName, text: &str) {
        let to = Destination::Subscribers { channel: channel.clone(), except: None };
        self.hub.accept(&self.app, &AcceptedEvent::of_pipe(to, "e", Data::of_text(text)));
    }

    /// What a page from the oldest event on has: the number of each there, if it has any; and whether it is all.
    fn kept(&self, channel: &ChannelName) -> Vec<Option<u64>> {
        let most = (100, usize::MAX);
        let page = self.hub.page_here(&self.app, channel, HistoryStart::Oldest, most).unwrap();
        let number = |place: &HistoryPosition| (place.epoch == ENGINE).then(|| place.number - THEN);
        page.events.iter().map(|(place, _)| number(place)).collect()
    }

    /// Waits until everything that was posted until now has come.
    async fn all_has_come(&self, peer: &BusPeer) {
        let (socket, before) = (peer.client.socket_id(), peer.has_been_sent("the-end"));
        self.hub.send_to_socket_from_elsewhere("1", socket, frame(&name("the-end"), ""));
        self.until("the end", || peer.has_been_sent("the-end") > before).await;
    }

    fn named(&self) -> BusPeer {
        let peer = self.peer();
        let path = format!("/r/0123456789abcdef{:06}/app/k", self.hub.next_version().number());
        let (given, _) = GivenName::take_off(&path);
        self.worker.name(&peer.client, NamedCaller { key: "k".into(), name: given, address: None });
        peer
    }
}

fn run(test: impl AsyncFnOnce(BusWorld, ChannelName)) {
    BusWorld::with_listeners(Vec::new(), keeps, async |world| {
        world.hub.set_history_epoch(ENGINE);
        test(world, name("a")).await;
    });
}

/// The payloads that it was sent, and whether it was told that they are all, in their order.
fn heard(peer: &BusPeer) -> Vec<String> {
    let told = |text: &String| {
        let [event, data, channel] = json::members(text, ["event", "data", "channel"]).unwrap();
        let is_end = json::as_string(channel?)? == "the-end";
        let (event, data) = (json::as_string(event?)?, json::as_string(data?)?);
        match &*event {
            "e" if !is_end => Some(data.into_owned()),
            "pusher:resumed" => Some(data.contains("true").to_string()),
            _ => None,
        }
    };
    peer.texts().iter().filter_map(told).collect()
}

#[test]
fn whoever_comes_is_sent_what_the_stream_has_behind_its_place_and_then_what_comes() {
    run(async |world, channel| {
        assert_eq!(world.hub.history_reached("1", &channel), None);
        let filled = part(&channel, &[(10, 5, "one"), (20, 10, "two")], 20);
        world.hub.fill_history("1", &channel, filled);
        assert_eq!(world.hub.history_reached("1", &channel), Some(THEN + 20));
        let (mut back, mut late) = (world.peer(), world.peer());
        back.come_back(&world, &channel, since(10));
        late.come_back(&world, &channel, since(4));
        world.hear(&channel, 30, "three", false);
        for peer in [&back, &late] {
            world.all_has_come(peer).await;
        }
        assert_eq!(heard(&back), ["two", "true", "three"]);
        assert_eq!(heard(&late), ["false", "three"], "something was before the first one");
        assert_eq!(world.kept(&channel), [Some(10), Some(20), Some(30)]);
        // The claim has ended, and what came meanwhile is fetched behind what was reached.
        let filled = part(&channel, &[(30, 20, "three"), (40, 30, "four")], 40);
        world.hub.fill_history("1", &channel, filled);
        assert_eq!(world.kept(&channel), [Some(10), Some(20), Some(30), Some(40)], "none of them twice");
        world.all_has_come(&back).await;
        assert_eq!(back.has_been_sent("four"), 0, "nobody is sent it");
        let times = world.hub.page_here(&world.app, &channel, HistoryStart::Oldest, (1, usize::MAX));
        assert_eq!(times.unwrap().events[0].1.time_ms, (THEN + 10) / 1000);
    });
}

#[test]
fn of_a_process_that_is_succeeded_places_are_understood_and_none_is_given() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one"), (20, 10, "two")], 20));
        let on_its_way = |number| world.hub.is_on_its_way(&world.app, &channel, place(number));
        assert_eq!(world.kept(&channel), [Some(10), Some(20)]);
        assert_eq!([20, 21].map(on_its_way), [false, false], "an engine gives back what it has");
        world.hub.set_run_before(ENGINE);
        assert_eq!(world.kept(&channel), [None, None]);
        assert_eq!([20, 21].map(on_its_way), [false, true]);
        let mut back = world.peer();
        back.come_back(&world, &channel, since(10));
        world.all_has_come(&back).await;
        assert_eq!(heard(&back), ["two", "true"]);
        let given = world.hub.position(&world.app, &channel, world.hub.next_version());
        assert_eq!(given.epoch, world.hub.history_epoch());
        assert!(!world.hub.is_on_its_way(&world.app, &channel, given));
        world.hub.set_history_epoch(0);
        assert_eq!([20, 21].map(on_its_way), [false, false], "it has gone");
    });
}

#[test]
fn what_was_delivered_while_the_engine_was_away_gets_its_number_later_and_is_not_sent_twice() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let mut peer = world.peer();
        peer.come_back(&world, &channel, since(10));
        world.publish(&channel, "mine");
        assert_eq!(world.kept(&channel), [Some(10), None]);
        world.hear(&channel, 20, "theirs", false);
        world.hear(&channel, 30, "mine", true);
        assert_eq!(world.kept(&channel), [Some(10), Some(20), Some(30)]);
        world.all_has_come(&peer).await;
        assert_eq!(heard(&peer), ["true", "mine", "theirs"]);
        // It has had to go before it had a number.
        world.publish(&channel, "lost");
        world.hub.history_hole("1", &channel);
        let gaps = world.hub.histories().gaps();
        world.hear(&channel, 40, "lost", true);
        world.hear(&channel, 50, "four", false);
        assert_eq!(world.kept(&channel), [Some(50)]);
        assert_eq!(world.hub.histories().gaps(), gaps, "it is known which one it was");
        world.all_has_come(&peer).await;
        assert_eq!((peer.has_been_sent("lost"), peer.has_been_sent("four")), (1, 1));
        for (number, expected) in [(39, &["false"][..]), (40, &["four", "true"])] {
            let mut back = world.peer();
            back.come_back(&world, &channel, since(number));
            world.all_has_come(&back).await;
            assert_eq!(heard(&back), expected, "{number}");
        }
    });
}

#[test]
fn an_event_of_which_nothing_is_known_here_is_not_sent_twice_and_is_told_as_missing() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let mut named = world.named();
        named.come_back(&world, &channel, since(10));
        world.hear(&channel, 20, "unknown", true);
        world.hear(&channel, 30, "two", false);
        world.all_has_come(&named).await;
        assert_eq!(heard(&named), ["false", "false", "two"], "its first subscription, and the gap");
        assert_eq!(world.kept(&channel), [Some(30)]);
        let mut back = world.peer();
        back.come_back(&world, &channel, since(10));
        world.all_has_come(&back).await;
        assert_eq!(heard(&back), ["false"]);
    });
}

#[test]
fn a_gap_is_told_to_those_who_would_hold_that_they_have_everything() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let (mut plain, mut named, mut stream) = (world.peer(), world.named(), world.stream());
        for peer in [&mut plain, &mut named, &mut stream] {
            peer.join(&world, &channel, None);
        }
        world.hear(&channel, 20, "two", false);
        world.all_has_come(&stream).await;
        world.hub.history_hole("1", &channel);
        let mut late = world.named();
        late.join(&world, &channel, None);
        world.hear(&channel, 50, "three", false);
        for peer in [&plain, &named, &stream, &late] {
            world.all_has_come(peer).await;
        }
        assert_eq!(heard(&plain), ["two", "three"]);
        assert_eq!(heard(&named), ["false", "two", "false", "three"], "its first subscription, and the gap");
        assert_eq!(heard(&stream), ["two", "false", "three"]);
        assert_eq!(heard(&late), ["false", "three"], "it has been told");
        assert_eq!(world.hub.histories().gaps(), 1);
        let ids: Vec<_> = stream.texts().iter().filter_map(|text| place_of(text)).collect();
        assert_eq!(ids.len(), 4, "{ids:?}");
        assert_eq!(ids[1], place(20).to_string());
        assert_eq!(ids[3], place(50).to_string());
        let mut back = world.peer();
        back.come_back(&world, &channel, since(20));
        world.all_has_come(&back).await;
        assert_eq!(heard(&back), ["false"]);
    });
}

/// The place of an event, where it has one.
fn place_of(text: &str) -> Option<String> {
    let [position] = json::members(text, ["position"]).ok()?;
    Some(json::as_string(position?)?.into_owned())
}

#[test]
fn a_page_that_comes_too_late_for_somebody_is_told_as_missing() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let (mut early, mut stream) = (world.named(), world.stream());
        for peer in [&mut early, &mut stream] {
            peer.join(&world, &channel, None);
        }
        // What is known already is not missing, nor what they were sent.
        world.publish(&channel, "mine");
        let mut known = part(&channel, &[(10, 5, "one"), (20, 10, "mine")], 20);
        known.events[1].kept.is_delivered = true;
        world.hub.fill_history("1", &channel, known);
        assert_eq!(world.hub.histories().gaps(), 0);
        let late = part(&channel, &[(30, 20, "two"), (40, 30, "three")], 40);
        world.hub.fill_history("1", &channel, late);
        assert_eq!(world.hub.histories().gaps(), 1);
        world.hear(&channel, 50, "four", false);
        for peer in [&early, &stream] {
            world.all_has_come(peer).await;
        }
        assert_eq!(heard(&early), ["false", "mine", "false", "four"], "its first subscription, and the page");
        assert_eq!(heard(&stream), ["mine", "false", "four"]);
        assert_eq!(world.kept(&channel), [Some(10), Some(20), Some(30), Some(40), Some(50)]);
        let mut back = world.peer();
        back.come_back(&world, &channel, since(20));
        world.all_has_come(&back).await;
        assert_eq!(heard(&back), ["two", "three", "four", "true"]);
    });
}

#[test]
fn what_does_not_follow_is_a_gap_and_an_empty_stream_is_none() {
    run(async |world, channel| {
        world.hub.fill_history("1", &channel, part(&channel, &[], 10));
        let mut peer = world.named();
        peer.join(&world, &channel, None);
        let joined = world.hub.next_version();
        world.hub.fill_history("1", &channel, part(&channel, &[], 8));
        world.hub.fill_history("1", &channel, part(&channel, &[], 20));
        assert_eq!(
            (world.hub.history_reached("1", &channel), world.hub.histories().gaps()),
            (Some(THEN + 20), 0)
        );
        world.hub.fill_history("1", &channel, part(&channel, &[(40, 30, "two")], 40));
        assert_eq!(world.hub.histories().gaps(), 1);
        world.all_has_come(&peer).await;
        assert_eq!(heard(&peer), ["false", "false"]);
        for (wanted, expected) in [
            (since(20), &["false"][..]),
            (since(30), &["two", "true"]),
            (Wanted::Since { position: here(&world, joined), own: Vec::new() }, &["false"]),
        ] {
            let mut back = world.peer();
            back.come_back(&world, &channel, wanted.clone());
            world.all_has_come(&back).await;
            assert_eq!(heard(&back), expected, "{wanted:?}");
        }
        // Another engine has none of it.
        world.hub.set_history_epoch(ENGINE + 1);
        assert_eq!(world.hub.history_reached("1", &channel), None);
        world.hub.fill_history("1", &channel, part(&channel, &[], 100));
        let mut back = world.peer();
        back.come_back(&world, &channel, since(40));
        world.all_has_come(&back).await;
        assert_eq!(heard(&back), ["false"]);
    });
}

fn here(world: &BusWorld, version: ChannelVersion) -> HistoryPosition {
    HistoryPosition { epoch: world.hub.history_epoch(), number: version.number() }
}

#[test]
fn a_version_is_put_into_a_number_and_stays_complete_where_nothing_is_said() {
    run(async |world, channel| {
        let of = |version| world.hub.engine_position(&world.app, &channel, version);
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let one = world.hub.next_version();
        assert!(of(one).unwrap().number >= THEN + 10);
        world.hear(&channel, 20, "two", false);
        assert_eq!(of(one), Some(place(19)), "there may be one before the next, but for that");
        let two = world.hub.next_version();
        // It is told that the engine's time is much later.
        let now = StreamPart { now: THEN + 600_000_000, ..part(&channel, &[], 20) };
        world.hub.fill_history("1", &channel, now);
        let number = of(two).unwrap().number;
        assert!((THEN + 540_000_000..THEN + 600_000_000).contains(&number), "{number}");
        assert_eq!(of(one), Some(place(19)));
        world.bus.go_away();
        assert_eq!(of(two), Some(place(20)), "something may have been said");
        world.hub.history_hole("1", &channel);
        assert_eq!(of(two), None);
    });
}

#[test]
fn what_a_cache_channel_recalls_is_remembered_and_comes_by_the_stream() {
    run(async |world, _| {
        let channel = name("cache-a");
        let mut peer = world.named();
        peer.join(&world, &channel, None);
        let event = |number, is_recalled, kept| ArrivedEvent {
            channel: &channel,
            frame: frame(&channel, "one"),
            latest: None,
            except: None,
            remembered: Some(RememberedAs {
                number: Some(number),
                is_recalled,
                expires_in: Duration::from_secs(60),
            }),
            kept,
        };
        world.hub.deliver_from_elsewhere("1", &event(THEN + 10, true, None));
        world.all_has_come(&peer).await;
        assert_eq!(heard(&peer), ["false"], "only remembered");
        assert!(world.kept(&channel).is_empty());
        let kept = Some(KeptAs { number: THEN + 10, is_delivered: false });
        world.hub.deliver_from_elsewhere("1", &event(THEN + 10, false, kept));
        world.all_has_come(&peer).await;
        assert_eq!(heard(&peer), ["false", "one"]);
        assert_eq!(world.kept(&channel), [Some(10)]);
        let mut late = world.peer();
        late.join(&world, &channel, None);
        world.all_has_come(&late).await;
        assert_eq!(heard(&late), ["one"]);
    });
}

#[test]
fn pages_of_channels_that_do_not_come_here_are_read_of_the_engine() {
    run(async |world, channel| {
        let read = async |start| {
            let page = world.hub.read_history(&world.app, &channel, start, (2, usize::MAX)).await.unwrap();
            let numbers: Vec<_> = page.events.iter().map(|(place, _)| place.number - THEN).collect();
            (numbers, page.complete, page.has_more)
        };
        world.hub.fill_history("1", &channel, part(&channel, &[(10, 5, "one")], 10));
        let one = world.hub.next_version();
        assert_eq!(read(HistoryStart::Behind(place(5))).await, (vec![10], true, false), "as it comes here");
        let stream = part(&channel, &[(10, 5, "one"), (20, 10, "two"), (30, 20, "three")], 30);
        world.bus.stream(stream);
        assert_eq!(read(HistoryStart::Oldest).await, (vec![10, 20], false, true));
        assert_eq!(read(HistoryStart::Behind(place(20))).await, (vec![30], true, false));
        assert_eq!(read(HistoryStart::Behind(place(4))).await, (vec![10, 20], false, true));
        assert_eq!(read(HistoryStart::Behind(here(&world, one))).await, (vec![20, 30], true, false));
        let rewind = HistoryStart::Last(Rewind::Events(2));
        assert_eq!(read(rewind).await, (vec![20, 30], true, false));
        // The engine gives less at once than the channel keeps.
        world.bus.reads_at_once(1);
        assert_eq!(read(rewind).await, (vec![20, 30], true, false), "the last ones, not the first");
        assert_eq!(read(HistoryStart::Last(Rewind::Events(4))).await, (vec![10, 20], false, true));
        let newest = |before: Option<u64>| HistoryStart::Newest { before: before.map(place) };
        assert_eq!(read(newest(None)).await, (vec![20, 30], true, true), "the newest of the whole stream");
        assert_eq!(read(newest(Some(20))).await, (vec![10], true, false));
        let of_late = HistoryStart::Last(Rewind::Seconds(60));
        assert_eq!(read(of_late).await, (vec![10, 20], false, true), "nobody knows what was before");
        assert_eq!(read(HistoryStart::Oldest).await, (vec![10], false, true));
        world.bus.reads_at_once(2);
        let elsewhere = HistoryPosition { epoch: ENGINE + 1, number: THEN + 20 };
        assert_eq!(read(HistoryStart::Behind(elsewhere)).await, (vec![10, 20], false, true));
        world.bus.go_away();
        assert_eq!(read(HistoryStart::Behind(place(5))).await, (vec![10], false, false), "what there is");
    });
}
