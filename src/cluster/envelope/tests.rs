use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::questions::NodeAnswer;
use super::*;
use crate::channel::{ChannelVersion, Fact, Member};
use crate::event::{BackendDemand, BackendWish, ConsumerGroup, Glob, GroupBy, NotificationFilter};
use crate::protocol::{ChannelName, Rendition, SocketTag, TrackKind};
use crate::video::{TrackMoves, TrackRequest};

fn envelope(content: Content) -> Envelope {
    Envelope { from: NodeId::new(u128::MAX - 7), content }
}

fn text(json: &str) -> Frame {
    let header = [0x81, u8::try_from(json.len()).unwrap()];
    Frame::read([&header, json.as_bytes()].concat().into()).unwrap()
}

fn frames() -> impl Strategy<Value = Frame> {
    let payload = vec(any::<u8>(), 0..300);
    (any::<bool>(), payload).prop_map(|(is_text, payload)| {
        let payload =
            if is_text { String::from_utf8_lossy(&payload).into_owned().into_bytes() } else { payload };
        let mut bytes = vec![if is_text { 0x81 } else { 0x82 }];
        match payload.len() {
            short @ ..126 => bytes.push(short as u8),
            long => {
                bytes.push(126);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        bytes.extend(payload);
        Frame::read(bytes.into()).unwrap()
    })
}

fn demands() -> impl Strategy<Value = Arc<BackendDemand>> {
    let globs =
        || option::of(vec("[a-zü]{0,4}\\*?[a-z]{1,4}".prop_map(|text| Glob::parse(&text).unwrap()), 0..4));
    let by = any::<bool>().prop_map(|by| if by { GroupBy::Socket } else { GroupBy::Channel });
    let group =
        option::of(("[a-zü]{1,5}", by).prop_map(|(name, by)| ConsumerGroup { name: name.into(), by }));
    let filter = (globs(), globs(), any::<[bool; 3]>(), group).prop_map(
        |(channels, names, [back_channel, clients, http], group)| NotificationFilter {
            channels,
            back_channel,
            names,
            clients,
            http,
            group,
        },
    );
    let wish = (1_u8..32, filter, vec(sockets(), 0..4)).prop_map(|(kinds, filter, members)| BackendWish {
        kinds,
        members: if filter.group.is_some() { members } else { Vec::new() },
        filter: Arc::new(filter),
    });
    vec(wish, 0..4).prop_map(|wishes| Arc::new(BackendDemand::from_wishes(wishes).unwrap()))
}

fn facts() -> impl Strategy<Value = Vec<AppFact>> {
    let channel = "(presence-)?[a-z0-9;@]{1,9}".prop_map(|name| ChannelName::parse(&name, 164).unwrap());
    let user_id = "[a-zü\"]{1,5}".prop_map(Arc::<str>::from);
    let user_info = option::of("\\{\"n\":\"[a-zü]{0,5}\"\\}".prop_map(Arc::<str>::from));
    let version = || any::<u64>().prop_map(ChannelVersion::new);
    let fact = (0..8, channel, user_id, user_info, version(), version(), any::<u32>()).prop_map(
        |(kind, channel, user_id, user_info, joined, version, count)| match kind {
            0 => Fact::Subscribers { channel, count, version },
            1 => Fact::Joined { channel, version, member: Member { user_id, user_info } },
            2 => Fact::Left { channel, joined, version },
            3 => Fact::SignedIn { user_id },
            4 => Fact::SignedOut { user_id },
            5 => Fact::Connections { count },
            6 => Fact::Renewed,
            _ => Fact::CacheMissed { channel, version },
        },
    );
    let fact = prop_oneof![7 => fact, 1 => demands().prop_map(|demand| Fact::Backends { demand })];
    vec(("[ab]".prop_map(|app| app.into()), fact).prop_map(|(app, fact)| AppFact { app, fact }), 0..20)
}

fn list(facts: &[AppFact]) -> FactList {
    let mut builder = FactListBuilder::default();
    facts.iter().for_each(|AppFact { app, fact }| builder.push(app, fact));
    builder.take()
}

fn sockets() -> impl Strategy<Value = SocketId> {
    any::<(u32, u32)>().prop_map(|(first, second)| SocketId::new(first, second))
}

fn contents() -> impl Strategy<Value = Content> {
    let texts = || ".{0,9}".prop_map(Arc::<str>::from);
    let latest = option::of(".{0,9}".prop_map(String::into_boxed_str));
    let numbers = any::<(u64, u64, u64)>();
    let restored = option::of(any::<(u64, u32)>());
    let kept = (restored, any::<(bool, bool)>());
    let event = (numbers, option::of(sockets()), latest, frames(), kept).prop_map(
        |((epoch, number, state), except, latest, frame, (restored, (is_remembered, is_of_track)))| {
            let expires_in = |millis: u32| Duration::from_millis(millis.into());
            let restored = restored.map(|(rank, millis)| Restored { rank, expires_in: expires_in(millis) });
            Content::Event(EventMessage {
                epoch,
                number,
                state,
                except,
                latest,
                frame,
                restored,
                is_remembered,
                is_of_track,
            })
        },
    );
    let heartbeat =
        (any::<(u64, u64, bool, u16, u64, [u8; 16])>(), texts(), texts(), option::of((texts(), texts())))
            .prop_map(|((beat, facts, settled, socket_tag, started_ms, settings), name, release, more)| {
                let (address, engine) = more.unzip();
                let engine = engine.map(EngineId);
                let socket_tag = SocketTag::of_random(socket_tag);
                let settings = SettingDigests::of_bytes(&settings);
                Content::Heartbeat(NodeHeartbeat {
                    beat,
                    facts,
                    settled,
                    name,
                    address,
                    socket_tag,
                    release,
                    engine,
                    started_ms,
                    settings,
                })
            });
    let part =
        (any::<(u64, u64, u32, bool)>(), facts()).prop_map(|((request, number, part, is_last), facts)| {
            Content::SnapshotPart(SnapshotPart { request, number, part, is_last, facts: list(&facts) })
        });
    prop_oneof![
        event,
        heartbeat,
        part,
        (any::<u64>(), facts())
            .prop_map(|(first, facts)| Content::Facts(FactBatch { first, facts: list(&facts) })),
        any::<(u128, u64)>().prop_map(|(of, request)| {
            Content::SnapshotRequest(SnapshotRequest { of: NodeId::new(of), request })
        }),
        Just(Content::Goodbye),
        Just(Content::EventsLost),
        (texts(), texts()).prop_map(|(app, user_id)| Content::Terminate { app, user_id }),
        notices(),
        (any::<u64>(), 0..4_u8, ".{0,9}").prop_map(|(number, kind, text)| {
            let text = Bytes::from(text);
            let word = match kind {
                0 => QuestionWord::Asked(text),
                1 => QuestionWord::Answered(NodeAnswer::Told(text)),
                2 => QuestionWord::Answered(NodeAnswer::Nobody),
                _ => QuestionWord::Answered(NodeAnswer::Busy),
            };
            Content::Question { number, word }
        }),
        (texts(), sockets()).prop_map(|(app, socket)| Content::CloseSocket { app, socket }),
        (texts(), sockets(), frames()).prop_map(|(app, socket, frame)| Content::ToSocket {
            app,
            socket,
            frame
        }),
        wanted(),
        claimed(),
        feed_words(),
    ]
}

fn feed_words() -> impl Strategy<Value = Content> {
    (any::<bool>(), vec(any::<u8>(), 0..50)).prop_map(|(is_wanted, bytes)| {
        let bytes = Bytes::from(bytes);
        Content::OfFeed(if is_wanted { FeedWord::Wanted(bytes) } else { FeedWord::Passed(bytes) })
    })
}

fn claimed() -> impl Strategy<Value = Content> {
    let text = || ".{0,9}".prop_map(String::into_boxed_str);
    let who = (option::of(text()), option::of(text()), any::<bool>(), any::<bool>(), 0_u8..64);
    ("[a-z]{1,9}", text(), text(), who).prop_map(|(name, event, track, who)| {
        let (publisher, user_id, is_older, is_sound, moves) = who;
        let channel = ChannelName::parse(&name, 164).unwrap();
        let kind = if is_sound { TrackKind::Sound } else { TrackKind::Pictures };
        let of = TrackRequest { event, track };
        let moves = TrackMoves::new(moves);
        let claim = FilmingClaim { channel, of, kind, publisher, user_id, is_older, moves };
        Content::FilmingClaimed { app: "1".into(), claim: Box::new(claim) }
    })
}

fn wanted() -> impl Strategy<Value = Content> {
    let rendition = any::<bool>().prop_map(|is_small| Rendition::ALL[usize::from(is_small)]);
    let track = ".{0,9}".prop_map(String::into_boxed_str);
    let of = (track.clone(), track, rendition)
        .prop_map(|(event, track, rendition)| (TrackRequest { event, track }, rendition));
    ("[a-z]{1,9}", option::of(of)).prop_map(|(name, of)| {
        let channel = ChannelName::parse(&name, 164).unwrap();
        Content::KeyframesWanted { app: "1".into(), wanted: Box::new(KeyframesWanted { channel, of }) }
    })
}

fn notices() -> impl Strategy<Value = Content> {
    let text = || ".{0,9}".prop_map(Arc::<str>::from);
    let user_id = || option::of(text());
    let channel = || "[a-z]{1,9}".prop_map(|name| ChannelName::parse(&name, 164).unwrap());
    let payload = vec(any::<u8>(), 0..50).prop_map(Bytes::from);
    let message = (option::of(sockets()), user_id(), option::of(channel()), text(), payload);
    let notice = prop_oneof![
        message.prop_map(|(sender, user_id, channel, name, payload)| {
            CarriedNotice::Message { sender, user_id, channel, name: (*name).into(), payload }
        }),
        sockets().prop_map(|socket| CarriedNotice::Opened { socket }),
        (sockets(), text()).prop_map(|(socket, user_id)| CarriedNotice::SignedIn { socket, user_id }),
        (sockets(), user_id()).prop_map(|(socket, user_id)| CarriedNotice::Closed { socket, user_id }),
        (any::<bool>(), sockets(), channel(), user_id()).prop_map(|(came, socket, channel, user_id)| {
            if came {
                CarriedNotice::Subscribed { socket, channel, user_id }
            } else {
                CarriedNotice::Unsubscribed { socket, channel, user_id }
            }
        }),
    ];
    let groups = vec((any::<u128>().prop_map(NodeId::new), text()), 0..3);
    (any::<(u64, u64)>(), groups, notice).prop_map(|((epoch, number), groups, notice)| {
        Content::Notice(NoticeMessage { epoch, number, groups, notice })
    })
}

proptest! {
    /// Whatever a node says is read as it was said, also with what a later release adds behind it; and nothing of it
    /// can be missing.
    #[test]
    fn what_is_written_is_read(from in any::<u128>(), content in contents(), more in vec(any::<u8>(), 0..9)) {
        let envelope = Envelope { from: NodeId::new(from), content };
        let bytes = envelope.encode();
        prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope.clone()));
        let longer = Bytes::from([&bytes[..], &more].concat());
        prop_assert_eq!(Envelope::decode(&longer), Ok(envelope));
        for end in 0..bytes.len() {
            prop_assert_eq!(Envelope::decode(&bytes.slice(..end)), Err(Unreadable::Malformed));
        }
    }

    #[test]
    fn facts_are_read_in_their_order(facts in facts()) {
        let list = list(&facts);
        prop_assert_eq!(list.len() as usize, facts.len());
        prop_assert_eq!(list.iter().map(Option::unwrap).collect::<Vec<_>>(), facts);
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in vec(any::<u8>(), 0..200), kind in 0_u8..20) {
        if let [version, of_kind, ..] = &mut bytes[..] {
            (*version, *of_kind) = (FORMAT, kind);
        }
        if let Ok(envelope) = Envelope::decode(&bytes.into()) {
            prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }
}

#[test]
fn a_frame_is_a_part_of_the_bytes() {
    let frame = text("{}");
    let event = EventMessage {
        epoch: 1,
        number: 2,
        state: 3,
        except: None,
        latest: None,
        frame,
        restored: None,
        is_remembered: false,
        is_of_track: false,
    };
    let bytes = envelope(Content::Event(event)).encode();
    let Ok(Envelope { content: Content::Event(event), .. }) = Envelope::decode(&bytes) else { panic!() };
    assert!(bytes.as_ptr_range().contains(&event.frame.websocket().as_ptr()));
}

/// It is kept and shown for as long as the node is there.
///
/// Proves: N18.
#[test]
fn a_name_of_any_length_is_not_read() {
    let heartbeat = |name: &str| {
        let content = Content::Heartbeat(NodeHeartbeat {
            beat: 1,
            facts: 0,
            settled: true,
            name: name.into(),
            address: None,
            socket_tag: SocketTag::of_random(1),
            release: "1".into(),
            engine: None,
            started_ms: 0,
            settings: Default::default(),
        });
        Envelope::decode(&envelope(content).encode()).map(|_| ())
    };
    assert_eq!(heartbeat(&"n".repeat(MOST_NAME_BYTES)), Ok(()));
    assert_eq!(heartbeat(&"n".repeat(MOST_NAME_BYTES + 1)), Err(Unreadable::Malformed));
}

/// Pinned: nodes of two releases must understand each other.
#[test]
fn the_format_is_that_of_releases_before() {
    let member = Member { user_id: "u".into(), user_info: Some(r#"{"a":1}"#.into()) };
    let channel = ChannelName::parse("presence-a", 164).unwrap();
    let version = ChannelVersion::new(300);
    let joined = AppFact { app: "1".into(), fact: Fact::Joined { channel, version, member } };
    let contents = [
        Content::Goodbye,
        Content::Facts(FactBatch { first: 7, facts: list(&[joined]) }),
        Content::Event(EventMessage {
            epoch: 1,
            number: 2,
            state: 3,
            except: Some(SocketId::new(4, 5)),
            latest: Some("e".into()),
            frame: text("{}"),
            restored: None,
            is_remembered: false,
            is_of_track: false,
        }),
    ];
    let node = "fffffffffffffffffffffffffffffff8";
    let expected = [
        format!("0106{node}"),
        format!(
            "0103{node}07011e0002013102180a70726573656e63652d61ac0201750107{}",
            hex::encode(r#"{"a":1}"#)
        ),
        format!("0101{node}03010203040501650481027b7d"),
    ];
    for (content, expected) in contents.into_iter().zip(expected) {
        let envelope = envelope(content);
        assert_eq!(hex::encode(envelope.encode()), expected);
        assert_eq!(Envelope::decode(&hex::decode(expected).unwrap().into()), Ok(envelope));
    }
}

#[test]
fn what_a_later_release_says_is_passed_over() {
    let mut bytes = envelope(Content::Goodbye).encode().to_vec();
    bytes[0] = 2;
    assert_eq!(Envelope::decode(&bytes.clone().into()), Err(Unreadable::Version(2)));
    bytes[..2].copy_from_slice(&[FORMAT, 200]);
    assert_eq!(Envelope::decode(&bytes.into()), Err(Unreadable::Kind(200)));

    // A fact of a kind of its own, and one with a field more, between two that are known.
    let signed_in = |user: &str| AppFact { app: "1".into(), fact: Fact::SignedIn { user_id: user.into() } };
    let records = [&[0, 2, 1, b'1', 4, 2, 1, b'u'][..], &[99, 1, 0], &[4, 3, 1, b'v', 9]].concat();
    let mut written = FieldWriter::default();
    written.number(3);
    written.bytes(&records);
    let bytes = written.finish();
    let list = FactList::read(&mut FieldReader::new(&bytes)).unwrap();
    assert_eq!(list.iter().collect::<Vec<_>>(), [Some(signed_in("u")), None, Some(signed_in("v"))]);
}

#[test]
fn a_fact_that_cannot_be_true_is_none_and_the_others_hold() {
    let channel = |name: &str| ChannelName::parse(name, 164).unwrap();
    let member = |id: &str, info: &str| Member { user_id: id.into(), user_info: Some(info.into()) };
    let joined =
        |member| Fact::Joined { channel: channel("presence-a"), version: ChannelVersion::new(1), member };
    let bad = [member("u", "[]"), member("u", "{"), member("u", r#"{"a":1}}"#), member("", "{}")];
    let mut builder = FactListBuilder::default();
    let app = "1".into();
    bad.into_iter().for_each(|bad| builder.push(&app, &joined(bad)));
    builder.push(&app, &joined(member("u", r#"{"a": 1}"#)));
    let facts: Vec<_> = builder.take().iter().collect();
    let good = AppFact { app, fact: joined(member("u", r#"{"a":1}"#)) };
    assert_eq!(facts, [None, None, None, None, Some(good)]);
}

#[test]
fn a_list_of_more_facts_than_a_node_says_at_once_is_not_read() {
    let read = |facts: u32| {
        let mut list = FactListBuilder::default();
        (0..facts).for_each(|_| list.push(&"1".into(), &Fact::Connections { count: 1 }));
        let batch = FactBatch { first: 1, facts: list.take() };
        Envelope::decode(&envelope(Content::Facts(batch)).encode())
    };
    assert!(read(65_536).is_ok());
    assert_eq!(read(65_537), Err(Unreadable::Malformed));
}
