//! What the engine keeps of the ids under which backends publish: so a publisher may ask another node again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::NodeId;
use crate::hub::{AppState, BusAway, ClaimedBefore, HandedOver, IdDigest, REMEMBERED_FOR};

use super::adapter::{Adapter, NoteName, OtherNote, Subject};
use super::envelope::Content;
use super::node::ClusterNode;
use super::status::WordKind;

/// How long a claim is kept that nobody settles, because its node has died: much longer than any request is under way, which
/// waits a second for the engine at the most, twice.
const CLAIMED_FOR: Duration = Duration::from_secs(10);

impl<A: Adapter> ClusterNode<A> {
    /// What the engine keeps of an id is found by this.
    pub(super) fn note_of(app: &AppState, id: IdDigest) -> NoteName {
        NoteName { app: app.shared_id().clone(), number: id }
    }

    /// Puts a claim there, if there is nothing yet; what there is.
    pub(super) async fn claim_note(&self, name: &NoteName, claim: Bytes) -> ClaimedBefore {
        match self.adapter.write_note(name, None, Some((claim, CLAIMED_FOR))).await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(OtherNote(Some(before)))) => Ok(Some(before)),
            Ok(Err(OtherNote(None))) | Err(_) => Err(BusAway),
        }
    }

    /// Tells the process that succeeds this one what was published here.
    pub(super) fn tell_published(&self, app: &AppState, id: IdDigest, note: &Bytes) {
        let nodes: Vec<NodeId> = self.peers.lock().iter().map(|(node, _)| node).collect();
        for node in nodes {
            let handed = HandedOver::Published { id, note: note.clone(), expires_in: REMEMBERED_FOR };
            let content = Content::HandedOver { app: Arc::clone(app.shared_id()), handed };
            self.say(&Subject::Node(node), WordKind::Direct, content, None);
        }
    }

    /// Puts in place of a claim what was published, or nothing. Where the engine does not take it, the claim ends by itself.
    pub(super) async fn settle_note(&self, name: &NoteName, claim: Bytes, published: Option<Bytes>) {
        let published = published.map(|published| (published, REMEMBERED_FOR));
        let settled = self.adapter.write_note(name, Some(claim), published.clone()).await;
        // The claim was not taken, or has ended.
        if let (Ok(Err(OtherNote(None))), Some(published)) = (settled, published) {
            let _ = self.adapter.write_note(name, None, Some(published)).await;
        }
    }
}
