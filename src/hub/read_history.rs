//! Pages of what a channel keeps, for those who read them: of this node, or of the engine between several.

use std::sync::Arc;

use tokio::time::timeout;

use crate::channel::{ChannelVersion, HistoryPage, HistoryPosition, HistoryStart, StreamNumber};
use crate::protocol::{ChannelName, Rewind};

use super::receipts::ENGINE_TIME;
use super::{AppState, Bus, Hub, StreamPart};

impl Hub {
    /// A page of what a channel keeps: at most so many events, and so many bytes of them. `None` if it keeps nothing. Where
    /// several nodes are one broker, and this one does not hear the channel, the engine is asked; if it does not answer in time,
    /// there is what this node has, which is not complete.
    pub(crate) async fn read_history(
        &self,
        app: &Arc<AppState>,
        channel: &ChannelName,
        start: HistoryStart,
        most: (usize, usize),
    ) -> Option<HistoryPage> {
        let here = || self.page_here(app, channel, start, most);
        let asked = self.engine_epoch().and_then(|epoch| Some((epoch, self.bus()?)));
        match asked.filter(|(_, bus)| !bus.follows(app, channel)) {
            None => here(),
            Some((epoch, bus)) => {
                let there = self.read_stream(&bus, (app, channel), epoch, start, most).await;
                there.or_else(|| Some(HistoryPage { complete: false, ..here()? }))
            }
        }
    }

    /// The same of what this node has.
    pub(super) fn page_here(
        &self,
        app: &AppState,
        channel: &ChannelName,
        start: HistoryStart,
        most: (usize, usize),
    ) -> Option<HistoryPage> {
        let known = (self.history_epoch(), self.shared_engine(), self.versions.last());
        app.history_page(channel, start, most, known)
    }

    async fn read_stream(
        &self,
        bus: &Arc<dyn Bus>,
        (app, channel): (&Arc<AppState>, &ChannelName),
        epoch: u64,
        start: HistoryStart,
        most: (usize, usize),
    ) -> Option<HistoryPage> {
        let bounds = app.app().history(channel)?;
        let (behind, is_known, asked) = match start {
            HistoryStart::Oldest => (None, true, most),
            HistoryStart::Last(_) | HistoryStart::Newest { .. } => (None, true, (bounds.events, usize::MAX)),
            HistoryStart::Behind(place) => {
                let place = if place.epoch == self.history_epoch() {
                    app.number_of(channel, ChannelVersion::new(place.number)).map(|(number, _)| number)
                } else {
                    Some(StreamNumber { epoch: place.epoch, number: place.number })
                };
                let number = place.filter(|place| place.epoch == epoch).map(|place| place.number);
                (number, number.is_some(), most)
            }
        };
        let start = match (start, behind) {
            (HistoryStart::Behind(_), Some(number)) => {
                HistoryStart::Behind(HistoryPosition { epoch, number })
            }
            (HistoryStart::Behind(_), None) => HistoryStart::Oldest,
            (start, _) => start,
        };
        let reading = async {
            let read = async |behind| bus.read_history(app, channel, behind, asked).await.ok()?.ok();
            let (mut part, mut has_more) = read(behind.unwrap_or(0)).await?;
            // What a channel keeps is no more than that.
            let all = Rewind::Events(u32::try_from(bounds.events).unwrap_or(u32::MAX));
            let at_its_end = match start {
                HistoryStart::Last(rewind) => Some(rewind),
                HistoryStart::Newest { .. } => Some(all),
                HistoryStart::Oldest | HistoryStart::Behind(_) => None,
            };
            while has_more && let Some(rewind) = at_its_end {
                // The last ones are at its end, which the engine may not have told at once.
                let next;
                (next, has_more) = read(part.reached).await?;
                if next.reached <= part.reached {
                    return None;
                }
                go_on(&mut part, next, rewind);
            }
            Some((part, has_more))
        };
        let (part, has_more) = timeout(ENGINE_TIME, reading).await.ok()??;
        let page = app.page_of_stream(channel, (part, epoch), start, most)?;
        let (complete, has_more) = (page.complete && is_known, page.has_more || has_more);
        Some(HistoryPage { complete, has_more, ..page })
    }
}

/// A part of a stream goes on with the next one, and has no more events than may be wanted.
fn go_on(part: &mut StreamPart, next: StreamPart, rewind: Rewind) {
    if next.events.first().is_none_or(|first| first.previous > part.reached) {
        // Some between the two are lost, or behind both.
        part.events.clear();
    }
    part.events.extend(next.events);
    (part.reached, part.now) = (next.reached, next.now);
    if let Rewind::Events(count) = rewind {
        let too_many = part.events.len().saturating_sub(count as usize);
        part.events.drain(..too_many);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{KeptAs, StreamEvent};
    use crate::protocol::Frame;

    fn part(numbers: &[(u64, u64)], reached: u64) -> StreamPart {
        let event = |&(number, previous): &(u64, u64)| StreamEvent {
            kept: KeptAs { number, is_delivered: false },
            previous,
            frame: Frame::ping(),
            except: None,
            time: None,
        };
        StreamPart { events: numbers.iter().map(event).collect(), reached, now: 100 }
    }

    #[test]
    fn a_part_goes_on_unless_something_is_lost_between_or_at_the_end() {
        let joined = |next| {
            let mut first = part(&[(1, 0), (2, 1), (3, 2)], 3);
            go_on(&mut first, next, Rewind::Events(2));
            let numbers = first.events.iter().map(|event| event.kept.number).collect::<Vec<_>>();
            (numbers, first.reached)
        };
        assert_eq!(joined(part(&[(4, 3)], 4)), (vec![3, 4], 4));
        assert_eq!(joined(part(&[(6, 5)], 6)), (vec![6], 6));
        assert_eq!(joined(part(&[], 5)), (vec![], 5), "what the next one ends with is not told");
    }
}
