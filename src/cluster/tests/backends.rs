use super::*;
use crate::cluster::status::WordKind;
use crate::event::{BackendDemand, NotificationFilter, NotificationKind};
use crate::hub::{Listener, Notice, OutgoingNotice};

/// Keeps what it is told of other nodes.
#[derive(Default)]
struct Hearer(Mutex<Vec<String>>);

impl Listener for Hearer {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, _: &Notice<'_>) {}

    fn notice_elsewhere(&self, _: &AppState, notice: &Notice<'_>, groups: &[Arc<str>]) {
        self.0.lock().push(format!("{notice:?} {groups:?}"));
    }
}

fn everything(socket: u32) -> BackendDemand {
    let filter = Arc::new(NotificationFilter::EVERYTHING);
    let kind = NotificationKind::SocketMessage;
    BackendDemand::of([(SocketId::new(socket, 1), kind, &filter)].into_iter())
}

fn subject() -> Subject {
    Subject::Pipe { app: "1".into() }
}

impl TestNode {
    fn listen(&self, demand: BackendDemand) {
        self.hub.bus().unwrap().listen(&self.app, demand);
    }

    fn is_listened_to(&self) -> bool {
        self.app.is_listened_to(Some("stream"), "frame")
    }

    fn carry(&self, socket: u32, groups: &[(crate::channel::NodeId, Arc<str>)]) {
        let notice = Notice::SocketOpened(SocketId::new(socket, 1));
        self.hub.bus().unwrap().carry_notice(&OutgoingNotice { app: &self.app, notice: &notice, groups });
    }

    fn notices_heard(&self) -> u64 {
        self.status().figures.heard[WordKind::Notice as usize].messages
    }
}

#[test]
fn what_backends_want_is_known_to_all_nodes_and_what_they_hear_costs_the_others_nothing() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let hearer = Arc::<Hearer>::default();
    let listeners: Vec<Arc<dyn Listener>> = vec![hearer.clone()];
    b.hub.set_apps(vec![(app(), Some(listeners))]).unwrap();
    assert_eq!(engine.wanted_by(&subject()), 0);
    b.listen(everything(1));
    until("all know", || a.is_listened_to() && c.is_listened_to());
    assert_eq!(engine.wanted_by(&subject()), 1, "those who are told can be sure that it comes");
    let late = TestNode::start(&engine, "late");
    until("one that starts later knows", || late.is_listened_to());
    let me = b.hub.node_id();
    a.carry(1, &[]);
    a.carry(2, &[(me, "workers".into()), (a.hub.node_id(), "others".into())]);
    until("both", || hearer.0.lock().len() == 2);
    let expected = [(1, "[]"), (2, "[\"workers\"]")]
        .map(|(n, groups)| format!("SocketOpened({:?}) {groups}", SocketId::new(n, 1)));
    assert_eq!(*hearer.0.lock(), expected);
    assert_eq!((b.notices_heard(), c.notices_heard(), a.notices_heard()), (2, 0, 0));
    assert_eq!(a.status().figures.said[WordKind::Notice as usize].messages, 2, "one publish for each");
    b.listen(BackendDemand::default());
    until("nobody listens", || [&a, &c, &late].iter().all(|node| !node.is_listened_to()));
    until("nobody wants it", || engine.wanted_by(&subject()) == 0);
}

#[test]
fn what_backends_want_of_a_node_that_is_dead_is_wanted_no_more() {
    let engine = LocalEngine::new();
    let [a, mut b]: [TestNode; 2] = nodes(&engine);
    b.listen(everything(1));
    until("it is known", || a.is_listened_to());
    b.kill();
    until("it is dead", || !a.is_listened_to());
}

#[test]
fn what_is_left_of_a_removed_app_does_not_change_what_the_new_one_wants() {
    let engine = LocalEngine::new();
    let [a, mut b]: [TestNode; 2] = nodes(&engine);
    b.listen(everything(1));
    until("a knows", || a.is_listened_to());
    let old = Arc::clone(&b.app);
    b.hub.set_apps(Vec::new()).unwrap();
    b.hub.set_apps(vec![(app(), Some(Vec::new()))]).unwrap();
    b.app = b.hub.state_by_key("k").unwrap();
    b.listen(everything(2));
    let listen = |state: &AppState, demand| b.hub.bus().unwrap().listen(state, demand);
    listen(&old, everything(3));
    listen(&old, BackendDemand::default());
    let _later = b.joined("later", None);
    until("all has been heard", || a.app.subscription_count(&channel("later")) == 1);
    assert!(a.is_listened_to());
    b.listen(BackendDemand::default());
    until("nobody wants anything", || !a.is_listened_to());
}
