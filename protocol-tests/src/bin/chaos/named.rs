//! Clients with a name, on channels that keep a history: what they are sent and what they are told is never in contradiction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::nodes::pause;
use heliostat_protocol_tests::tab::fresh_name;
use heliostat_protocol_tests::{Incoming, Message, Socket};
use serde_json::json;

use crate::record::{Event, FENCE, Publication};
use crate::stage::{Chance, KEPT, Stage, kept, lock};

/// How long one look at the connection takes at most.
const LOOK: Duration = Duration::from_millis(50);

/// So long the end is waited for, which is published again and again.
const ENDING: Duration = Duration::from_secs(60);

/// What one client was sent of one channel, in its order.
#[derive(Debug)]
pub(crate) struct Diary {
    pub(crate) channel: String,
    pub(crate) lines: Vec<Line>,
    /// It has been there at the end.
    pub(crate) has_ended: bool,
}

/// Something that a client saw.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// It was subscribed.
    Joined,
    Heard(Event),
    /// Whether it has missed nothing, and how many events it was said to be sent again; when it read that.
    Told {
        complete: bool,
        events: usize,
        at: Instant,
    },
}

/// Comes and goes until the end, anywhere, and stays for the end.
pub(crate) fn follow(stage: &Stage, number: usize, mut chance: Chance) -> Diary {
    let (name, channel) = (fresh_name(), kept(number % KEPT));
    let mut diary = Diary { channel, lines: Vec::new(), has_ended: false };
    let mut last = None::<Instant>;
    while !diary.has_ended && last.is_none_or(|last| last.elapsed() < ENDING) {
        if stage.is_over() {
            last.get_or_insert_with(Instant::now);
        }
        let Some(node) = stage.somewhere(&mut chance) else {
            pause();
            continue;
        };
        let target = stage.slots[node].target().named(&name);
        let Ok(socket) = catch_unwind(AssertUnwindSafe(|| target.connect())) else {
            pause();
            continue;
        };
        let stay = Duration::from_millis(300 + chance.next() % 3000);
        let politely = chance.below(2) == 0;
        visit(stage, socket, stay, politely, &mut diary);
        let back = Instant::now() + Duration::from_millis(chance.next() % 1500);
        while Instant::now() < back && !stage.is_over() {
            pause();
        }
    }
    diary
}

/// One connection, for so long, or until the end of everything.
fn visit(stage: &Stage, mut socket: Socket, stay: Duration, politely: bool, diary: &mut Diary) {
    let (began, channel) = (Instant::now(), diary.channel.clone());
    let asks = json!({ "event": "pusher:subscribe", "data": { "channel": channel } });
    if catch_unwind(AssertUnwindSafe(|| socket.send(&asks))).is_err() {
        return;
    }
    loop {
        match catch_unwind(AssertUnwindSafe(|| socket.receive_within(LOOK))) {
            Ok(Some(Incoming::Message(message))) => note(diary, &message),
            Ok(Some(Incoming::Ping(_) | Incoming::Pong(_)) | None) => {}
            Ok(Some(Incoming::Close(_) | Incoming::End)) | Err(_) => return,
        }
        let is_long = began.elapsed() > if stage.is_over() { ENDING } else { stay };
        if diary.has_ended || is_long {
            break;
        }
    }
    let _ = catch_unwind(AssertUnwindSafe(|| if politely { socket.close() } else { socket.vanish() }));
}

fn note(diary: &mut Diary, message: &Message) {
    match message.event.as_str() {
        "pusher_internal:subscription_succeeded" => diary.lines.push(Line::Joined),
        "pusher:resumed" => {
            let data = message.decoded();
            let events = data["events"].as_u64().and_then(|events| usize::try_from(events).ok());
            let told = Line::Told {
                complete: data["complete"] == true,
                events: events.unwrap_or(usize::MAX),
                at: Instant::now(),
            };
            diary.lines.push(told);
        }
        "number" => {
            let Some(event) = message.data.as_str().and_then(Event::parse) else { return };
            diary.has_ended |= event.publisher == FENCE;
            diary.lines.push(Line::Heard(event));
        }
        _ => {}
    }
}

/// Publishes the end until all have seen it.
pub(crate) fn end(stage: &Stage, are_all_done: impl Fn() -> bool) {
    let channels: Vec<String> = (0..KEPT).map(kept).collect();
    let began = Instant::now();
    let mut number = 0;
    while !are_all_done() && began.elapsed() < 2 * ENDING {
        number += 1;
        let event = Event { publisher: FENCE, number, node: 0 };
        let body = json!({ "name": "number", "channels": channels, "data": event.text() });
        let _ = catch_unwind(AssertUnwindSafe(|| stage.slots[0].target().events(&body)));
        let next = Instant::now() + Duration::from_millis(500);
        while Instant::now() < next && !are_all_done() {
            pause();
        }
    }
}

/// Whoever was not told of a gap since has everything that was accepted; nobody is sent anything twice by one connection, or what one
/// publisher said through one node in another order; and what is sent again is as much as is said.
pub(crate) fn judge(stage: &Stage, diaries: &[Diary], published: &[Publication]) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut owed, mut joins, mut gaps, mut again) = (0, 0, 0, 0);
    for (n, diary) in diaries.iter().enumerate() {
        if !diary.has_ended {
            faults.push(format!("recovery: client {n} has not seen the end of {}", diary.channel));
            continue;
        }
        let mut heard = BTreeSet::new();
        let mut since = None;
        for session in diary.lines.split(|line| matches!(line, Line::Joined)).skip(1) {
            joins += 1;
            gaps += usize::from(!is_complete(session));
            judge_session(n, session, &mut faults);
            for line in session {
                match line {
                    Line::Heard(event) => again += usize::from(!heard.insert(*event)),
                    Line::Told { complete: false, at, .. } => since = Some(*at),
                    Line::Told { .. } | Line::Joined => {}
                }
            }
        }
        let Some(since) = since else {
            faults.push(format!("recovery: client {n} was never told that it is new"));
            continue;
        };
        let of_channel = published.iter().filter(|one| one.room == diary.channel && one.status == 200);
        for publication in of_channel.filter(|one| one.sent > since) {
            owed += 1;
            if !heard.contains(&publication.event) {
                let troubles = lock(&stage.troubles);
                let during = troubles.iter().rev().find(|trouble| trouble.began <= publication.answered);
                faults.push(format!(
                    "recovery: client {n} has missed {:?} of {} and was not told so; the last trouble before: {:?}, {:?} after its beginning",
                    publication.event,
                    diary.channel,
                    during.map(|trouble| &trouble.name),
                    during.map(|trouble| publication.answered - trouble.began),
                ));
            }
        }
    }
    println!(
        "  recovery: {} clients with a name came {joins} times, {gaps} times with a gap; {owed} events were owed behind their last gap, \
         {again} came once more",
        diaries.len()
    );
    if owed == 0 {
        faults.push("nothing was judged: no client with a name was owed anything".to_owned());
    }
    faults
}

fn is_complete(session: &[Line]) -> bool {
    session.iter().any(|line| matches!(line, Line::Told { complete: true, .. }))
}

fn judge_session(client: usize, session: &[Line], faults: &mut Vec<String>) {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    let mut is_first = true;
    for (n, line) in session.iter().enumerate() {
        match *line {
            Line::Heard(event) => {
                if !seen.insert(event) {
                    faults.push(format!(
                        "recovery: client {client} was sent {event:?} twice by one connection"
                    ));
                }
                let before = last.insert((event.publisher, event.node), event.number);
                if before.is_some_and(|before| before > event.number) {
                    faults.push(format!("recovery: client {client} was sent {event:?} after {before:?}"));
                }
            }
            Line::Told { events, complete, .. } => {
                if std::mem::take(&mut is_first) && events != n || !complete && events != 0 {
                    faults.push(format!(
                        "recovery: client {client} was said to be sent {events} events, not {n}"
                    ));
                }
            }
            Line::Joined => {}
        }
    }
}
