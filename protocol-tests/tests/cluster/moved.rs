//! A node that stops in order: it says goodbye, and its clients move to the others.

use heliostat_protocol_tests::{Socket, patience, unique};

use crate::{REMOVED, Trio, all_list, assert_quiet, member, sorted, users_told};

/// A graceful stop: the members of the node leave, each once, and the others agree; nobody has waited for its death, for
/// nobody has found it dead.
///
/// Proves: N7.
#[test]
fn a_stopping_node_says_goodbye() {
    let trio = Trio::own(|setup| setup);
    let channel = unique("presence-room-");
    let mut watchers: Vec<Socket> =
        vec![member(&trio.nodes[1], &channel, "w1"), member(&trio.nodes[2], &channel, "w2")];
    let _leaving: Vec<Socket> = (0..20).map(|n| member(&trio.nodes[0], &channel, &format!("u{n}"))).collect();
    all_list(
        &trio.nodes,
        &channel,
        &sorted((0..20).map(|n| format!("u{n}")).chain(["w1".into(), "w2".into()])),
    );
    let _ = crate::settle(&trio.nodes, &channel, &mut watchers);
    trio.nodes[0].broker().terminate();
    let _ = trio.nodes[0].broker().await_exit(patience());
    for watcher in &mut watchers {
        assert_eq!(users_told(watcher, REMOVED, 20), sorted((0..20).map(|n| format!("u{n}"))));
    }
    all_list(&trio.nodes[1..], &channel, &sorted(["w1", "w2"]));
    assert_quiet(&trio.nodes[1..], &channel, &mut watchers);
    for node in &trio.nodes[1..] {
        let gone = |reason| node.metric("heliostat_cluster_peers_gone_total", reason);
        assert_eq!((gone("left"), gone("died")), (1.0, 0.0), "as {} sees it", node.name);
    }
}

/// Three nodes are restarted one after the other, each when the last is ready again; whoever moves is told to the others,
/// and at the end all agree.
///
/// Proves: N7, N17.
#[test]
fn nodes_are_restarted_one_after_the_other() {
    let mut trio = Trio::own(|setup| setup);
    let channel = unique("presence-room-");
    let mut sockets: Vec<(usize, Socket)> =
        (0..9).map(|n| (n % 3, member(&trio.nodes[n % 3], &channel, &format!("u{n}")))).collect();
    let everybody = sorted((0..9).map(|n| format!("u{n}")));
    all_list(&trio.nodes, &channel, &everybody);
    for restarted in 0..3 {
        trio.nodes[restarted].broker().terminate();
        for (n, (node, socket)) in sockets.iter_mut().enumerate() {
            if *node == restarted {
                *node = (restarted + 1) % 3;
                *socket = member(&trio.nodes[*node], &channel, &format!("u{n}"));
            }
        }
        let _ = trio.nodes[restarted].broker().await_exit(patience());
        let name = trio.nodes[restarted].name.clone();
        trio.nodes[restarted] = trio.setup.start_node(&name);
        all_list(&trio.nodes, &channel, &everybody);
    }
}
