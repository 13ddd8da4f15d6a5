//! Says what is owed to the engine when it is there again, each channel's events in their order. What it may have already is looked
//! for first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::adapter::{Adapter, EngineError, Keeping, Subject};
use super::envelope::{Content, Envelope};
use super::event_numbers::EventNumber;
use super::fetches::PAGE;
use super::node::ClusterNode;
use super::owed::OwedNext;
use super::status::{Loss, WordKind};

/// Channels whose events are said side by side.
const PAID_AT_ONCE: usize = 64;

/// How long the engine has for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// How soon it is tried again where it did not work.
const AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

impl<A: Adapter> ClusterNode<A> {
    /// Says what is owed until it is dropped.
    pub(super) async fn pay(self: Arc<Self>) {
        loop {
            self.owed.woken.notified().await;
            while self.owed.are_there() {
                let mut paying = JoinSet::new();
                for subject in self.owed.subjects() {
                    if self.is_away() {
                        break;
                    }
                    if paying.len() >= PAID_AT_ONCE {
                        paying.join_next().await;
                    }
                    let this = Arc::clone(&self);
                    paying.spawn(async move { this.pay_subject(&subject).await });
                }
                paying.join_all().await;
                if self.owed.are_there() {
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Says what is owed of a subject, as far as that is possible.
    async fn pay_subject(&self, subject: &Subject) {
        if let Some(behind) = self.owed.said_behind(subject)
            && !self.look_for_owed(subject, behind).await
        {
            return;
        }
        while !self.is_away() {
            let (next, lost) = self.owed.next(subject, Instant::now().into_std());
            self.counts.lost(Loss::Away, lost);
            let answer = match &next {
                None => return,
                // The engine may have it: that is looked for first.
                Some(OwedNext::Event(event)) if event.said_behind.is_some() => return,
                Some(OwedNext::Lost(keeping, _)) => {
                    let keeping = Keeping { remembered_for: None, ..*keeping };
                    self.append(subject, self.lost_word(), &keeping).await
                }
                Some(OwedNext::Event(event)) => {
                    self.append(subject, event.bytes.clone(), &event.keeping).await
                }
            };
            // There is no room to say it.
            let Some(answer) = answer else { return };
            match (next, answer) {
                (Some(OwedNext::Lost(_, losses)), Ok(())) => self.owed.told_lost(subject, losses),
                (Some(OwedNext::Event(event)), Ok(())) => self.owed.came(subject, event.number),
                (Some(OwedNext::Event(event)), Err(EngineError::Refused(reason))) => {
                    self.counts.refused(&reason);
                    self.owed.came(subject, event.number);
                    self.say_unkept(subject, event);
                    return;
                }
                (Some(OwedNext::Event(event)), Err(EngineError::Away)) => {
                    let behind = self.engine_time.lock().heard_until();
                    self.owed.said(subject, event.number, behind);
                    return;
                }
                _ => return,
            }
        }
    }

    /// What the engine answers; `None` if there is no room to say it.
    async fn append(
        &self,
        subject: &Subject,
        bytes: bytes::Bytes,
        keeping: &Keeping,
    ) -> Option<Result<(), EngineError>> {
        let (ticket, answer) = oneshot::channel();
        let length = bytes.len();
        self.adapter.publish_and_keep(subject, bytes, keeping, Some(ticket.into())).ok()?;
        self.counts.said(WordKind::Event, length);
        match timeout(ANSWERS_WITHIN, answer).await {
            Ok(Ok(answer)) => Some(answer),
            _ => Some(Err(EngineError::Away)),
        }
    }

    /// Looks for what was said of a subject and not answered. Whether it is known now what the engine has.
    async fn look_for_owed(&self, subject: &Subject, mut behind: u64) -> bool {
        loop {
            let kept = timeout(ANSWERS_WITHIN, self.adapter.kept(subject, behind, PAGE)).await;
            let page = match kept {
                Ok(Ok(page)) => page,
                Ok(Err(EngineError::Refused(_))) => {
                    // Nobody can read what is there.
                    self.owed.is_none_there(subject);
                    return true;
                }
                _ => return false,
            };
            for word in &page.words {
                if let Ok(Envelope { from, content: Content::Event(event) }) = Envelope::decode(&word.bytes)
                    && from == self.me
                {
                    let number = EventNumber { epoch: event.epoch, number: event.number };
                    self.owed.came(subject, number);
                }
                behind = behind.max(word.number);
            }
            if !page.has_more || page.words.is_empty() {
                self.owed.is_none_there(subject);
                return true;
            }
        }
    }
}
