//! Who listens to which app for the feed: nobody, while nobody watches it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::watch::{AppWatch, HEARD, StrangerWatch};
use crate::feed::Feed;
use crate::hub::{Hub, Listener};

/// The listeners of the apps that somebody watches.
pub(crate) struct Watchers {
    feed: Arc<Feed>,
    /// By the app's id; no more than there are apps.
    listeners: Mutex<HashMap<String, Arc<dyn Listener>>>,
}

impl Watchers {
    /// Nobody yet.
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Watchers { feed, listeners: Mutex::default() }
    }

    /// What they tell.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Hears from now on of what is refused where no app is known.
    pub(crate) fn listen_to_strangers(&self, hub: &Hub) {
        hub.listen_to_unknown_apps(Arc::new(StrangerWatch(Arc::clone(&self.feed))));
    }

    /// The listener of an app whose listeners are put together anew; none where nobody watches it.
    pub(crate) fn listener(&self, app_id: &str) -> Option<Arc<dyn Listener>> {
        let mut listeners = self.listeners.lock();
        self.feed.wants_of_app(&HEARD, app_id).then(|| self.of(&mut listeners, app_id))
    }

    /// Viewers have come or gone, or want other apps, or there are others: has those apps listened to that somebody watches,
    /// and no others.
    pub(crate) fn look(&self, hub: &Hub) {
        let mut listeners = self.listeners.lock();
        let apps = hub.apps();
        for app in apps.iter() {
            if self.feed.wants_of_app(&HEARD, app.id()) {
                let listener = self.of(&mut listeners, app.id());
                if !app.is_heard_by(&listener) {
                    app.listen_also(&listener);
                }
            } else if let Some(listener) = listeners.remove(app.id()) {
                app.listen_no_more(&listener);
            }
        }
        listeners.retain(|id, _| apps.by_id(id).is_some());
    }

    fn of(&self, listeners: &mut HashMap<String, Arc<dyn Listener>>, app_id: &str) -> Arc<dyn Listener> {
        let new = || Arc::new(AppWatch::new(Arc::clone(&self.feed), app_id)) as Arc<dyn Listener>;
        Arc::clone(listeners.entry(app_id.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::connection::ConnectionConfig;
    use crate::event::{AcceptedEvent, Destination};
    use crate::feed::WrittenFilter;
    use crate::protocol::ChannelName;
    use crate::protocol::json::Data;

    #[test]
    fn an_app_is_listened_to_while_somebody_watches_it() {
        let apps = ["1", "2"].map(|id| (App::new(id, format!("key-{id}"), "secret"), Vec::new()));
        let hub = Hub::new(apps.into(), ConnectionConfig::default(), 1, 0).unwrap();
        let watchers = Watchers::new(Arc::default());
        let send = |app: &str| {
            let channel = ChannelName::parse("room", 164).unwrap();
            let to = Destination::Subscribers { channel, except: None };
            let apps = hub.apps();
            let state = apps.by_id(app).unwrap();
            let event = AcceptedEvent {
                source: crate::event::Source::Http,
                ..AcceptedEvent::of_pipe(to, "e", Data::of_text("<b>hello</b>"))
            };
            hub.accept(state, &event);
        };
        watchers.look(&hub);
        let is_heard = |app: &str| hub.apps().by_id(app).unwrap().has_listeners();
        assert!(!is_heard("1") && !is_heard("2") && watchers.listener("1").is_none());
        let mut viewer = watchers.feed().enter().unwrap();
        let written: WrittenFilter = serde_json::from_str(r#"{"app":"2"}"#).unwrap();
        viewer.set_filter(written.read().unwrap());
        watchers.look(&hub);
        watchers.look(&hub);
        assert!(!is_heard("1") && is_heard("2"));
        send("1");
        send("2");
        let told = viewer.next().entries;
        assert_eq!(told.len(), 1, "and once");
        let json: serde_json::Value = serde_json::from_str(told[0].json()).unwrap();
        assert_eq!(
            [&json["app"], &json["kind"], &json["channel"], &json["event"], &json["data"]["text"]],
            ["2", "events", "room", "e", "<b>hello</b>"]
        );
        assert_eq!(json["receivers"], 0);
        drop(viewer);
        watchers.look(&hub);
        assert!(!is_heard("2") && watchers.listeners.lock().is_empty());
    }
}
