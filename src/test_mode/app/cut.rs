//! Ending connections of an app under test: those that a test names, in the way that it names.

use std::collections::BTreeSet;
use std::fmt;

use crate::protocol::{CloseStatus, SocketId};
use crate::test_mode::entry::{Details, Entry, Kind};
use crate::test_mode::faults::{is_close_code, pick};

use super::roster::Connected;
use super::{AppUnderTest, TestError};

/// Connections, as a test names them: those that are everything it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sockets {
    /// At most one connection: that with this id.
    pub socket_id: Option<String>,
    /// Those signed in as this user, or members of a presence channel as this user.
    pub user_id: Option<String>,
    /// Those subscribed to this channel.
    pub channel: Option<String>,
    /// Only this share of them, above 0 and up to 1, and at least one.
    pub share: Option<f64>,
    /// What chooses the share; without it, it is drawn.
    pub seed: Option<u64>,
}

impl Sockets {
    /// Whether it says more than "all".
    fn names_some(&self) -> bool {
        self.socket_id.is_some() || self.user_id.is_some() || self.channel.is_some()
    }
}

/// As it stands behind "there is no connection".
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.socket_id.as_ref().map(|id| format!("{id:?}")),
            self.user_id.as_ref().map(|id| format!("that is signed in or a member as {id:?}")),
            self.channel.as_ref().map(|name| format!("subscribed to {name:?}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" and "))
    }
}

/// How connections are ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// With a close frame of this code and reason.
    Close(u16, String),
    /// Without one, as a line that breaks.
    Abrupt,
}

impl AppUnderTest {
    /// Ends connections now; returns which.
    ///
    /// # Errors
    /// If the code or the share is none, no connection is what was named, or the app is gone.
    pub fn cut(&self, sockets: &Sockets, cut: &Cut) -> Result<Vec<SocketId>, TestError> {
        if let Cut::Close(code, _) = cut
            && !is_close_code(*code)
        {
            return Err(TestError::CloseCode(*code));
        }
        if let Some(share) = sockets.share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(TestError::Share(share));
        }
        let (hub, state) = self.place()?;
        let chosen = self.choose(sockets);
        if chosen.is_empty() && sockets.names_some() {
            return Err(TestError::NobodyMeant { wanted: sockets.to_string(), there: self.who_is_there() });
        }
        for socket in &chosen {
            let reason = match cut {
                Cut::Close(code, _) => format!("closes it with {code}"),
                Cut::Abrupt => "cuts it off without a close frame".to_owned(),
            };
            let (socket_id, reason) = (Some(socket.to_string().into()), Some(reason.into()));
            // Before it acts: what comes of it is told after it.
            self.log.write(Kind::Fault, Details { socket_id, reason, ..Details::default() });
            match cut {
                Cut::Close(code, reason) => {
                    let code = CloseStatus::injected(*code);
                    hub.close_socket_with(&state, *socket, code, reason.clone().into());
                }
                Cut::Abrupt => {
                    hub.cut_socket(&state, *socket);
                }
            }
        }
        Ok(chosen)
    }

    /// Closes every connection with 4200, and waits until all of them have ended.
    ///
    /// # Errors
    /// If the app is gone.
    pub async fn disconnect(&self) -> Result<(), TestError> {
        let (mut changed, before) = (self.log.watch(), self.log.last());
        let cut = Cut::Close(4200, "The test was reset".to_owned());
        let closed: BTreeSet<_> =
            self.cut(&Sockets::default(), &cut)?.iter().map(ToString::to_string).collect();
        // They end as soon as their workers get round to it. Its end is the last that is logged of each.
        let is_end = |entry: &Entry| {
            let id = entry.details.socket_id.as_deref();
            entry.kind == Kind::Disconnected && id.is_some_and(|id| closed.contains(id))
        };
        while self.log.after(before, is_end).entries.len() < closed.len() && !*self.over.borrow() {
            if changed.changed().await.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn choose(&self, sockets: &Sockets) -> Vec<SocketId> {
        let Sockets { socket_id, user_id, channel, share, seed } = sockets;
        let mut meant: Vec<(u64, SocketId)> = {
            let roster = self.roster.lock();
            let fits = |(id, connected): &(&SocketId, &Connected)| {
                socket_id.as_ref().is_none_or(|wanted| id.to_string() == *wanted)
                    && user_id.as_ref().is_none_or(|wanted| connected.users().any(|user| **user == **wanted))
                    && channel.as_ref().is_none_or(|wanted| connected.channels.contains_key(wanted.as_str()))
            };
            roster.sockets.iter().filter(fits).map(|(id, connected)| (connected.number, *id)).collect()
        };
        meant.sort_unstable_by_key(|(number, _)| *number);
        let meant = meant.into_iter().map(|(_, id)| id).collect();
        match share {
            None => meant,
            Some(share) => pick(meant, *share, seed.unwrap_or_else(rand::random)),
        }
    }
}
