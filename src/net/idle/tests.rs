//! The order of evictions, and what is left of entries that are dropped.

use super::*;

fn evicted(entries: &[IdleEntry]) -> Vec<usize> {
    (0..entries.len()).filter(|entry| entries[*entry].is_evicted()).collect()
}

fn enter(list: &IdleList) -> IdleEntry {
    let entry = list.enter();
    entry.keep_idle();
    entry
}

#[test]
fn whoever_has_not_been_looked_at_is_not_idle() {
    let list = IdleList::default();
    let entry = list.enter();
    let context = &mut Context::from_waker(Waker::noop());
    for looks in 0..2 {
        assert!(!list.evict_longest() && !entry.is_evicted(), "{looks}");
        assert!(entry.poll_idle(context).is_pending());
    }
    assert!(list.evict_longest() && entry.poll_idle(context).is_ready());
}

#[test]
fn the_one_that_has_been_idle_longest_goes_first() {
    let list = IdleList::default();
    let entries: Vec<_> = (0..5).map(|_| enter(&list)).collect();
    // Busy; busy and idle again; heard of again.
    entries[1].set_busy();
    entries[0].set_busy();
    entries[0].set_idle();
    entries[2].set_idle();
    entries[3].keep_idle();
    assert_eq!(list.len(), 4);
    let order: Vec<_> = [vec![3], vec![3, 4], vec![0, 3, 4], vec![0, 2, 3, 4]].into();
    for so_far in order {
        assert!(list.evict_longest());
        assert_eq!(evicted(&entries), so_far);
    }
    assert!(!list.evict_longest(), "whoever is busy stays");
    assert_eq!(list.len(), 0);
    entries[1].set_idle();
    entries[0].set_idle();
    assert!(entries[0].is_evicted(), "an eviction stands");
    assert!(list.evict_longest() && entries[1].is_evicted());
}

fn enter_within(list: &IdleList, most: usize) -> IdleEntry {
    let entry = list.enter_within(most);
    entry.keep_idle();
    entry
}

#[test]
fn there_are_never_more_idle_than_are_let_in() {
    let list = IdleList::default();
    let mut entries: Vec<_> = (0..3).map(|_| enter_within(&list, 3)).collect();
    // One that is over makes room.
    drop(entries.remove(1));
    entries.push(enter_within(&list, 3));
    assert!(evicted(&entries).is_empty());
    entries.push(enter_within(&list, 3));
    assert_eq!((evicted(&entries), list.len()), (vec![0], 3));
}

#[test]
fn nothing_is_left_of_those_who_have_gone() {
    let list = IdleList::default();
    let mut entries: Vec<_> = (0..100).map(|_| enter(&list)).collect();
    entries[7].set_busy();
    assert!(list.evict_longest());
    // In an order that is not theirs.
    while !entries.is_empty() {
        drop(entries.swap_remove(entries.len() / 3));
    }
    assert_eq!(list.len(), 0);
    assert!(!list.evict_longest());
    let again: Vec<_> = (0..100).map(|_| enter(&list)).collect();
    assert_eq!(list.0.links.borrow().nodes.len(), 100, "their nodes are used again");
    assert!(list.evict_longest() && again[0].is_evicted());
}

#[tokio::test]
async fn what_an_evicted_one_does_is_given_up() {
    let list = IdleList::default();
    let entry = list.enter();
    assert_eq!(entry.unless_evicted(std::future::ready(1)).await, Some(1));
    let (given_up, ()) = tokio::join!(entry.unless_evicted(std::future::pending::<()>()), async {
        while !list.evict_longest() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(given_up, None);
}
