//! What goes wrong between a member and an engine within the process, when a test wants it to.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::engine::{LocalMemberId, LocalShared};
use super::fate::{Fate, Late};
use crate::cluster::adapter::{Subject, Word};

/// What is on its way to one member at once, where there is a delay. What is beyond it is lost.
const MAX_LATE: usize = 65_536;

/// The faults of one member.
#[derive(Clone)]
pub(crate) struct LocalFaults {
    shared: Arc<Mutex<LocalShared>>,
    member: LocalMemberId,
}

impl LocalFaults {
    pub(super) fn new(shared: Arc<Mutex<LocalShared>>, member: LocalMemberId) -> Self {
        LocalFaults { shared, member }
    }

    /// Cuts the member off: it is not heard, hears nothing, and knows it at once.
    pub(crate) fn cut(&self) {
        self.shared.lock().cut(self.member, true);
    }

    /// It reaches the engine again. What was said meanwhile is lost to it.
    pub(crate) fn heal(&self) {
        self.shared.lock().cut(self.member, false);
    }

    /// Decides what becomes of each word on its way to the member, from now on.
    pub(crate) fn fate(&self, fate: impl FnMut(&Word) -> Fate + Send + 'static) {
        if let Some(member) = self.shared.lock().member(self.member) {
            member.fate = Some(Box::new(fate));
        }
    }

    /// The next words of a subject have this fate; all others arrive.
    pub(crate) fn next(&self, subject: Subject, mut words: usize, fate: Fate) {
        self.fate(move |word| {
            if words == 0 || word.subject != subject {
                return Fate::Arrives;
            }
            words -= 1;
            fate
        });
    }

    /// The engine refuses the next subscription of a subject.
    pub(crate) fn refuse(&self, subject: Subject) {
        if let Some(member) = self.shared.lock().member(self.member) {
            member.refused = Some(subject);
        }
    }

    /// There is no room for so many of the next words that streams are to keep.
    pub(crate) fn fill(&self, words: usize) {
        if let Some(member) = self.shared.lock().member(self.member) {
            member.full = words;
        }
    }

    /// The engine refuses the next word that a stream is to keep.
    pub(crate) fn refuse_to_keep(&self) {
        if let Some(member) = self.shared.lock().member(self.member) {
            member.keeps_none = true;
        }
    }

    /// The engine takes the next word of a subject, and its answer is lost.
    pub(crate) fn lose_answer(&self, subject: Subject) {
        if let Some(member) = self.shared.lock().member(self.member) {
            member.unanswered = Some(subject);
        }
    }

    /// All that comes to the member takes so long from now on, in its order, and so does what it subscribes to: that holds,
    /// and is confirmed, only then. Within a runtime.
    pub(crate) fn delay(&self, delay: Duration) {
        let mut shared = self.shared.lock();
        let Some(member) = shared.member(self.member) else { return };
        member.delay = delay;
        if member.late.is_none() {
            let (sender, receiver) = mpsc::channel(MAX_LATE);
            member.late = Some(sender);
            tokio::spawn(arrive(self.clone(), receiver));
        }
    }
}

/// Lets everything arrive when it is due. It ends when the member has left.
async fn arrive(of: LocalFaults, mut late: mpsc::Receiver<Late>) {
    while let Some(next) = late.recv().await {
        let (Late::Word { due, .. } | Late::Want { due, .. }) = &next;
        sleep_until(*due).await;
        let mut shared = of.shared.lock();
        match next {
            Late::Want { subject, wants, ticket, .. } => shared.want_now(of.member, &subject, wants, ticket),
            Late::Word { word, .. } => {
                if let Some(member) = shared.member(of.member) {
                    member.put(word);
                }
            }
        }
    }
}
