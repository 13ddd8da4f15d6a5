//! Those who wait for somebody to say something, of whom the one that has been idle longest is evicted where there is no room:
//! whoever has come to say nothing must not keep out those who have come to say something.
//!
//! It knows nothing of what they are: HTTP connections, TLS handshakes and peers of the control socket use it alike.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use crate::hub::come_again;

/// Those of one thread that are idle, in the order in which they became it. Every call takes the same time however many
/// there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleList(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    links: RefCell<Links>,
    /// How many are idle. Only this thread changes it.
    idle: Arc<AtomicUsize>,
}

/// The place of one in the list, idle or not, until it is dropped.
#[derive(Debug)]
pub(crate) struct IdleEntry {
    list: Rc<Inner>,
    node: usize,
    /// Whether the runtime has looked at what there is of it.
    looked_at: Cell<bool>,
}

/// A doubly linked list within a vector; the nodes that are in use by nobody make another, singly linked.
#[derive(Debug, Default)]
struct Links {
    nodes: Vec<Node>,
    first: Option<usize>,
    last: Option<usize>,
    unused: Option<usize>,
}

#[derive(Debug, Default)]
struct Node {
    before: Option<usize>,
    after: Option<usize>,
    state: State,
    /// The task that is to hear of the eviction.
    task: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Busy,
    Idle,
    Evicted,
}

impl IdleList {
    /// Takes one more in. It counts as busy until somebody has looked whether it has something to say: of those who come
    /// together with very many others, nobody is to go before.
    pub(crate) fn enter(&self) -> IdleEntry {
        let node = self.0.links.borrow_mut().take_node();
        IdleEntry { list: Rc::clone(&self.0), node, looked_at: Cell::new(false) }
    }

    /// Takes one more in; where `most` are idle already, evicts the one that has been so longest.
    pub(crate) fn enter_within(&self, most: usize) -> IdleEntry {
        if self.len() >= most {
            self.evict_longest();
        }
        self.enter()
    }

    /// Evicts the one that has been idle longest. Returns whether there was one.
    pub(crate) fn evict_longest(&self) -> bool {
        let mut links = self.0.links.borrow_mut();
        let Some(longest) = links.first else { return false };
        links.unlink(longest);
        let node = &mut links.nodes[longest];
        node.state = State::Evicted;
        let task = node.task.take();
        drop(links);
        self.0.count(-1);
        if let Some(task) = task {
            task.wake();
        }
        true
    }

    /// How many are idle.
    pub(crate) fn len(&self) -> usize {
        self.0.idle.load(Ordering::Relaxed)
    }

    /// How many are idle, for other threads to look at.
    pub(crate) fn count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0.idle)
    }
}

impl Inner {
    fn count(&self, change: isize) {
        let idle = self.idle.load(Ordering::Relaxed);
        self.idle.store(idle.saturating_add_signed(change), Ordering::Relaxed);
    }
}

impl IdleEntry {
    /// Something has been said, and nothing is under way: the time of being idle begins anew. An eviction stands.
    pub(crate) fn set_idle(&self) {
        self.set_busy();
        self.keep_idle();
    }

    /// There is nothing of it. If it is idle already, its time goes on.
    pub(crate) fn keep_idle(&self) {
        let mut links = self.list.links.borrow_mut();
        if links.nodes[self.node].state == State::Busy {
            links.nodes[self.node].state = State::Idle;
            links.link_last(self.node);
            self.list.count(1);
        }
    }

    /// Something is under way for it, so it is not to be evicted. An eviction stands.
    pub(crate) fn set_busy(&self) {
        let mut links = self.list.links.borrow_mut();
        if links.nodes[self.node].state == State::Idle {
            links.unlink(self.node);
            links.nodes[self.node].state = State::Busy;
            self.list.count(-1);
        }
    }

    /// Whether it has been evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        self.list.links.borrow().nodes[self.node].state == State::Evicted
    }

    /// There is nothing of it to be read: it is idle. Ready once it is evicted.
    ///
    /// Before the first look of the runtime at a socket nobody knows what there is, so whoever is new is not idle before.
    pub(crate) fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.looked_at.replace(true) {
            come_again(context);
            return Poll::Pending;
        }
        self.keep_idle();
        self.poll_evicted(context)
    }

    /// Ready once it is evicted.
    pub(crate) fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        let node = &mut self.list.links.borrow_mut().nodes[self.node];
        if node.state == State::Evicted {
            return Poll::Ready(());
        }
        match &mut node.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Does this, which waits for the peer alone, unless it is evicted before that is done.
    pub(crate) async fn unless_evicted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_idle(context).map(|()| None),
        })
        .await
    }
}

impl Drop for IdleEntry {
    fn drop(&mut self) {
        self.set_busy();
        self.list.links.borrow_mut().give_back(self.node);
    }
}

impl Links {
    fn take_node(&mut self) -> usize {
        match self.unused {
            Some(node) => {
                self.unused = self.nodes[node].after.take();
                node
            }
            None => {
                self.nodes.push(Node::default());
                self.nodes.len() - 1
            }
        }
    }

    /// Takes back one that is in no list.
    fn give_back(&mut self, node: usize) {
        self.nodes[node] = Node { after: self.unused.replace(node), ..Node::default() };
    }

    fn link_last(&mut self, node: usize) {
        let before = self.last.replace(node);
        match before {
            Some(before) => self.nodes[before].after = Some(node),
            None => self.first = Some(node),
        }
        self.nodes[node].before = before;
        self.nodes[node].after = None;
    }

    fn unlink(&mut self, node: usize) {
        let Node { before, after, .. } = self.nodes[node];
        match before {
            Some(before) => self.nodes[before].after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => self.nodes[after].before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
