//! Claims the id under which something is to be published, here and on all nodes, and remembers it afterwards, or frees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::event::{PublishFingerprint, PublishId};

use super::receipts::ENGINE_TIME;
use super::recent_publishes::{EarlierPublish, IdDigest, PublishAnswer, REMEMBERED_FOR};
use super::{AppState, Bus, Hub};

/// An id under which something may be published now, and nobody else publishes. Dropped before it was, the id is free again;
/// afterwards it is remembered.
#[must_use]
pub(crate) struct PublishClaim {
    app: Arc<AppState>,
    id: IdDigest,
    fingerprint: PublishFingerprint,
    /// What the engine was asked to keep, where there is one.
    elsewhere: Option<(Arc<dyn Bus>, Bytes)>,
    /// What the publisher is answered, once it was published.
    published: Option<PublishAnswer>,
}

impl AppState {
    /// Something is about to be published under an id: nobody else on this node publishes under it.
    ///
    /// # Errors
    /// With what is known of the id, if something was published under it.
    pub(crate) fn claim_publish(
        self: &Arc<Self>,
        id: &PublishId,
        fingerprint: PublishFingerprint,
    ) -> Result<PublishClaim, EarlierPublish> {
        let id = id.digest();
        self.publishes.claim(id, fingerprint, || self.clock().now())?;
        Ok(PublishClaim { app: Arc::clone(self), id, fingerprint, elsewhere: None, published: None })
    }
}

/// For a process that succeeds this one: it is told what was published here, as the engine of a cluster would be.
impl AppState {
    /// What was published under ids, each with its note, and for how much longer it is remembered. It is read piece by piece.
    pub(super) fn published(self: &Arc<Self>) -> impl Iterator<Item = (IdDigest, Bytes, Duration)> + use<> {
        let app = Arc::clone(self);
        app.publishes.published().into_iter().filter_map(move |id| {
            let (fingerprint, answer, expires_in) = app.publishes.recall(id, app.clock().now())?;
            Some((id, Noted::Published(answer).encode(fingerprint), expires_in))
        })
    }

    /// Takes over what was published there.
    pub(super) fn take_published(&self, id: IdDigest, note: &[u8], expires_in: Duration) {
        let most = self.app().limits.publish_ids;
        if let Some((fingerprint, Noted::Published(answer))) = Noted::decode(note)
            && most > 0
        {
            let expires_in = expires_in.min(REMEMBERED_FOR);
            self.publishes.take((id, fingerprint), (answer, expires_in), || self.clock().now(), most);
        }
    }
}

impl PublishClaim {
    /// The same on all nodes. While the engine between them cannot be reached, nor within a second, this node stands alone: so
    /// what was published on another one is sent again.
    ///
    /// # Errors
    /// With what the others know of the id.
    pub(crate) async fn everywhere(mut self, hub: &Hub) -> Result<Self, EarlierPublish> {
        let Some(bus) = hub.bus() else { return Ok(self) };
        // Each claim is another one: none takes another's place when that has been forgotten.
        let (node, number) = (hub.node_id().bits().to_be_bytes(), hub.next_version().number().to_be_bytes());
        let claim = Noted::Claimed { by: &[&node[..], &number].concat() }.encode(self.fingerprint);
        let asked = bus.claim_publish(&self.app, self.id, claim.clone());
        // Now, because whoever asks may hang up while this waits.
        self.elsewhere = Some((bus, claim));
        let Ok(Ok(Ok(Some(before)))) = timeout(ENGINE_TIME, asked).await else { return Ok(self) };
        self.elsewhere = None;
        match Noted::decode(&before) {
            Some((fingerprint, _)) if fingerprint != self.fingerprint => Err(EarlierPublish::OfAnother),
            Some((_, Noted::Claimed { .. })) => Err(EarlierPublish::UnderWay),
            Some((_, Noted::Published(answer))) => {
                self.app.publishes.count_repeated();
                Err(EarlierPublish::Answered(answer))
            }
            // Others may write there, too.
            None => Ok(self),
        }
    }

    /// It was published, and this is the answer.
    pub(crate) fn published(&mut self, answer: PublishAnswer) {
        self.published = Some(answer);
    }
}

impl Drop for PublishClaim {
    fn drop(&mut self) {
        let (app, published) = (&self.app, self.published.take());
        if let Some((bus, claim)) = self.elsewhere.take() {
            let noted = published.clone().map(|answer| Noted::Published(answer).encode(self.fingerprint));
            bus.settle_publish(app, self.id, claim, noted);
        }
        match published {
            None => app.publishes.release(self.id),
            Some(answer) => {
                let most = app.app().limits.publish_ids;
                app.publishes.answer(self.id, answer, || app.clock().now(), most);
            }
        }
    }
}

impl fmt::Debug for PublishClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishClaim").field("app", &self.app.id()).finish_non_exhaustive()
    }
}

/// What the engine keeps of an id, after the fingerprint.
#[derive(Debug, PartialEq, Eq)]
enum Noted<'n> {
    /// It is under way.
    Claimed { by: &'n [u8] },
    /// It was published, and this was the answer.
    Published(PublishAnswer),
}

impl<'n> Noted<'n> {
    fn encode(&self, fingerprint: PublishFingerprint) -> Bytes {
        let mut bytes = fingerprint.0.to_vec();
        match self {
            Noted::Claimed { by } => {
                bytes.push(0);
                bytes.extend_from_slice(by);
            }
            Noted::Published(None) => bytes.push(1),
            Noted::Published(Some(answer)) => {
                bytes.push(2);
                bytes.extend_from_slice(answer.as_bytes());
            }
        }
        bytes.into()
    }

    fn decode(bytes: &'n [u8]) -> Option<(PublishFingerprint, Self)> {
        let (fingerprint, rest) = bytes.split_first_chunk()?;
        let noted = match rest.split_first()? {
            (0, by) => Noted::Claimed { by },
            (1, []) => Noted::Published(None),
            (2, answer) => Noted::Published(Some(std::str::from_utf8(answer).ok()?.into())),
            _ => return None,
        };
        Some((PublishFingerprint(*fingerprint), noted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::connection::ConnectionConfig;
    use crate::hub::FakeBus;

    /// One node, and its app.
    type Place = (Arc<Hub>, Arc<AppState>);

    /// Two nodes with an app of the same id, on one bus.
    fn nodes() -> ([Place; 2], Arc<FakeBus>) {
        let bus = Arc::<FakeBus>::default();
        let node = |()| {
            let app = App::new("1", "k", "s");
            let hub = Hub::new(vec![(app, Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
            hub.set_bus(bus.clone());
            let app = hub.state_by_key("k").unwrap();
            (hub, app)
        };
        ([(), ()].map(node), bus)
    }

    async fn claim((hub, app): &Place, id: &str, text: &str) -> Result<PublishClaim, EarlierPublish> {
        let fingerprint = PublishFingerprint::of([text.as_bytes()]);
        app.claim_publish(&PublishId::parse(id).unwrap(), fingerprint)?.everywhere(hub).await
    }

    #[tokio::test]
    async fn what_one_node_has_published_another_does_not_publish() {
        let ([one, two], _) = nodes();
        let answer: PublishAnswer = Some("{\"channels\":{}}".into());
        let mut first = claim(&one, "a", "x").await.unwrap();
        assert_eq!(claim(&two, "a", "x").await.unwrap_err(), EarlierPublish::UnderWay);
        assert_eq!(claim(&one, "a", "x").await.unwrap_err(), EarlierPublish::UnderWay);
        assert_eq!(claim(&two, "a", "y").await.unwrap_err(), EarlierPublish::OfAnother);
        first.published(answer.clone());
        drop(first);
        for node in [&one, &two] {
            assert_eq!(claim(node, "a", "x").await.unwrap_err(), EarlierPublish::Answered(answer.clone()));
            assert_eq!(claim(node, "a", "y").await.unwrap_err(), EarlierPublish::OfAnother);
            assert_eq!(node.0.recent_publishes().figures().repeated, 1);
        }
        assert_eq!(two.0.recent_publishes().figures().ids, 0, "what others remember is remembered once");
    }

    #[tokio::test]
    async fn what_was_refused_is_free_on_all_nodes() {
        let ([one, two], _) = nodes();
        drop(claim(&one, "a", "x").await.unwrap());
        let mut second = claim(&two, "a", "y").await.unwrap();
        second.published(None);
        drop(second);
        assert_eq!(claim(&one, "a", "y").await.unwrap_err(), EarlierPublish::Answered(None));
    }

    #[tokio::test]
    async fn while_the_engine_is_away_a_node_stands_alone() {
        let ([one, two], bus) = nodes();
        bus.go_away();
        for node in [&one, &two] {
            let mut claimed = claim(node, "a", "x").await.unwrap();
            assert_eq!(claim(node, "a", "x").await.unwrap_err(), EarlierPublish::UnderWay);
            claimed.published(None);
            drop(claimed);
            assert_eq!(claim(node, "a", "x").await.unwrap_err(), EarlierPublish::Answered(None));
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else() {
        let fingerprint = PublishFingerprint::of([&b"x"[..]]);
        for noted in [
            Noted::Claimed { by: b"me" },
            Noted::Published(None),
            Noted::Published(Some("{}".into())),
            Noted::Published(Some("".into())),
        ] {
            let bytes = noted.encode(fingerprint);
            assert_eq!(Noted::decode(&bytes), Some((fingerprint, noted)));
        }
        let long = [7; 34];
        for bytes in [&b""[..], &long[..31], &long[..32], &long, &[&[0; 32][..], b"\x02\xff"].concat()] {
            assert_eq!(Noted::decode(bytes), None, "{bytes:?}");
        }
    }
}
