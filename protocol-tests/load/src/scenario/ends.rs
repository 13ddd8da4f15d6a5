//! What others on the worker wait for when very many connections end at once.

use super::Stage;
use super::turns::{ask, beside, signed_in, talker};
use crate::clients::Broken;
use crate::run::Outcome;
use crate::server::CROWD_KEY;
use crate::talker::Talker;
use crate::wire::signature::Signer;

/// Reads what there is until the connection ends.
fn hear_the_end(talkers: Vec<Talker>) -> Result<(), Broken> {
    for mut talker in talkers {
        match talker.hear("", usize::MAX) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// So many connections of an app are closed because a reload removes it.
pub(super) fn close_app(stage: &Stage<'_>, connections: usize) -> Result<Outcome, Broken> {
    let address = stage.server.address;
    let all = (0..stage.scaled(connections)).map(|_| Talker::open(address, CROWD_KEY, ""));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    beside(stage, || {
        stage.server.remove_crowd()?;
        hear_the_end(all)
    })
}

/// A backend has so many connections of one user closed.
pub(super) fn close_user(stage: &Stage<'_>, connections: usize) -> Result<Outcome, Broken> {
    let signer = Signer::new(stage.server.app.clone());
    let all = (0..stage.scaled(connections)).map(|_| signed_in(stage, &signer, r#"{"id":"crowd"}"#));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    beside(stage, || {
        ask(stage, "POST", "users/crowd/terminate_connections", "")?;
        hear_the_end(all)
    })
}

/// So many members of a presence channel leave at once.
pub(super) fn roster(stage: &Stage<'_>, members: usize) -> Result<Outcome, Broken> {
    const CHANNEL: &str = "presence-roster";
    let signer = Signer::new(stage.server.app.clone());
    let mut all = Vec::new();
    for number in 0..stage.scaled(members) {
        let mut talker = talker(stage, "")?;
        let data = format!(r#"{{"user_id":"member-{number}"}}"#);
        let auth = signer.channel(&talker.socket_id, CHANNEL, Some(&data));
        // A text of plain ASCII is quoted in JSON as it is in Rust.
        talker.say(&[format!(
            r#"{{"event":"pusher:subscribe","data":{{"channel":"{CHANNEL}","auth":"{auth}","channel_data":{data:?}}}}}"#
        )])?;
        talker.hear("subscription_succeeded", 1)?;
        all.push(talker);
    }
    beside(stage, || {
        drop(all);
        Ok(())
    })
}
