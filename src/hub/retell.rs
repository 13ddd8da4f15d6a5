//! A bus that comes while the node serves is told what is true on it already.

use std::sync::Arc;

use crate::channel::{Channel, Fact};
use crate::protocol::ChannelName;

use super::{AppState, Bus, Hub};

impl Hub {
    /// Tells the bus of this hub what is true on this node: each thing under its lock, as changes of it are told. So nothing is
    /// missing, and nothing is told behind what has changed it; what is told twice does no harm.
    pub(crate) fn tell_what_is_true(&self, bus: &Arc<dyn Bus>) {
        for app in self.apps().iter() {
            app.users.tell_online_here(|user_id| {
                bus.tell(app, Fact::SignedIn { user_id: Arc::clone(user_id) });
            });
            self.sockets.tell_counted(app.index(), |count| self.tell_connections(app, count));
            app.listeners().iter().for_each(|listener| listener.bus_came(self, app));
            // Nobody waits for longer than one channel takes.
            for channel in names_here(app) {
                if let Some(entry) = app.channels.get(&channel) {
                    self.tell_channel(app, &channel, &entry, &**bus);
                }
            }
        }
    }

    fn tell_channel(&self, app: &AppState, channel: &ChannelName, entry: &Channel, bus: &dyn Bus) {
        let plain = entry.subscribers().plain_count();
        if plain > 0 {
            let (count, version) = (u32::try_from(plain).unwrap_or(u32::MAX), self.next_version());
            bus.tell(app, Fact::Subscribers { channel: channel.clone(), count, version });
        }
        for (version, member) in entry.members_here() {
            bus.tell(app, Fact::Joined { channel: channel.clone(), version, member });
        }
    }
}

/// The channels that somebody on this node is subscribed to.
fn names_here(app: &AppState) -> Vec<ChannelName> {
    let channels = app.channels.iter().filter(|entry| !entry.subscribers().is_nobody_here());
    channels.map(|entry| entry.key().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::channel::Member;
    use crate::connection::ConnectionConfig;
    use crate::hub::FakeBus;
    use crate::protocol::SocketId;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name, 164).unwrap()
    }

    #[test]
    fn a_bus_that_comes_is_told_who_is_there() {
        let mut app = App::new("1", "k", "s");
        app.limits.connections = 10;
        let hub = Hub::new(vec![(app, Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
        let app = hub.state_by_key("k").unwrap();
        let socket = |n| SocketId::new(n, 1);
        let member = Member { user_id: "ann".into(), user_info: Some(r#"{"n":1}"#.into()) };
        let version = hub.next_version();
        for (name, n, member) in
            [("news", 1, None), ("news", 2, None), ("presence-a", 3, Some(&member)), ("presence-a", 4, None)]
        {
            let version = if n == 3 { version } else { hub.next_version() };
            app.channels.entry(channel(name)).or_default().join(0, socket(n), member, 9, version).unwrap();
        }
        app.users.sign_in(&"ann".into(), (0, socket(3)), &[], |_| ());
        let bus = Arc::<FakeBus>::default();
        hub.set_bus(bus.clone());
        hub.tell_what_is_true(&(bus.clone() as Arc<dyn Bus>));
        let told = bus.take_told();
        let counted = |name: &str, count| {
            let is_it = |fact: &Fact| matches!(fact, Fact::Subscribers { channel: of, count: told, .. } if of.as_str() == name && *told == count);
            told.iter().filter(|fact| is_it(fact)).count()
        };
        assert_eq!((counted("news", 2), counted("presence-a", 1), told.len()), (1, 1, 5), "{told:?}");
        for fact in [
            Fact::Joined { channel: channel("presence-a"), version, member },
            Fact::SignedIn { user_id: "ann".into() },
            Fact::Connections { count: 0 },
        ] {
            assert!(told.contains(&fact), "{told:?}");
        }
        hub.take_bus_away();
        assert!(hub.bus().is_none());
    }
}
