//! Chooses of each group the backend that hears of a notice, wherever it is connected.

use std::sync::Arc;

use crate::channel::NodeId;
use crate::event::{ConsumerGroup, rendezvous_weight};
use crate::protocol::SocketId;

use super::client::PipeClient;
use super::notification::NoticeSubject;

/// The best of each group so far; groups are few. The same one is found whatever node it is held on.
pub(super) struct Election<'c> {
    subject: NoticeSubject<'c>,
    leading: Vec<(Arc<str>, u64, Candidate<'c>)>,
}

/// A member of a group.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'c> {
    /// It is connected to this node.
    Here(&'c PipeClient),
    /// It is connected to that one.
    There(NodeId),
}

impl<'c> Election<'c> {
    /// Who hears of what this is about.
    pub(super) fn new(subject: NoticeSubject<'c>) -> Self {
        Election { subject, leading: Vec::new() }
    }

    /// A member that wants to hear of it.
    pub(super) fn stand(&mut self, group: &ConsumerGroup, member: SocketId, candidate: Candidate<'c>) {
        let weight = rendezvous_weight(&self.subject.key(group), &member.to_string());
        match self.leading.iter_mut().find(|(name, ..)| *name == group.name) {
            Some(best) if best.1 >= weight => {}
            Some(best) => (best.1, best.2) = (weight, candidate),
            None => self.leading.push((Arc::clone(&group.name), weight, candidate)),
        }
    }

    /// Who is chosen, for each group.
    pub(super) fn chosen(self) -> impl Iterator<Item = (Arc<str>, Candidate<'c>)> {
        self.leading.into_iter().map(|(group, _, candidate)| (group, candidate))
    }
}
