//! What this node's backends on the pipe want to hear of other nodes, and what those of others want to hear of it.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::channel::Fact;
use crate::event::BackendDemand;
use crate::hub::{AppState, Claim, OutgoingNotice};

use super::adapter::{Adapter, Subject};
use super::carried;
use super::claims::KnownFirst;
use super::envelope::{Content, NoticeMessage};
use super::listening::OwnDemand;
use super::node::ClusterNode;
use super::status::WordKind;

impl<A: Adapter> ClusterNode<A> {
    /// The backends that are connected to this node want to hear this of an app. The others are told when the engine has
    /// confirmed that what they say then comes. What is left of an app that another one of its id has followed does not
    /// change what is wanted of that.
    pub(super) fn set_demand(&self, state: &AppState, demand: BackendDemand) {
        let (app, of) = (state.shared_id(), state.index());
        let subject = Subject::Pipe { app: Arc::clone(app) };
        let demand = Arc::new(demand);
        // Held while others are told, so that they are told in order.
        let mut apps = self.listening.0.lock();
        if !demand.is_empty() && !state.is_last() {
            return;
        }
        if demand.is_empty() {
            if apps.get(app).is_none_or(|before| before.of != of) {
                return;
            }
            if let Some(before) = apps.remove(app) {
                self.release_subject(&subject);
                if before.is_confirmed {
                    self.tell_demand(app, demand);
                }
            }
            return;
        }
        match apps.entry(Arc::clone(app)) {
            Entry::Occupied(mut listening) => {
                let listening = listening.get_mut();
                listening.demand = Arc::clone(&demand);
                listening.of = of;
                if listening.is_confirmed {
                    self.tell_demand(app, demand);
                }
            }
            Entry::Vacant(entry) => {
                let claim = self.claim_subject(subject, KnownFirst::default());
                let is_confirmed = matches!(claim, Claim::Settled);
                entry.insert(OwnDemand { of, demand: Arc::clone(&demand), is_confirmed });
                match claim {
                    Claim::Settled => self.tell_demand(app, demand),
                    Claim::Waiting(settled) => {
                        let (this, app) = (self.this.clone(), Arc::clone(app));
                        self.runtime.spawn(async move {
                            // However it ends, it has waited for long enough.
                            let _ = settled.await;
                            if let Some(this) = this.upgrade() {
                                this.confirm_demand(&app);
                            }
                        });
                    }
                }
            }
        }
    }

    fn confirm_demand(&self, app: &Arc<str>) {
        let mut apps = self.listening.0.lock();
        if let Some(listening) = apps.get_mut(app)
            && !std::mem::replace(&mut listening.is_confirmed, true)
        {
            self.tell_demand(app, Arc::clone(&listening.demand));
        }
    }

    fn tell_demand(&self, app: &Arc<str>, demand: Arc<BackendDemand>) {
        if self.telling.tell(app, Fact::Backends { demand }) {
            self.flush();
        }
    }

    /// Says something that happened here to the nodes whose backends listen.
    pub(super) fn say_notice(&self, outgoing: &OutgoingNotice<'_>) {
        if self.is_away() {
            return self.lose_one();
        }
        let Some(notice) = carried::pack(outgoing.notice) else { return };
        let subject = Subject::Pipe { app: Arc::clone(outgoing.app.shared_id()) };
        let groups = outgoing.groups.to_vec();
        self.numbers.say(&subject, |number| {
            let message = NoticeMessage { epoch: number.epoch, number: number.number, groups, notice };
            self.say(&subject, WordKind::Notice, Content::Notice(message), None);
        });
    }
}
