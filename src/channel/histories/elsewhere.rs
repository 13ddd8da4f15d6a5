//! What happens on other nodes.

use super::*;

impl World {
    /// Some connection of another node that is there: its name, its channel and its user.
    pub(super) fn distant(&self, nth: usize) -> Option<(NodeId, ChannelVersion, usize, String)> {
        let all = self.attending.iter().filter_map(|((attendant, channel), user)| match attendant {
            Attendant::Elsewhere(node, joined) => Some((*node, *joined, *channel, user.clone())),
            Attendant::Here(_) => None,
        });
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| all[nth % all.len()].clone())
    }

    /// A connection of another node has joined; if it has joined already, nothing happens.
    pub(super) fn join_elsewhere(&mut self, node: NodeId, joined: ChannelVersion, at: usize, user: &str) {
        let (version, users) = (self.next_version(), users(&self.attending, at));
        let known = self.attending.insert((Attendant::Elsewhere(node, joined), at), user.to_owned());
        let member = Member { user_id: Arc::from(user), user_info: None };
        let channel = self.channels.entry(at).or_default();
        let changed = channel.join_elsewhere((node, joined), &member, version, HERE);
        assert_eq!((changed.occupied, changed.vacated), (users.is_empty(), false));
        assert_eq!(
            (changed.count_changed, changed.announcement.is_some()),
            (known.is_none(), known.is_none())
        );
        if let Some(announcement) = changed.announcement {
            assert_eq!(announcement.user_changed, !users.contains(user));
            self.announce(at, &announcement, true);
        }
    }

    pub(super) fn leave_elsewhere(&mut self, node: NodeId, joined: ChannelVersion, at: usize, user: &str) {
        let version = self.next_version();
        self.attending.remove(&(Attendant::Elsewhere(node, joined), at)).expect("it was there");
        let users = users(&self.attending, at);
        let channel = self.channels.get_mut(&at).expect("it is known");
        let changed = channel.leave_elsewhere((node, joined), user, version);
        assert_eq!((changed.occupied, changed.vacated), (false, users.is_empty()));
        let announcement = changed.announcement.expect("members are announced");
        assert_eq!((&*announcement.member.user_id, announcement.user_changed), (user, !users.contains(user)));
        self.announce(at, &announcement, false);
        let channel = self.channels.get_mut(&at).expect("it is kept until now");
        let again = channel.leave_elsewhere((node, joined), user, version);
        assert!(again.announcement.is_none() && !again.count_changed, "gone is gone");
        self.forget_if_idle(at);
    }

    /// All that a node had is gone, in the order of its joins.
    pub(super) fn die(&mut self, node: NodeId) {
        let of_node = |(attendant, at): &(Attendant, usize)| match attendant {
            Attendant::Elsewhere(of, joined) if *of == node => Some((*joined, *at)),
            Attendant::Elsewhere(..) | Attendant::Here(_) => None,
        };
        let gone: Vec<_> = self.attending.keys().filter_map(of_node).collect();
        for (joined, at) in gone {
            let user = self.attending[&(Attendant::Elsewhere(node, joined), at)].clone();
            self.leave_elsewhere(node, joined, at, &user);
        }
    }
}
