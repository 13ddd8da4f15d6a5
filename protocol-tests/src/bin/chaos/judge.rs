//! Holds the record against what must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::Sink;

use crate::record::{Event, Publication, Session, Stay, Trouble};
use crate::stage::{HALL, Stage, lock};

/// An event is under way for no longer than this.
const TRAVEL: Duration = Duration::from_secs(2);

/// A change of state may have its cause so long ago: the death of a node takes ten seconds, and what is held up by a trouble
/// comes when it ends.
const CAUSE: Duration = Duration::from_secs(20);

/// A publish is answered within this, unless its node stands still.
const ANSWER: Duration = Duration::from_secs(5);

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
    let mut faults = deliveries(sessions, published, &calm);
    faults.extend(repeats_and_order(sessions));
    faults.extend(answers(published, &troubles));
    faults.extend(announcements(sessions));
    faults.extend(truths(sessions, &lock(&stage.truths)));
    faults.extend(causes(sessions, &troubles));
    faults.extend(webhooks(sink, &troubles, sessions));
    faults
}

/// N1 and N2: what was accepted while all was well reached everybody who had been told of the success before.
fn deliveries(sessions: &[Session], published: &[Publication], calm: &[(Instant, Instant)]) -> Vec<String> {
    let mut heard: HashMap<(&str, Event), BTreeSet<*const Stay>> = HashMap::new();
    let mut stays: HashMap<&str, Vec<(&Session, &Stay)>> = HashMap::new();
    for session in sessions {
        for stay in &session.rooms {
            stays.entry(&stay.room).or_default().push((session, stay));
            for event in &stay.heard {
                heard.entry((&stay.room, *event)).or_default().insert(std::ptr::from_ref(stay));
            }
        }
    }
    let (mut faults, mut owed) = (Vec::new(), 0);
    for publication in published.iter().filter(|publication| publication.status == 200) {
        let well = calm.iter().any(|(from, to)| *from <= publication.sent && publication.answered <= *to);
        if !well {
            continue;
        }
        let key = (publication.room.as_str(), publication.event);
        for (session, stay) in stays.get(publication.room.as_str()).into_iter().flatten() {
            let was_there = stay.joined < publication.sent
                && stay.left.is_some_and(|left| publication.answered + TRAVEL < left);
            if !was_there {
                continue;
            }
            owed += 1;
            if !heard.get(&key).is_some_and(|by| by.contains(&std::ptr::from_ref(*stay))) {
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
    println!("  N1, N2: {owed} deliveries were owed");
    if owed == 0 && calm.len() > 2 {
        faults.push("nothing was judged: no delivery was owed".to_owned());
    }
    faults
}

/// N1: nothing twice, and what one publisher sent through one node in its order.
fn repeats_and_order(sessions: &[Session]) -> Vec<String> {
    let (mut faults, mut turned) = (Vec::new(), 0);
    for session in sessions {
        for stay in &session.rooms {
            let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut latest: BTreeMap<usize, usize> = BTreeMap::new();
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
                let before = latest.insert(event.publisher, event.number);
                turned += usize::from(before.is_some_and(|before| before > event.number));
            }
        }
    }
    println!("  N1: {turned} events came after a later one of the same publisher through another node");
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
        if took > ANSWER {
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

/// N5, N6, N16, N17: what an observer was told ends in the truth, whenever all stood still.
fn truths(sessions: &[Session], truths: &[(Instant, Instant, BTreeSet<String>)]) -> Vec<String> {
    let (mut faults, mut judged) = (Vec::new(), 0);
    for (from, to, there) in truths {
        for session in sessions {
            if session.ended < *to || session.joined.is_none_or(|joined| joined > *from) {
                continue;
            }
            let mut known = session.roster.clone();
            for told in session.moves.iter().filter(|told| told.at <= *to) {
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
                    trouble.node == Some(session.node)
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
                    trouble.node == Some(node)
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
