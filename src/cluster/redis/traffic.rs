//! What goes over the two connections to a server: batches of commands, changes of subscriptions, and what is heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ::redis::{Value, cmd};
use tokio::sync::Notify;

use super::connection::{EngineConnection, OnMessage, confirms, refusal, without_code};
use super::joined::{ANSWER_WITHIN, BATCH_SUBSCRIPTIONS, JoinedEngine};
use super::outbox::{EngineCommand, EngineOutbox};
use super::probes::EngineProbes;
use super::refusal::StartRefusal;
use super::scripts::{HeardWord, read_published};
use super::server::{Verbs, load, unanswered};
use super::wanted::WantedChange;
use crate::cluster::adapter::{EngineError, Word, answer};

/// Hands what is heard on: probes to those who wait for them, words to the inbox, at once. Nothing here waits.
pub(super) fn hears(of: Arc<JoinedEngine>, probes: Arc<EngineProbes>) -> OnMessage {
    Box::new(move |channel, payload| {
        if channel == probes.channel.as_bytes() {
            let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
            if let Some(number) = number {
                probes.hear(number, Instant::now());
            }
            return;
        }
        let Some(subject) = of.wanted.subject(channel) else { return };
        match read_published(payload) {
            Some(HeardWord { bytes, number, previous }) => {
                let _ = of.inbox.put(Word { subject, bytes, number, previous });
            }
            None => of.foreign.add_from_anywhere(1),
        }
    })
}

/// Commands that are under way. Whoever waits for one is told if it is not answered.
struct UnderWay<'a> {
    outbox: &'a EngineOutbox,
    commands: VecDeque<EngineCommand>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        for command in self.commands.drain(..) {
            self.outbox.answer(command, Err(EngineError::Away));
        }
    }
}

/// Sends commands, a batch at a time, in their order: the next one is gathered while one is under way.
pub(super) async fn publish_all(
    of: &JoinedEngine,
    server: usize,
    mut connection: EngineConnection,
    waiting: &Notify,
) -> StartRefusal {
    loop {
        let batch = of.outbox.batch(server);
        if batch.is_empty() {
            tokio::select! {
                () = waiting.notified() => continue,
                reason = connection.ended() => return connection.address.broken(reason),
            }
        }
        let packed: Vec<&[u8]> = batch.iter().map(|command| command.packed.as_slice()).collect();
        let packed = packed.concat();
        let count = batch.len();
        let mut under_way = UnderWay { outbox: &of.outbox, commands: batch.into() };
        let answers = match connection.request(&packed, count, ANSWER_WITHIN).await {
            Ok(answers) => answers,
            Err(reason) => return unanswered(&connection.address, &of.target, reason),
        };
        for value in answers {
            let Some(mut command) = under_way.commands.pop_front() else { break };
            let value = match value {
                Value::ServerError(error) if error.code() == "NOSCRIPT" => {
                    under_way.commands.push_front(command);
                    let again = say_again(of, &mut connection, &under_way).await;
                    let Some(first) = under_way.commands.pop_front() else { break };
                    command = first;
                    match again {
                        Ok(value) => value,
                        Err(trouble) => {
                            under_way.commands.push_front(command);
                            return trouble;
                        }
                    }
                }
                value => value,
            };
            match value {
                Value::ServerError(error) if !is_about_the_command(error.code()) => {
                    under_way.commands.push_front(command);
                    return refusal(&connection.address, &error, &of.target);
                }
                Value::ServerError(error) => {
                    of.outbox.answer(command, Err(EngineError::Refused(without_code(&error))));
                }
                value => of.outbox.answer(command, Ok(value)),
            }
        }
    }
}

/// The engine has forgotten the scripts: they are given to it again, and so is the first command.
async fn say_again(
    of: &JoinedEngine,
    connection: &mut EngineConnection,
    under_way: &UnderWay<'_>,
) -> Result<Value, StartRefusal> {
    load(connection, &of.target).await?;
    let Some(command) = under_way.commands.front() else { return Ok(Value::Nil) };
    let answers = connection.request(&command.packed, 1, ANSWER_WITHIN).await;
    let mut answers = answers.map_err(|reason| unanswered(&connection.address, &of.target, reason))?;
    Ok(answers.pop().unwrap_or(Value::Nil))
}

/// Whether an error is about what was asked, and not about the server. While a slot of a Redis Cluster moves, publications
/// go on; only what is remembered there is refused, with `ASK` or `TRYAGAIN`, until it has moved.
fn is_about_the_command(code: &str) -> bool {
    !matches!(code, "READONLY" | "MOVED" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "NOAUTH")
}

/// Tells the server of subscriptions that begin and end, a batch at a time, in their order. Each is confirmed by the answer
/// in its place, whatever else there is of its name.
pub(super) async fn change_all(
    of: &JoinedEngine,
    server: usize,
    mut connection: EngineConnection,
    waiting: &Notify,
) -> StartRefusal {
    let verbs = Verbs::of(&of.target);
    loop {
        let batch = match of.wanted.batch(server, BATCH_SUBSCRIPTIONS) {
            Ok(batch) => batch,
            Err(too_many) => return StartRefusal::Changed(too_many.to_string()),
        };
        if batch.is_empty() {
            tokio::select! {
                () = waiting.notified() => continue,
                reason = connection.ended() => return connection.address.broken(reason),
            }
        }
        let packed: Vec<u8> = batch
            .iter()
            .flat_map(|change| {
                let verb = if change.wants { verbs.subscribe } else { verbs.unsubscribe };
                cmd(verb).arg(&*change.name).get_packed_command()
            })
            .collect();
        let batch = Unconfirmed(batch.into());
        if let Err(trouble) = confirm(of, &mut connection, &packed, batch).await {
            return trouble;
        }
    }
}

/// Changes under way. Whoever waits for one is told if it is not confirmed.
struct Unconfirmed(VecDeque<WantedChange>);

impl Drop for Unconfirmed {
    fn drop(&mut self) {
        for change in self.0.drain(..) {
            answer(change.ticket, Err(EngineError::Away));
        }
    }
}

async fn confirm(
    of: &JoinedEngine,
    connection: &mut EngineConnection,
    packed: &[u8],
    mut batch: Unconfirmed,
) -> Result<(), StartRefusal> {
    let answers = connection.request(packed, batch.0.len(), ANSWER_WITHIN).await;
    for value in answers.map_err(|reason| unanswered(&connection.address, &of.target, reason))? {
        let Some(change) = batch.0.pop_front() else { break };
        match value {
            Value::ServerError(error) if !is_about_the_command(error.code()) => {
                batch.0.push_front(change);
                return Err(refusal(&connection.address, &error, &of.target));
            }
            Value::ServerError(error) => {
                answer(change.ticket, Err(EngineError::Refused(without_code(&error))));
            }
            value if confirms(&value, &change.name) => answer(change.ticket, Ok(())),
            _ => {
                batch.0.push_front(change);
                return Err(connection.address.broken("it confirms what it was not asked for"));
            }
        }
    }
    Ok(())
}
