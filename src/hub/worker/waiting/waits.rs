//! The joins of one worker's connections that wait, and the answers that have not been taken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::task::AbortHandle;

use crate::connection::{Join, JoinAnswer, JoinNumber};
use crate::hub::Client;
use crate::protocol::ChannelName;

use super::super::{ClientKey, key};

/// Those of one worker. A connection has at most one to each channel, and as many as it may have subscriptions.
#[derive(Default)]
pub(in crate::hub::worker) struct WaitingJoins {
    joins: RefCell<HashMap<(ClientKey, ChannelName), WaitingJoin>>,
    answers: RefCell<HashMap<ClientKey, Vec<JoinAnswer>>>,
}

/// One of them.
pub(super) struct WaitingJoin {
    pub(super) client: Rc<Client>,
    pub(super) join: Join,
    /// What settles it.
    pub(super) task: AbortHandle,
}

impl WaitingJoins {
    /// How many joins wait, or have been answered and the answers not taken.
    pub(in crate::hub::worker) fn len(&self) -> usize {
        self.joins.borrow().len() + self.answers.borrow().values().map(Vec::len).sum::<usize>()
    }

    pub(super) fn insert(&self, waiting: WaitingJoin) {
        let place = (key(&waiting.client), waiting.join.channel.clone());
        self.joins.borrow_mut().insert(place, waiting);
    }

    /// Takes the join of a connection to a channel out, if it has this number.
    pub(super) fn take(
        &self,
        place: &(ClientKey, ChannelName),
        number: Option<JoinNumber>,
    ) -> Option<WaitingJoin> {
        let mut joins = self.joins.borrow_mut();
        let is_it = number.is_none_or(|number| joins.get(place).is_some_and(|it| it.join.number == number));
        if is_it { joins.remove(place) } else { None }
    }

    pub(super) fn answer(&self, client: ClientKey, answer: JoinAnswer) {
        self.answers.borrow_mut().entry(client).or_default().push(answer);
    }

    pub(super) fn take_answers(&self, client: ClientKey) -> Vec<JoinAnswer> {
        self.answers.borrow_mut().remove(&client).unwrap_or_default()
    }

    /// Forgets answers that a connection has not taken, which has ended.
    pub(in crate::hub::worker) fn forget(&self, client: ClientKey) {
        if !self.answers.borrow().is_empty() {
            self.answers.borrow_mut().remove(&client);
        }
    }
}
