//! The members of a presence channel: distinct users, each with the connections it came by.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::app::Limits;
use crate::protocol::json;

use super::arrivals::Arrivals;
use super::present_user::{DistantName, PresentUser};
use super::{ChannelVersion, NodeId};

/// What a connection says of its user when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user, as text also where it came as a number.
    pub user_id: Arc<str>,
    /// Anything about the user, as the compact text of a JSON object.
    pub user_info: Option<Arc<str>>,
}

/// `channel_data` that makes no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMember {
    /// Not JSON, not an object, or without a usable `user_id`.
    #[error("Invalid channel_data for presence channel")]
    Invalid,
    /// `user_info` is neither an object nor absent.
    #[error("user_info supplied to presence subscription is invalid - if supplied it must be a type of hash")]
    InfoNotAnObject,
    /// The id or the whole is over its limit.
    #[error("user_id/user_info too large for presence channel")]
    TooLarge,
}

impl Member {
    /// Reads `channel_data`. Members other than `user_id` and `user_info` are ignored.
    ///
    /// # Errors
    /// See [`BadMember`].
    pub fn parse(channel_data: &str, limits: &Limits) -> Result<Self, BadMember> {
        let members = json::members(channel_data, ["user_id", "user_info"]);
        let [user_id, user_info] = members.map_err(|_| BadMember::Invalid)?;
        let user_id = user_id.and_then(user_id_text).ok_or(BadMember::Invalid)?;
        let user_info = user_info_text(user_info)?;
        let too_long = user_id.chars().count() > limits.presence_user_id_chars;
        if too_long || channel_data.len() > limits.presence_member_bytes {
            return Err(BadMember::TooLarge);
        }
        Ok(Member { user_id, user_info })
    }
}

/// The compact text of a `user_info`: an object, or nothing.
///
/// # Errors
/// If it is anything else, or nested too deeply.
pub(crate) fn user_info_text(value: Option<&RawValue>) -> Result<Option<Arc<str>>, BadMember> {
    let Some(value) = value.filter(|value| !json::is_null(value)) else { return Ok(None) };
    if !value.get().starts_with('{') {
        return Err(BadMember::InfoNotAnObject);
    }
    let mut compact = String::with_capacity(value.get().len());
    json::push_compact(value, &mut compact).map_err(|_| BadMember::Invalid)?;
    Ok(Some(Arc::from(compact)))
}

/// A user id is a string, or a number that stands for the string of its digits.
fn user_id_text(value: &RawValue) -> Option<Arc<str>> {
    match value.get().as_bytes().first()? {
        b'"' => json::as_string(value).filter(|id| !id.is_empty()).map(Arc::from),
        b'-' | b'0'..=b'9' => Some(Arc::from(value.get())),
        _ => None,
    }
}

/// The members of one channel, in the order in which they came. A member joins and leaves in a time that does not depend
/// on how many there are.
///
/// It does not know this node's connections by their sockets: where one has its place, its `MemberConnection` says. Those of
/// other nodes are named by what their nodes say of them.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    users: Arrivals<PresentUser>,
    /// The change by which each user came.
    came: HashMap<Arc<str>, ChannelVersion>,
    /// Which node this is, once there are members on others.
    here: NodeId,
}

impl Default for Presence {
    fn default() -> Self {
        Presence { users: Arrivals::default(), came: HashMap::default(), here: NodeId::new(0) }
    }
}

/// The place of one connection of a member in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberConnection {
    /// The change by which its user came.
    user: ChannelVersion,
    /// The change by which it joined.
    pub(super) joined: ChannelVersion,
}

/// The channel has all the members it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OverCapacity;

impl Presence {
    /// Adds a connection of `member`, by a change later than all before. Returns its place, and whether it is the user's
    /// first. A further connection of a user who is present is always admitted.
    ///
    /// # Errors
    /// If the user would be one too many. Nothing has changed then.
    pub(super) fn join(
        &mut self,
        member: &Member,
        limit: usize,
        version: ChannelVersion,
    ) -> Result<(MemberConnection, bool), OverCapacity> {
        if let Some(&user) = self.came.get(&member.user_id)
            && let Some(of_user) = self.users.get_mut(user)
        {
            of_user.add(version, member.user_info.clone());
            return Ok((MemberConnection { user, joined: version }, false));
        }
        if self.users.len() >= limit {
            return Err(OverCapacity);
        }
        let mut user = PresentUser::new(Arc::clone(&member.user_id));
        user.add(version, member.user_info.clone());
        self.insert(user, version);
        Ok((MemberConnection { user: version, joined: version }, true))
    }

    /// Removes a connection by its place; returns the member it was of, and whether it was the user's last one.
    pub(super) fn leave(&mut self, place: MemberConnection) -> Option<(Member, bool)> {
        let user_info = self.users.get_mut(place.user)?.remove(place.joined)?;
        self.member_left(place.user, user_info)
    }

    /// Adds a connection of another node, on this one by the change `version`. Returns whether it is the user's first; `None`
    /// if the connection is known. Its node has admitted it, so it is admitted.
    pub(super) fn join_elsewhere(
        &mut self,
        member: &Member,
        name: DistantName,
        version: ChannelVersion,
        here: NodeId,
    ) -> Option<bool> {
        self.here = here;
        if let Some(&user) = self.came.get(&member.user_id)
            && let Some(of_user) = self.users.get_mut(user)
        {
            return of_user.add_distant(name, member.user_info.clone()).then_some(false);
        }
        let mut user = PresentUser::new(Arc::clone(&member.user_id));
        user.add_distant(name, member.user_info.clone());
        self.insert(user, version);
        Some(true)
    }

    /// Removes a connection of another node; returns the member it was of, and whether it was the user's last one.
    pub(super) fn leave_elsewhere(&mut self, user_id: &str, name: DistantName) -> Option<(Member, bool)> {
        let user = *self.came.get(user_id)?;
        let user_info = self.users.get_mut(user)?.remove_distant(name)?;
        self.member_left(user, user_info)
    }

    /// What a connection says of its user.
    pub(super) fn member(&self, place: MemberConnection) -> Option<Member> {
        let user = self.users.get(place.user)?;
        let user_info = user.info_of(place.joined)?.clone();
        Some(Member { user_id: Arc::clone(user.id()), user_info })
    }

    /// A user has come by this change.
    fn insert(&mut self, user: PresentUser, version: ChannelVersion) {
        self.came.insert(Arc::clone(user.id()), version);
        self.users.push(version, user);
    }

    /// A connection of the user has left, which said this of it.
    fn member_left(&mut self, user: ChannelVersion, user_info: Option<Arc<str>>) -> Option<(Member, bool)> {
        let of_user = self.users.get_mut(user)?;
        let (user_id, last) = (Arc::clone(of_user.id()), of_user.is_gone());
        if last {
            self.users.remove(user);
            self.came.remove(&user_id);
        }
        Some((Member { user_id, user_info }, last))
    }

    /// The distinct users, in the order in which they came.
    pub(crate) fn user_ids(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|user| &**user.id())
    }

    /// The distinct users, in the order in which they came, each with what is told of it.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.users.iter().map(|user| (&**user.id(), user.infos(self.here).next().flatten()))
    }

    /// How many distinct users there are.
    pub(crate) fn user_count(&self) -> usize {
        self.users.len()
    }

    /// The roster as a subscriber is told it: JSON text.
    ///
    /// By user, it is what protocol 3 and later read: ids, count, and a hash with an entry for every id, `null`
    /// where there is no info. By connection, it is the array that protocols 1 and 2 read.
    pub(crate) fn roster(&self, by_user: bool) -> String {
        if by_user { self.roster_by_user() } else { self.roster_by_connection() }
    }

    fn roster_by_user(&self) -> String {
        let mut text = format!("{{\"presence\":{{\"count\":{},\"ids\":[", self.users.len());
        for (n, user) in self.users.iter().enumerate() {
            push_comma(n, &mut text);
            json::push_string(user.id(), &mut text);
        }
        text.push_str("],\"hash\":{");
        for (n, user) in self.users.iter().enumerate() {
            push_comma(n, &mut text);
            json::push_string(user.id(), &mut text);
            text.push(':');
            text.push_str(user.infos(self.here).next().flatten().unwrap_or("null"));
        }
        text.push_str("}}}");
        text
    }

    fn roster_by_connection(&self) -> String {
        let connections =
            self.users.iter().flat_map(|user| user.infos(self.here).map(move |info| (user.id(), info)));
        let mut text = String::from("[");
        for (n, (id, info)) in connections.enumerate() {
            push_comma(n, &mut text);
            text.push_str("{\"user_id\":");
            json::push_string(id, &mut text);
            if let Some(info) = info {
                text.push_str(",\"user_info\":");
                text.push_str(info);
            }
            text.push('}');
        }
        text.push(']');
        text
    }
}

fn push_comma(index: usize, text: &mut String) {
    if index > 0 {
        text.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(channel_data: &str) -> Result<Member, BadMember> {
        Member::parse(channel_data, &Limits::default())
    }

    fn version(number: u64) -> ChannelVersion {
        ChannelVersion::new(number)
    }

    #[test]
    fn channel_data_is_read_or_refused() {
        let ann = member(r#"{"user_id":"u1","user_info":{ "name": "Ann" },"more":1}"#).unwrap();
        assert_eq!((&*ann.user_id, ann.user_info.as_deref()), ("u1", Some(r#"{"name":"Ann"}"#)));
        assert_eq!(&*member(r#"{"user_id":10}"#).unwrap().user_id, "10");
        assert_eq!(member(r#"{"user_id":10}"#), member(r#"{"user_id":"10","user_info":null}"#));
        assert_eq!(member(r#"{"user_id":1,"user_info":{}}"#).unwrap().user_info.as_deref(), Some("{}"));
        for text in
            ["", "x", "[]", "\"u1\"", "{}", r#"{"user_id":""}"#, r#"{"user_id":true}"#, r#"{"user_id":[1]}"#]
        {
            assert_eq!(member(text), Err(BadMember::Invalid), "{text}");
        }
        for info in ["\"x\"", "[]", "1", "false"] {
            let text = format!(r#"{{"user_id":"u1","user_info":{info}}}"#);
            assert_eq!(member(&text), Err(BadMember::InfoNotAnObject), "{info}");
        }
    }

    #[test]
    fn limits_hold_to_the_character_and_the_byte() {
        let with_id = |n| member(&format!(r#"{{"user_id":"{}"}}"#, "é".repeat(n)));
        assert!(with_id(128).is_ok());
        assert_eq!(with_id(129), Err(BadMember::TooLarge));
        let with_info = |n| member(&format!(r#"{{"user_id":"1","user_info":{{"a":"{}"}}}}"#, "x".repeat(n)));
        let frame = r#"{"user_id":"1","user_info":{"a":""}}"#.len();
        assert!(with_info(1024 - frame).is_ok());
        assert_eq!(with_info(1025 - frame), Err(BadMember::TooLarge));
    }

    #[test]
    fn a_user_is_present_from_the_first_connection_to_the_last() {
        let mut presence = Presence::default();
        let ann = member(r#"{"user_id":"ann","user_info":{"n":1}}"#).unwrap();
        let again = member(r#"{"user_id":"ann","user_info":{"n":2}}"#).unwrap();
        let bob = member(r#"{"user_id":"bob"}"#).unwrap();
        let (first, is_first) = presence.join(&ann, 2, version(1)).unwrap();
        assert!(is_first);
        let (second, is_first) = presence.join(&again, 2, version(2)).unwrap();
        assert!(!is_first);
        let (third, is_first) = presence.join(&bob, 2, version(3)).unwrap();
        assert!(is_first);
        let cy = member(r#"{"user_id":"cy"}"#).unwrap();
        assert_eq!(presence.join(&cy, 2, version(4)), Err(OverCapacity));
        let roster = r#"{"presence":{"count":2,"ids":["ann","bob"],"hash":{"ann":{"n":1},"bob":null}}}"#;
        assert_eq!(presence.roster(true), roster);
        let by_connection = concat!(
            r#"[{"user_id":"ann","user_info":{"n":1}},{"user_id":"ann","user_info":{"n":2}},"#,
            r#"{"user_id":"bob"}]"#
        );
        assert_eq!(presence.roster(false), by_connection);
        assert_eq!(presence.leave(first), Some((ann, false)));
        let second_speaks =
            r#"{"presence":{"count":2,"ids":["ann","bob"],"hash":{"ann":{"n":2},"bob":null}}}"#;
        assert_eq!(presence.roster(true), second_speaks);
        assert_eq!(presence.leave(second), Some((again, true)));
        assert_eq!(presence.leave(second), None, "gone is gone");
        assert_eq!(presence.leave(third), Some((bob, true)));
        assert_eq!(presence.roster(true), r#"{"presence":{"count":0,"ids":[],"hash":{}}}"#);
    }

    /// What the roster shows of Ann, by user and by connection.
    fn shown(presence: &Presence) -> (String, String) {
        let by_user = presence.roster(true);
        let shown = by_user.split(r#"{"ann":"#).nth(1).unwrap().trim_end_matches("}}}");
        (shown.to_owned(), presence.roster(false).replace(r#""user_id":"ann","user_info":"#, ""))
    }

    #[test]
    fn a_user_is_shown_as_the_connection_of_the_lowest_node_and_join_says() {
        let here = NodeId::new(5);
        let ann = |n: u8| member(&format!(r#"{{"user_id":"ann","user_info":{{"n":{n}}}}}"#)).unwrap();
        let of = |node: u128, joined| (NodeId::new(node), version(joined));
        let mut presence = Presence::default();
        assert_eq!(presence.join_elsewhere(&ann(1), of(7, 2), version(1), here), Some(true));
        assert_eq!(shown(&presence), (r#"{"n":1}"#.into(), r#"[{{"n":1}}]"#.into()));
        let (ours, is_first) = presence.join(&ann(2), 0, version(2)).unwrap();
        assert!(!is_first, "she is here, and admitted though there is no room");
        assert_eq!(shown(&presence), (r#"{"n":2}"#.into(), r#"[{{"n":2}},{{"n":1}}]"#.into()));
        assert_eq!(presence.join_elsewhere(&ann(3), of(4, 9), version(3), here), Some(false));
        assert_eq!(presence.join_elsewhere(&ann(4), of(4, 8), version(4), here), Some(false));
        assert_eq!(presence.join_elsewhere(&ann(5), of(4, 8), version(5), here), None, "it is known");
        let by_connection = r#"[{{"n":4}},{{"n":3}},{{"n":2}},{{"n":1}}]"#.to_owned();
        assert_eq!(shown(&presence), (r#"{"n":4}"#.into(), by_connection));
        assert_eq!(presence.leave_elsewhere("ann", of(4, 8)), Some((ann(4), false)));
        assert_eq!(presence.leave_elsewhere("ann", of(4, 8)), None);
        assert_eq!(presence.leave_elsewhere("bob", of(4, 9)), None);
        assert_eq!(presence.leave_elsewhere("ann", of(7, 2)), Some((ann(1), false)));
        assert_eq!(presence.leave(ours), Some((ann(2), false)));
        assert_eq!(presence.leave_elsewhere("ann", of(4, 9)), Some((ann(3), true)));
        assert_eq!((presence.user_count(), presence.came.len()), (0, 0));
    }
}
