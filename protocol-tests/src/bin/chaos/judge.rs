//! Holds the record against what must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::Sink;

use crate::record::{Calm, Event, Publication, Session, Trouble};
use crate::stage::{HALL, Stage, lock};

/// A change of state may have its cause so long ago: the death of a node takes ten seconds, and what is held up by a trouble
/// comes when it ends.
const CAUSE: Duration = Duration::from_secs(20);

/// A publish is answered within this, unless its node stands still: the engine is waited for, for a second, and this machine
/// may do other things besides.
const ANSWER: Duration = Duration::from_secs(30);

/// Everything that is wrong; prints what was looked at.
pub(crate) fn judge(
    stage: &Stage,
    sessions: &[Session],
    published: &[Publication],
    sink: &Sink,
) -> Vec<String> {
    let troubles = lock(&stage.troubles).clone();
    let calm = lock(&stage.calm).clone();
    let frames: usize = sessions.iter().flat_map(|s| &s.rooms).map(|stay| stay.heard.len()).sum();
    let moves: usize = sessions.iter().map(|s| s.moves.len()).sum();
    println!(
        "  record: {} sessions, {frames} events heard, {moves} member events, {} publishes answered",
        sessions.len(),
        published.len()
    );
    let mut faults = deliveries(sessions, published, &lock(&stage.fences), &calm);
    faults.extend(repeats_and_order(sessions, published, &calm));
    faults.extend(answers(published, &troubles));
    faults.extend(announcements(sessions));
    faults.extend(truths(sessions, &lock(&stage.truths)));
    faults.extend(causes(sessions, &troubles));
    faults.extend(webhooks(sink, &troubles, sessions));
    faults
}

/// When the publications of each room were, and those that each connection has heard.
type Known<'p> = HashMap<(&'p str, Event), &'p Publication>;

/// N1 and N2: whoever was told of the success, and heard something that was published later through the same node, has heard
/// what was accepted before while all was well.
fn deliveries(
    sessions: &[Session],
    published: &[Publication],
    fences: &[Publication],
    calm: &[Calm],
) -> Vec<String> {
    let known: Known<'_> =
        published.iter().chain(fences).map(|one| ((one.room.as_str(), one.event), one)).collect();
    let mut of_room: HashMap<&str, Vec<&Publication>> = HashMap::new();
    for publication in published.iter().filter(|publication| publication.status == 200) {
        if calm_of(publication, calm).is_some() {
            of_room.entry(&publication.room).or_default().push(publication);
        }
    }
    let (mut faults, mut owed) = (Vec::new(), 0);
    for session in sessions {
        for stay in &session.rooms {
            let heard: BTreeSet<Event> = stay.heard.iter().copied().collect();
            let mut last: BTreeMap<usize, Instant> = BTreeMap::new();
            for publication in heard.iter().filter_map(|event| known.get(&(stay.room.as_str(), *event))) {
                let last = last.entry(publication.event.node).or_insert(publication.sent);
                *last = publication.sent.max(*last);
            }
            for publication in of_room.get(stay.room.as_str()).into_iter().flatten() {
                let is_followed =
                    last.get(&publication.event.node).is_some_and(|last| publication.answered < *last);
                if stay.joined >= publication.sent || !is_followed {
                    continue;
                }
                owed += 1;
                if !heard.contains(&publication.event) {
                    faults.push(format!(
                        "N1: {} on node {} did not hear {:?} in {}, subscribed {:?} before",
                        session.user,
                        session.node,
                        publication.event,
                        publication.room,
                        publication.sent - stay.joined
                    ));
                }
            }
        }
    }
    println!("  N1, N2: {owed} deliveries were owed");
    if owed == 0 && calm.iter().filter(|calm| !calm.stood_still).count() > 2 {
        faults.push("nothing was judged: no delivery was owed".to_owned());
    }
    faults
}

/// The calm in which it was published and answered.
fn calm_of<'c>(publication: &Publication, calm: &'c [Calm]) -> Option<&'c Calm> {
    let is_in = |calm: &&Calm| calm.from <= publication.sent && publication.answered <= calm.to;
    calm.iter().filter(|calm| !calm.stood_still).find(is_in)
}

/// N1: nothing twice; what one publisher sent through one node in its order; and through whatever nodes while all was well.
fn repeats_and_order(sessions: &[Session], published: &[Publication], calm: &[Calm]) -> Vec<String> {
    let when: HashMap<(&str, Event), Instant> = published
        .iter()
        .filter_map(|one| {
            let calm = calm_of(one, calm).filter(|calm| !calm.was_late)?;
            Some(((one.room.as_str(), one.event), calm.from))
        })
        .collect();
    let (mut faults, mut turned) = (Vec::new(), 0);
    for session in sessions {
        for stay in &session.rooms {
            let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut latest: BTreeMap<usize, Event> = BTreeMap::new();
            let mut seen = BTreeSet::new();
            for event in &stay.heard {
                let whom = || format!("{} on node {} in {}", session.user, session.node, stay.room);
                if !seen.insert(*event) {
                    faults.push(format!("N1: {} heard {event:?} twice", whom()));
                }
                let before = last.insert((event.publisher, event.node), event.number);
                if before.is_some_and(|before| before > event.number) {
                    faults.push(format!("N1: {} heard {event:?} after {before:?}", whom()));
                }
                let latest = latest.entry(event.publisher).or_insert(*event);
                if latest.number <= event.number {
                    *latest = *event;
                    continue;
                }
                turned += 1;
                let in_calm = |event: &Event| when.get(&(stay.room.as_str(), *event));
                if in_calm(event).is_some() && in_calm(event) == in_calm(latest) {
                    faults
                        .push(format!("N1: {} heard {event:?} after {latest:?}, while all was well", whom()));
                }
            }
        }
    }
    println!("  N1: {turned} events came after a later one of the same publisher, during trouble");
    faults
}

/// N15, N21: a node that runs answers, with success, and soon.
fn answers(published: &[Publication], troubles: &[Trouble]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut away = 0;
    for publication in published {
        let overlaps = |trouble: &&Trouble| {
            trouble.began <= publication.answered
                && publication.sent <= trouble.healed + Duration::from_secs(1)
        };
        let during = troubles.iter().find(overlaps);
        let of_its_node = during.is_some_and(|trouble| trouble.node == Some(publication.event.node));
        away += usize::from(during.is_some_and(|trouble| trouble.node.is_none()));
        if of_its_node {
            continue;
        }
        if publication.status != 200 {
            faults.push(format!("N15: {:?} was answered {}", publication.event, publication.status));
        }
        let took = publication.answered - publication.sent;
        slowest = slowest.max(took);
        if took > ANSWER && !during.is_some_and(|trouble| trouble.stood_still) {
            let during = during.map_or("nothing", |trouble| &trouble.name);
            faults.push(format!("N21: {:?} was answered after {took:?}, during {during}", publication.event));
        }
    }
    println!(
        "  N15, N21: {away} answers during trouble with the engine; the slowest of all took {slowest:?}"
    );
    faults
}

/// N5: for every observer a user comes and goes in turn.
fn announcements(sessions: &[Session]) -> Vec<String> {
    let (mut faults, mut judged) = (Vec::new(), 0);
    for session in sessions {
        let mut there = session.roster.clone();
        for told in &session.moves {
            judged += 1;
            let whom = || format!("{} on node {}", session.user, session.node);
            if told.came && !there.insert(told.user.clone()) {
                faults.push(format!("N5: {} was told that {} came, who was there", whom(), told.user));
            }
            if !told.came && !there.remove(&told.user) {
                faults.push(format!("N5: {} was told that {} went, who was not there", whom(), told.user));
            }
        }
    }
    println!("  N5, N6: {judged} announcements in turn");
    faults
}

/// N5, N6, N16, N17: what an observer was told is the truth, whenever all stood still.
fn truths(sessions: &[Session], truths: &[(usize, BTreeSet<String>)]) -> Vec<String> {
    let (mut faults, mut judged) = (Vec::new(), 0);
    for (fence, there) in truths {
        for session in sessions {
            let Some((_, count)) = session.fences.iter().find(|(number, _)| number == fence) else {
                continue;
            };
            let mut known = session.roster.clone();
            for told in &session.moves[..*count] {
                if told.came {
                    known.insert(told.user.clone());
                } else {
                    known.remove(&told.user);
                }
            }
            judged += 1;
            if known != *there {
                let more: Vec<_> = known.difference(there).collect();
                let less: Vec<_> = there.difference(&known).collect();
                faults.push(format!(
                    "N5: {} on node {} knew {more:?} too many and {less:?} too few",
                    session.user, session.node
                ));
            }
        }
    }
    println!("  N5, N16, N17: {judged} views were the truth, at {} moments", truths.len());
    if judged == 0 {
        faults.push("nothing was judged: nobody was looked at".to_owned());
    }
    faults
}

/// N6, N15, N16, N17: nobody is said to go who stays, unless the node it is on was silent alone.
fn causes(sessions: &[Session], troubles: &[Trouble]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut of_user: BTreeMap<&str, Vec<&Session>> = BTreeMap::new();
    for session in sessions {
        of_user.entry(&session.user).or_default().push(session);
    }
    for observer in sessions {
        for told in observer.moves.iter().filter(|told| !told.came) {
            let excused = |session: &&&Session| {
                troubles.iter().any(|trouble| {
                    trouble.may_silence(session.node)
                        && trouble.began <= told.at
                        && told.at <= trouble.healed + CAUSE
                })
            };
            let there = |session: &&&Session| {
                session.joined.is_some_and(|joined| joined + CAUSE < told.at) && told.at < session.ended
            };
            let stayed = of_user.get(told.user.as_str()).into_iter().flatten();
            for session in stayed.filter(there).filter(|session| !excused(session)) {
                let during = troubles.iter().rev().find(|trouble| trouble.began <= told.at);
                faults.push(format!(
                    "N16: {} on node {} was told that {} on node {} went, who stayed; the last trouble: {:?}",
                    observer.user,
                    observer.node,
                    told.user,
                    session.node,
                    during.map(|trouble| &trouble.name)
                ));
            }
        }
    }
    faults
}

/// N12: one id for one thing; and nobody who stayed is told to have left while the bus was away for all.
fn webhooks(sink: &Sink, troubles: &[Trouble], sessions: &[Session]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeMap::new();
    let mut told = 0;
    while let Some(webhook) = sink.webhook_within(Duration::from_millis(500)) {
        for (id, event) in webhook.ids().into_iter().zip(webhook.events()) {
            told += 1;
            if let Some(before) = ids.insert(id.clone(), event.clone()) {
                if before != event {
                    faults.push(format!("N12: {id} is of {before} and of {event}"));
                }
                continue;
            }
            if event["name"] != "member_removed" || event["channel"] != HALL {
                continue;
            }
            let user = event["user_id"].as_str().unwrap_or_default();
            let stayed = |session: &&Session| {
                session.user == user
                    && session.joined.is_some_and(|joined| joined + CAUSE < webhook.at)
                    && webhook.at < session.ended
            };
            let silent = |node: usize| {
                troubles.iter().any(|trouble| {
                    trouble.may_silence(node)
                        && trouble.began <= webhook.at
                        && webhook.at <= trouble.healed + CAUSE
                })
            };
            if sessions.iter().filter(stayed).any(|session| !silent(session.node)) {
                faults.push(format!("N16: a webhook told that {user} had gone, who stayed"));
            }
        }
    }
    println!("  N12: {told} events by webhook, {} different", ids.len());
    if told == 0 {
        faults.push("N12: no webhook came".to_owned());
    }
    faults
}
