//! The connections of an app that came or went last, for those whose signature was made for another one.

use std::collections::VecDeque;
use std::net::IpAddr;

use parking_lot::Mutex;

use crate::protocol::SocketId;

/// Connections that are remembered of an app, each when it comes and when it goes; beyond that the oldest is forgotten.
pub(super) const RECENT_SOCKETS: usize = 128;

/// The socket ids of an app's connections that came or went last.
#[derive(Debug, Default)]
pub(crate) struct RecentSockets(Mutex<VecDeque<(SocketId, Option<IpAddr>)>>);

impl RecentSockets {
    /// A connection has come or gone.
    pub(crate) fn note(&self, socket_id: SocketId, address: Option<IpAddr>) {
        let mut recent = self.0.lock();
        if recent.len() == RECENT_SOCKETS {
            recent.pop_front();
        }
        recent.push_back((socket_id, address));
    }

    /// All of them, each once: those of this address first, and of those the latest.
    pub(super) fn likeliest(&self, address: Option<IpAddr>) -> Vec<SocketId> {
        let recent = self.0.lock();
        let of_address = recent.iter().rev().filter(|(_, other)| *other == address);
        let of_others = recent.iter().rev().filter(|(_, other)| *other != address);
        let mut found = Vec::with_capacity(recent.len());
        for (socket_id, _) in of_address.chain(of_others) {
            if !found.contains(socket_id) {
                found.push(*socket_id);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_same_address_come_first_and_the_oldest_are_forgotten() {
        let recent = RecentSockets::default();
        let id = |number| SocketId::new(number, 1);
        let [here, there] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        for (number, address) in [(1, here), (2, there), (3, here), (1, here)] {
            recent.note(id(number), address);
        }
        assert_eq!(recent.likeliest(here), [id(1), id(3), id(2)]);
        assert_eq!(recent.likeliest(there), [id(2), id(1), id(3)]);
        (0..RECENT_SOCKETS as u32).for_each(|number| recent.note(id(10 + number), there));
        let found = recent.likeliest(here);
        assert_eq!((found.len(), found[0]), (RECENT_SOCKETS, id(9 + RECENT_SOCKETS as u32)));
    }
}
