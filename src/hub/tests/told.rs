//! What the other nodes are told, by a hub that has a bus.

use crate::channel::{Fact, Member};
use crate::connection::{Cleanup, Join, JoinNumber};
use crate::hub::Shutdown;
use crate::hub::fake_bus::FakeBus;

use super::*;

/// One worker, on a runtime, of a hub with a bus; an app of at most two connections.
fn with_bus(test: impl AsyncFnOnce(&Arc<Hub>, &Rc<Worker>, &FakeBus)) {
    let limits = Limits { connections: 2, ..Limits::default() };
    let hub = hub(vec![App { limits, ..App::new("1", "k", "s") }]);
    let bus = Arc::<FakeBus>::default();
    hub.set_bus(Arc::clone(&bus) as Arc<dyn Bus>);
    actix_web::rt::System::new().block_on(async {
        test(&hub, &Worker::of_this_thread(&hub).unwrap(), &bus).await;
    });
}

fn join(worker: &Rc<Worker>, client: &Rc<Client>, channel: &ChannelName, member: Option<&Member>) {
    let (channel, member) = (channel.clone(), member.cloned());
    let number = JoinNumber::default();
    let join = Join { channel, member, authorizes: false, number, wanted: None };
    worker.join(client, &join).unwrap().unwrap();
}

/// Ends a connection, and waits until nothing is left of it.
async fn end(worker: &Worker, client: &Rc<Client>, subscriptions: Vec<ChannelName>, user_id: Option<&str>) {
    let user_id = user_id.map(Arc::from);
    worker.disconnect(client, Cleanup { subscriptions, user_id, ..Cleanup::default() }, None);
    while worker.hub().is_connected(client.app(), client.socket_id()) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_comes_back_from_the_engine_is_delivered_before_those_who_await_it_are_closed() {
    with_bus(async |hub, worker, bus| {
        let app = hub.state_by_key("k").unwrap();
        let (client, _) = client(worker, &app);
        hub.stop_work(Shutdown::Soon);
        assert!(!bus.is_rid_of_awaited());
        let is_here = || hub.is_connected(&app, client.socket_id());
        hub.drain(|| assert!(bus.is_rid_of_awaited() && is_here())).await;
    });
}

#[test]
fn subscriptions_are_told_with_how_many_are_here_and_members_by_the_names_of_their_joins() {
    with_bus(async |hub, worker, bus| {
        let app = hub.state_by_key("k").unwrap();
        let (news, room) =
            (ChannelName::parse("news", 164).unwrap(), ChannelName::parse("presence-a", 164).unwrap());
        let (first, second) = (client(worker, &app).0, client(worker, &app).0);
        bus.take_told();
        let ann = Member { user_id: "ann".into(), user_info: Some("{}".into()) };
        join(worker, &first, &news, None);
        join(worker, &first, &room, Some(&ann));
        join(worker, &second, &room, None);
        worker.leave(&first, &room);
        worker.leave(&first, &room);
        end(worker, &second, vec![room.clone()], None).await;
        let told = bus.take_told();
        let versions: Vec<_> = told
            .iter()
            .filter_map(|fact| match fact {
                Fact::Subscribers { version, .. }
                | Fact::Joined { version, .. }
                | Fact::Left { version, .. } => Some(*version),
                _ => None,
            })
            .collect();
        let [of_news, joined, of_stream, left, last] = <[_; 5]>::try_from(versions).unwrap();
        assert!(of_news < joined && joined < of_stream && of_stream < left && left < last);
        let of_room = |count, version| Fact::Subscribers { channel: room.clone(), count, version };
        let expected = [
            Fact::Subscribers { channel: news, count: 1, version: of_news },
            Fact::Joined { channel: room.clone(), version: joined, member: ann },
            of_room(1, of_stream),
            Fact::Left { channel: room.clone(), joined, version: left },
            of_room(0, last),
            Fact::Connections { count: 1 },
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn a_user_is_told_with_its_first_connection_here_and_with_its_last() {
    with_bus(async |hub, worker, bus| {
        let app = hub.state_by_key("k").unwrap();
        let (first, second) = (client(worker, &app).0, client(worker, &app).0);
        bus.take_told();
        let ann: Arc<str> = "ann".into();
        let answer = || server_message::signin_success("{}");
        for client in [&first, &second] {
            worker.sign_in(client, &ann, &[], answer(), false).unwrap();
        }
        assert_eq!(bus.take_told(), [Fact::SignedIn { user_id: Arc::clone(&ann) }]);
        end(worker, &first, Vec::new(), Some("ann")).await;
        assert_eq!(bus.take_told(), [Fact::Connections { count: 1 }]);
        end(worker, &second, Vec::new(), Some("ann")).await;
        assert_eq!(bus.take_told(), [Fact::SignedOut { user_id: ann }, Fact::Connections { count: 0 }]);
    });
}

#[test]
fn connections_of_all_nodes_count_towards_the_limit_of_an_app() {
    with_bus(async |hub, worker, bus| {
        let app = hub.state_by_key("k").unwrap();
        let elsewhere = |count| {
            hub.change_elsewhere("1", NodeId::new(1), &crate::channel::Change::Connections { count })
                .unwrap();
        };
        elsewhere(1);
        let first = client(worker, &app).0;
        assert_eq!(worker.admit(&app, true).err(), Some(NotAdmitted::AppFull));
        elsewhere(5);
        assert_eq!(hub.connections_of(&app), 1, "nobody is thrown out");
        end(worker, &first, Vec::new(), None).await;
        assert_eq!(worker.admit(&app, true).err(), Some(NotAdmitted::AppFull));
        elsewhere(0);
        assert!(worker.admit(&app, true).is_ok());
        let counts = [1, 0, 1].map(|count| Fact::Connections { count });
        assert_eq!(bus.take_told(), counts);
        let unlimited = App::new("1", "k", "s");
        hub.set_apps(vec![(unlimited.clone(), None)]).unwrap();
        worker.admit(&app, true).unwrap();
        assert!(bus.take_told().is_empty(), "there is no limit");
        hub.set_apps(vec![(
            App { limits: Limits { connections: 9, ..Limits::default() }, ..unlimited },
            None,
        )])
        .unwrap();
        assert_eq!(bus.take_told(), [Fact::Connections { count: 2 }]);
    });
}
