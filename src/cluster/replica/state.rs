//! What is true on a node, app by app, within bounds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::channel::{Change, ChannelVersion, Fact, Member};
use crate::event::BackendDemand;
use crate::protocol::ChannelName;

use super::super::status::ReplicaSize;
use super::ReplicaChange;

/// All that is true on a node.
#[derive(Debug, Default)]
pub(super) struct ReplicaState {
    pub(super) apps: HashMap<Arc<str>, AppPart>,
    size: ReplicaSize,
}

/// What is true of one app.
#[derive(Debug, Default)]
pub(super) struct AppPart {
    pub(super) channels: HashMap<ChannelName, Occupants>,
    /// Users who are signed in.
    pub(super) users: HashSet<Arc<str>>,
    /// Connections, where they are told.
    pub(super) connections: u32,
    /// What its backends want to hear, if they want anything.
    pub(super) backends: Option<Arc<BackendDemand>>,
}

/// Who is subscribed to a channel. There is somebody.
#[derive(Debug, Default)]
pub(super) struct Occupants {
    /// How many without a member, since the change of this version.
    pub(super) plain: u32,
    pub(super) version: ChannelVersion,
    /// Members, each connection by the change by which it joined. Most channels have none.
    pub(super) members: Option<Box<Members>>,
}

pub(super) type Members = HashMap<ChannelVersion, Member>;

/// How much a node may say it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplicaBounds {
    /// Apps, channels, members' connections and users, altogether.
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// What a fact has done.
#[derive(Debug)]
pub(super) enum FactOutcome {
    Changed(ReplicaChange),
    /// It was known, or ends what has not begun.
    Unchanged,
    /// The app has begun anew: this is what there was of it.
    Renewed(AppPart),
    /// There is no room for it, or it cannot be.
    Refused,
}

/// What one thing more takes.
#[derive(Clone, Copy)]
enum Item<'a> {
    App(&'a str),
    Channel(&'a ChannelName),
    Member(&'a Member),
    User(&'a str),
    Backends(&'a BackendDemand),
}

/// What a node may have that serves a million connections: each subscribed to a channel of its own, a member of another, and
/// signed in as a user of its own; and 250 bytes for each of these.
impl Default for ReplicaBounds {
    fn default() -> Self {
        ReplicaBounds { entries: 4_000_000, bytes: 1024 * 1024 * 1024 }
    }
}

impl ReplicaState {
    pub(super) fn size(&self) -> ReplicaSize {
        self.size
    }

    /// Takes a fact.
    pub(super) fn apply(&mut self, app: &Arc<str>, fact: Fact, bounds: &ReplicaBounds) -> FactOutcome {
        if matches!(fact, Fact::Renewed) {
            return self.renew(app).map_or(FactOutcome::Unchanged, FactOutcome::Renewed);
        }
        let Some(change) = StateChange { state: self, app, bounds }.apply(fact) else {
            return FactOutcome::Refused;
        };
        match change {
            Some(change) => FactOutcome::Changed(ReplicaChange { app: Arc::clone(app), change }),
            None => FactOutcome::Unchanged,
        }
    }

    /// Forgets what is true of an app's connections, and returns it. What its backends want to hear stays.
    fn renew(&mut self, app: &Arc<str>) -> Option<AppPart> {
        let part = self.apps.get_mut(app)?;
        let backends = part.backends.clone();
        let ended = std::mem::replace(part, AppPart { backends: backends.clone(), ..AppPart::default() });
        for (channel, occupants) in &ended.channels {
            self.size.less(Item::Channel(channel));
            let members = occupants.members.iter().flat_map(|members| members.values());
            members.for_each(|member| self.size.less(Item::Member(member)));
        }
        ended.users.iter().for_each(|user_id| self.size.less(Item::User(user_id)));
        if backends.is_none() {
            self.apps.remove(app);
            self.size.less(Item::App(app));
        }
        Some(ended)
    }
}

/// A fact on its way into the state. `Some(None)` is no change, `None` is a refusal.
struct StateChange<'s> {
    state: &'s mut ReplicaState,
    app: &'s Arc<str>,
    bounds: &'s ReplicaBounds,
}

impl StateChange<'_> {
    fn apply(mut self, fact: Fact) -> Option<Option<Change>> {
        match fact {
            Fact::Joined { channel, .. } if !channel.channel_type().is_presence() => None,
            Fact::Subscribers { channel, count, version } => self.set_subscribers(channel, count, version),
            Fact::Joined { channel, version, member } => self.join(channel, version, member),
            Fact::Left { channel, joined, version } => Some(self.leave(channel, joined, version)),
            Fact::SignedIn { user_id } => {
                if self.part().is_some_and(|part| part.users.contains(&user_id)) {
                    return Some(None);
                }
                self.part_with_room(Item::User(&user_id))?.users.insert(Arc::clone(&user_id));
                Some(Some(Change::SignedIn { user_id }))
            }
            Fact::SignedOut { user_id } => {
                let was = self.part().is_some_and(|part| part.users.remove(&user_id));
                if was {
                    self.state.size.less(Item::User(&user_id));
                    self.tidy();
                }
                Some(was.then_some(Change::SignedOut { user_id }))
            }
            Fact::Connections { count } => self.set_connections(count),
            Fact::Backends { demand } => self.set_backends(demand),
            Fact::CacheMissed { channel, version } => Some(Some(Change::CacheMissed { channel, version })),
            // It is more than one change.
            Fact::Renewed => Some(None),
        }
    }

    fn set_subscribers(
        &mut self,
        channel: ChannelName,
        count: u32,
        version: ChannelVersion,
    ) -> Option<Option<Change>> {
        let known = self.part().and_then(|part| part.channels.get_mut(&channel));
        let was = match known {
            Some(occupants) => {
                occupants.version = version;
                std::mem::replace(&mut occupants.plain, count)
            }
            None if count == 0 => 0,
            None => {
                let occupants = Occupants { plain: count, version, members: None };
                self.part_with_room(Item::Channel(&channel))?.channels.insert(channel.clone(), occupants);
                0
            }
        };
        self.forget_if_vacant(&channel);
        Some((was != count).then_some(Change::Subscribers { channel, count, version }))
    }

    fn set_connections(&mut self, count: u32) -> Option<Option<Change>> {
        if self.part().map_or(0, |part| part.connections) == count {
            return Some(None);
        }
        self.part_of_app()?.connections = count;
        self.tidy();
        Some(Some(Change::Connections { count }))
    }

    fn set_backends(&mut self, demand: Arc<BackendDemand>) -> Option<Option<Change>> {
        let known = self.part().and_then(|part| part.backends.clone());
        let was_known = known.is_some();
        if known.as_deref().unwrap_or(&BackendDemand::default()) == &*demand {
            return Some(None);
        }
        // What was wanted before is wanted no more, also if there is no room for what is wanted now.
        if let Some(known) = known {
            self.state.size.less(Item::Backends(&known));
            self.part()?.backends = None;
        }
        let is_taken = demand.is_empty()
            || self
                .part_with_room(Item::Backends(&demand))
                .map(|part| part.backends = Some(Arc::clone(&demand)))
                .is_some();
        self.tidy();
        let demand = if is_taken { demand } else { Arc::default() };
        (is_taken || was_known).then_some(Some(Change::Backends { demand }))
    }

    fn join(
        &mut self,
        channel: ChannelName,
        version: ChannelVersion,
        member: Member,
    ) -> Option<Option<Change>> {
        let known = self.part().and_then(|part| part.channels.get(&channel));
        let is_member = |occupants: &Occupants| {
            occupants.members.as_ref().is_some_and(|members| members.contains_key(&version))
        };
        if known.is_some_and(is_member) {
            return Some(None);
        }
        if known.is_none() {
            let part = self.part_with_room(Item::Channel(&channel))?;
            part.channels.insert(channel.clone(), Occupants::default());
        }
        let Some(part) = self.part_with_room(Item::Member(&member)) else {
            self.forget_if_vacant(&channel);
            return None;
        };
        let occupants = part.channels.entry(channel.clone()).or_default();
        occupants.members.get_or_insert_default().insert(version, member.clone());
        Some(Some(Change::Joined { channel, version, told: version, member }))
    }

    fn leave(
        &mut self,
        channel: ChannelName,
        joined: ChannelVersion,
        version: ChannelVersion,
    ) -> Option<Change> {
        let occupants = self.part()?.channels.get_mut(&channel)?;
        let members = occupants.members.as_mut()?;
        let member = members.remove(&joined)?;
        if members.is_empty() {
            occupants.members = None;
        }
        self.state.size.less(Item::Member(&member));
        self.forget_if_vacant(&channel);
        Some(Change::Left { channel, joined, user_id: member.user_id, version })
    }

    /// Forgets a channel that nobody is subscribed to any more.
    fn forget_if_vacant(&mut self, channel: &ChannelName) {
        let Some(part) = self.part() else { return };
        if part.channels.get(channel).is_some_and(|of| of.plain == 0 && of.members.is_none()) {
            part.channels.remove(channel);
            self.state.size.less(Item::Channel(channel));
            self.tidy();
        }
    }

    fn part(&mut self) -> Option<&mut AppPart> {
        self.state.apps.get_mut(self.app)
    }

    /// The app's part, which begins if there is none and there is room for it.
    fn part_of_app(&mut self) -> Option<&mut AppPart> {
        if !self.state.apps.contains_key(self.app) {
            self.state.size.more(Item::App(self.app), self.bounds)?;
        }
        Some(self.state.apps.entry(Arc::clone(self.app)).or_default())
    }

    /// The same, with room for one thing more, which is counted.
    fn part_with_room(&mut self, item: Item<'_>) -> Option<&mut AppPart> {
        self.part_of_app()?;
        if self.state.size.more(item, self.bounds).is_none() {
            self.tidy();
            return None;
        }
        self.part()
    }

    /// Forgets the app if nothing is true of it.
    fn tidy(&mut self) {
        let is_empty = |part: &AppPart| {
            part.channels.is_empty()
                && part.users.is_empty()
                && part.connections == 0
                && part.backends.is_none()
        };
        if self.state.apps.get(self.app).is_some_and(is_empty) {
            self.state.apps.remove(self.app);
            self.state.size.less(Item::App(self.app));
        }
    }
}

/// Channels have as many connections as there are sockets, which is less.
pub(super) fn as_count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl ReplicaSize {
    /// Adds one thing, if there is room for it.
    fn more(&mut self, item: Item<'_>, bounds: &ReplicaBounds) -> Option<()> {
        let mut larger = *self;
        *larger.number_of(item) += 1;
        larger.bytes += item.bytes();
        let entries = larger.apps + larger.channels + larger.members + larger.users + larger.demands;
        if entries > bounds.entries || larger.bytes > bounds.bytes {
            return None;
        }
        *self = larger;
        Some(())
    }

    /// Takes one thing away.
    fn less(&mut self, item: Item<'_>) {
        *self.number_of(item) -= 1;
        self.bytes -= item.bytes();
    }

    fn number_of(&mut self, item: Item<'_>) -> &mut usize {
        match item {
            Item::App(_) => &mut self.apps,
            Item::Channel(_) => &mut self.channels,
            Item::Member(_) => &mut self.members,
            Item::User(_) => &mut self.users,
            Item::Backends(_) => &mut self.demands,
        }
    }
}

impl Item<'_> {
    /// Its entry in a table, and its texts, each with the counts of references.
    fn bytes(self) -> usize {
        const OF_TEXT: usize = 2 * size_of::<usize>();
        match self {
            Item::App(id) => size_of::<(Arc<str>, AppPart)>() + OF_TEXT + id.len(),
            Item::Channel(name) => {
                size_of::<(ChannelName, Occupants)>() + size_of::<Members>() + OF_TEXT + name.as_str().len()
            }
            Item::Member(Member { user_id, user_info }) => {
                let info = user_info.as_ref().map_or(0, |info| OF_TEXT + info.len());
                size_of::<(ChannelVersion, Member)>() + OF_TEXT + user_id.len() + info
            }
            Item::User(id) => size_of::<Arc<str>>() + OF_TEXT + id.len(),
            Item::Backends(demand) => OF_TEXT + demand.bytes(),
        }
    }
}
