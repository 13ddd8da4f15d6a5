//! Which backends hear of what, here and on other nodes, with a bus that leads nowhere.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::app::App;
use crate::channel::{Change, ChannelVersion, NodeId};
use crate::connection::ConnectionConfig;
use crate::event::{AcceptedEvent, Destination, Glob, Source};
use crate::hub::FakeBus;
use crate::pipe::wire::Dialect;
use crate::pipe::wire::outgoing_queue::OutgoingBounds;
use crate::protocol::ChannelName;
use crate::protocol::json::Data;

/// A hub with backends that are connected to it, and one who listens as rules and webhooks do.
struct World {
    hub: Arc<Hub>,
    app: Arc<AppState>,
    bus: Arc<FakeBus>,
    clients: Arc<PipeClients>,
    others: Arc<NoticeCounter>,
}

/// Counts all that it hears.
#[derive(Default)]
struct NoticeCounter(AtomicUsize);

impl Listener for NoticeCounter {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, _: &Notice<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

const NODES: [NodeId; 2] = [NodeId::new(1), NodeId::new(2)];

fn socket(n: u32) -> SocketId {
    SocketId::new(n, n)
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

fn filter(of: &str, group: Option<&str>) -> NotificationFilter {
    let group = group.map(|name| ConsumerGroup { name: name.into(), by: GroupBy::Socket });
    let channels = Some(vec![Glob::parse(of).unwrap()]);
    NotificationFilter { channels, group, ..NotificationFilter::EVERYTHING }
}

fn demand(kind: NotificationKind, filter: &NotificationFilter, members: &[u32]) -> Arc<BackendDemand> {
    let filter = Arc::new(filter.clone());
    let backends = members.iter().map(|n| (socket(*n), kind, &filter));
    Arc::new(BackendDemand::of(backends))
}

impl World {
    fn new() -> Self {
        let (clients, others) = (Arc::<PipeClients>::default(), Arc::<NoticeCounter>::default());
        let listeners: Vec<Arc<dyn Listener>> = vec![clients.clone(), others.clone()];
        let app = App::new("1", "k", "s");
        let hub = Hub::new(vec![(app, listeners)], ConnectionConfig::default(), 1, 0).unwrap();
        let bus = Arc::<FakeBus>::default();
        hub.set_bus(bus.clone());
        let app = hub.state_by_key("k").unwrap();
        World { hub, app, bus, clients, others }
    }

    fn backend(&self, n: u32, kind: NotificationKind, filter: NotificationFilter) -> Arc<PipeClient> {
        let bounds = OutgoingBounds { bytes: 1 << 20, messages: 10_000 };
        let client = Arc::new(PipeClient::new(socket(n), Dialect::V1_0, "", bounds));
        self.clients.add(&client, 100).unwrap();
        self.clients.subscribe(&self.app, &client, kind.bit(), filter).unwrap();
        self.app.listening_changed();
        client
    }

    fn elsewhere(&self, node: NodeId, demand: &Arc<BackendDemand>) {
        let change = Change::Backends { demand: Arc::clone(demand) };
        self.hub.change_elsewhere("1", node, &change).unwrap();
    }

    fn say(&self, from: u32, on: &str) {
        let source = Source::Client { socket_id: socket(from), user_id: None };
        let to = Destination::Listeners { channel: Some(channel(on)) };
        let (name, data) = ("frame".into(), Data::of_text("x"));
        self.hub.accept(&self.app, &AcceptedEvent { source, to, name, data, raw: None });
    }
}

fn heard(client: &PipeClient) -> usize {
    std::iter::from_fn(|| client.take(1).pop()).count()
}

#[test]
fn what_is_wanted_elsewhere_is_carried_once_and_clients_may_say_it() {
    let world = World::new();
    let message = NotificationKind::SocketMessage;
    let small = world.app.message_bytes();
    world.say(1, "stream");
    assert!(!world.app.is_listened_to(Some("stream"), "frame"));
    for node in NODES {
        world.elsewhere(node, &demand(message, &filter("stream", None), &[7, 8]));
    }
    assert!(world.app.is_listened_to(Some("stream"), "frame"));
    assert!(!world.app.is_listened_to(Some("door"), "frame"));
    assert!(world.app.message_bytes() > small);
    assert!(world.bus.take_notices().is_empty());
    world.say(1, "stream");
    world.say(1, "door");
    let carried = world.bus.take_notices();
    assert_eq!((carried.len(), carried[0].1.len()), (1, 0), "{carried:?}");
    world.elsewhere(NODES[0], &Arc::default());
    world.say(1, "stream");
    assert_eq!(world.bus.take_notices().len(), 1, "the other one listens");
    world.elsewhere(NODES[1], &Arc::default());
    world.say(1, "stream");
    assert!(world.bus.take_notices().is_empty() && !world.app.is_listened_to(Some("stream"), "frame"));
}

#[test]
fn of_a_group_one_hears_each_wherever_it_is_and_here_if_the_others_cannot_be_reached() {
    const EVENTS: u32 = 300;
    let world = World::new();
    let (message, shared) = (NotificationKind::SocketMessage, filter("work", Some("workers")));
    let here = world.backend(100, message, shared.clone());
    world.elsewhere(NODES[0], &demand(message, &shared, &[101]));
    world.elsewhere(NODES[1], &demand(message, &shared, &[102, 103]));
    let mut shares = [0_u32; 3];
    for n in 0..EVENTS {
        world.say(n, "work");
        let carried = world.bus.take_notices();
        match (heard(&here), &carried[..]) {
            (1, []) => shares[0] += 1,
            (0, [(_, groups)]) => {
                assert_eq!((groups.len(), &*groups[0].1), (1, "workers"));
                shares[1 + usize::from(groups[0].0 == NODES[1])] += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let expected = [EVENTS / 4, EVENTS / 4, EVENTS / 2];
    for (share, expected) in shares.into_iter().zip(expected) {
        assert!((expected / 2..expected * 2).contains(&share), "{shares:?}");
    }
    world.bus.go_away();
    (0..EVENTS).for_each(|n| world.say(n, "work"));
    assert_eq!(heard(&here), EVENTS as usize);
}

#[test]
fn what_happened_elsewhere_is_for_backends_alone_and_for_those_of_groups_that_are_called() {
    let world = World::new();
    let existence = NotificationKind::SocketExistence;
    let all = world.backend(1, existence, filter("*", None));
    let shared = filter("*", Some("workers"));
    let workers = [2, 3].map(|n| world.backend(n, existence, shared.clone()));
    world.elsewhere(NODES[0], &demand(existence, &shared, &[4]));
    for n in 0..50 {
        let groups: &[Arc<str>] =
            if n < 20 { &["workers".into(), "others".into()] } else { &["others".into()] };
        world.hub.hear_from_elsewhere("1", &Notice::SocketOpened(socket(n)), groups);
    }
    world.hub.hear_from_elsewhere("nobody", &Notice::SocketOpened(socket(1)), &[]);
    assert_eq!((heard(&all), workers.iter().map(|worker| heard(worker)).sum::<usize>()), (50, 20));
    assert_eq!(world.others.0.load(Ordering::Relaxed), 0, "whoever acts has acted where it happened");
    assert!(world.bus.take_notices().is_empty(), "nor is it carried on");
}

#[test]
fn what_every_node_announces_one_of_a_group_hears_and_nobody_carries() {
    const CHANNELS: usize = 60;
    let world = World::new();
    let existence = NotificationKind::ChannelExistence;
    let shared = filter("room-*", Some("workers"));
    let (all, worker) =
        (world.backend(1, existence, filter("room-*", None)), world.backend(2, existence, shared.clone()));
    world.elsewhere(NODES[0], &demand(existence, &shared, &[3]));
    for n in 0..CHANNELS {
        let (channel, version) = (channel(&format!("room-{n}")), ChannelVersion::new(1));
        let change = Change::Subscribers { channel, count: 1, version };
        world.hub.change_elsewhere("1", NODES[1], &change).unwrap();
    }
    assert_eq!(heard(&all), CHANNELS);
    let share = heard(&worker);
    assert!((CHANNELS / 5..CHANNELS * 4 / 5).contains(&share), "{share}");
    assert!(world.bus.take_notices().is_empty());
}

#[test]
fn others_are_told_what_is_wanted_and_a_group_has_one_key_on_all_nodes() {
    let world = World::new();
    let message = NotificationKind::SocketMessage;
    let bus: Arc<dyn Bus> = world.bus.clone();
    let shared = filter("work", Some("workers"));
    let client = world.backend(5, message, shared.clone());
    world.clients.tell_demand(&world.app, Some(&bus));
    assert_eq!(world.bus.demand(), *demand(message, &shared, &[5]));
    let mut other = filter("work", Some("far away"));
    world.elsewhere(NODES[0], &demand(message, &other, &[6]));
    other.group = Some(ConsumerGroup { name: "far away".into(), by: GroupBy::Channel });
    let refused = world.clients.subscribe(&world.app, &client, message.bit(), other);
    assert_eq!(refused, Err(GroupConflict { by: GroupBy::Socket }));
    world.clients.remove(&client);
    world.clients.tell_demand(&world.app, Some(&bus));
    assert!(world.bus.demand().is_empty());
}
