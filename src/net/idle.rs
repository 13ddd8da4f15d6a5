//! Lists idle connections, of which the one that has been idle longest is evicted where there is no room: a client that
//! sends nothing must not keep out those that do.
//!
//! HTTP connections, TLS handshakes and peers of the control socket use it alike.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use crate::hub::come_again;

/// The connections of one thread that are idle, in the order in which they became idle. Every call takes the same time
/// however many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleList(Rc<IdleListInner>);

/// What the list and its entries share.
#[derive(Debug, Default)]
struct IdleListInner {
    links: RefCell<IdleLinks>,
    /// How many are idle. Only this thread changes it.
    idle: Arc<AtomicUsize>,
}

/// The entry of one connection in the list, idle or not, until it is dropped.
#[derive(Debug)]
pub(crate) struct IdleEntry {
    list: Rc<IdleListInner>,
    node: usize,
    /// Whether the runtime has looked if there is something to read.
    polled_before: Cell<bool>,
}

/// A doubly linked list within a vector; the nodes that are in use by nobody make another, singly linked.
#[derive(Debug, Default)]
struct IdleLinks {
    nodes: Vec<IdleNode>,
    first: Option<usize>,
    last: Option<usize>,
    unused: Option<usize>,
}

/// A node of the list: one entry.
#[derive(Debug, Default)]
struct IdleNode {
    before: Option<usize>,
    after: Option<usize>,
    state: IdleState,
    /// The task that is to hear of the eviction.
    task: Option<Waker>,
}

/// Whether one may be evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IdleState {
    #[default]
    Busy,
    Idle,
    Evicted,
}

impl IdleList {
    /// Adds an entry. It counts as busy until the runtime has looked whether there is something to read: of many
    /// connections that come together, none is evicted before.
    pub(crate) fn enter(&self) -> IdleEntry {
        let node = self.0.links.borrow_mut().take_node();
        IdleEntry { list: Rc::clone(&self.0), node, polled_before: Cell::new(false) }
    }

    /// Adds an entry; where `most` are idle already, evicts the one that has been idle longest.
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
        node.state = IdleState::Evicted;
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

impl IdleListInner {
    fn count(&self, change: isize) {
        let idle = self.idle.load(Ordering::Relaxed);
        self.idle.store(idle.saturating_add_signed(change), Ordering::Relaxed);
    }
}

impl IdleEntry {
    /// The peer sent or took something, and nothing is under way: its idle time begins anew. An eviction stands.
    pub(crate) fn set_idle(&self) {
        self.set_busy();
        self.keep_idle();
    }

    /// There is nothing to read. If it is idle already, its time goes on.
    pub(crate) fn keep_idle(&self) {
        let mut links = self.list.links.borrow_mut();
        if links.nodes[self.node].state == IdleState::Busy {
            links.nodes[self.node].state = IdleState::Idle;
            links.link_last(self.node);
            self.list.count(1);
        }
    }

    /// Something is under way for it, so it is not to be evicted. An eviction stands.
    pub(crate) fn set_busy(&self) {
        let mut links = self.list.links.borrow_mut();
        if links.nodes[self.node].state == IdleState::Idle {
            links.unlink(self.node);
            links.nodes[self.node].state = IdleState::Busy;
            self.list.count(-1);
        }
    }

    /// Whether it has been evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        self.list.links.borrow().nodes[self.node].state == IdleState::Evicted
    }

    /// There is nothing of it to be read: it is idle. Ready once it is evicted.
    ///
    /// Before the runtime has looked at a socket it is unknown what there is to read, so a new entry is not idle before.
    pub(crate) fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.polled_before.replace(true) {
            come_again(context);
            return Poll::Pending;
        }
        self.keep_idle();
        self.poll_evicted(context)
    }

    /// Ready once it is evicted.
    pub(crate) fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        let node = &mut self.list.links.borrow_mut().nodes[self.node];
        if node.state == IdleState::Evicted {
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

impl IdleLinks {
    fn take_node(&mut self) -> usize {
        match self.unused {
            Some(node) => {
                self.unused = self.nodes[node].after.take();
                node
            }
            None => {
                self.nodes.push(IdleNode::default());
                self.nodes.len() - 1
            }
        }
    }

    /// Takes back one that is in no list.
    fn give_back(&mut self, node: usize) {
        self.nodes[node] = IdleNode { after: self.unused.replace(node), ..IdleNode::default() };
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
        let IdleNode { before, after, .. } = self.nodes[node];
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
mod tests;
