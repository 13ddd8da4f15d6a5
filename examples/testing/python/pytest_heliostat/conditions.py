"""What a test can wait for, as the control API has it. A dict in the API's own shape will do, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Mapping, Sequence, TypedDict, Union

if TYPE_CHECKING:
    from typing_extensions import Unpack

Condition = Mapping[str, Any]


class Range(TypedDict, total=False):
    at_least: int
    at_most: int


#: Exactly so many, or a range.
Count = Union[int, Range]

Kind = Literal[
    "connected",
    "connection_refused",
    "disconnected",
    "subscribed",
    "unsubscribed",
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "signed_in",
    "refused",
    "http_refused",
    "event",
    "delivered",
    "resumed",
    "webhook",
    "webhook_failed",
    "fault",
    "clock_advanced",
    "gave_up",
]


class Having(TypedDict, total=False):
    """What an entry of the log must have: all that is named."""

    socket_id: str
    user_id: str
    channel: str
    #: Of the event or webhook.
    name: str
    source: Literal["client", "http"]
    #: A close code, or the code of a `pusher:error`.
    code: int
    #: An HTTP status.
    status: int
    #: Part of the reason.
    reason: str
    #: Part of the path.
    path: str
    #: The number of the fault.
    fault: int
    #: The payload: a dict of paths and their values, a list of the API's expectations, or the whole of it.
    data: Any


class EntryFilter(Having, total=False):
    count: Count
    #: Of how many distinct connections they must be.
    sockets: Count
    #: Only entries after this number.
    after: int


class Filter(Having, total=False):
    type: Union[Kind, Sequence[Kind]]


class LogFilter(Filter, total=False):
    #: Only entries after this number.
    after: int
    #: Entries to be given at once: 1000.
    limit: int


_AT_LEAST_ONE: Range = {"at_least": 1}


def subscribers(channel: str, count: Count) -> Condition:
    """`channel` has `count` subscribed connections."""
    return given(type="subscribers", channel=channel, count=count)


def members(channel: str, expected: Union[Count, Sequence[str]]) -> Condition:
    """The presence channel has so many members, or exactly those with these ids."""
    if expected is None or isinstance(expected, (int, Mapping)):
        return given(type="members", channel=channel, count=expected)
    if isinstance(expected, str):
        raise TypeError(f'expected a count or a list of user ids, got "{expected}"')
    return given(type="members", channel=channel, user_ids=list(expected))


def signed_in(user_id: str, connections: Count = _AT_LEAST_ONE) -> Condition:
    """So many connections are signed in as the user; without a count, at least one."""
    return given(type="signed_in", user_id=user_id, connections=connections)


def connections(count: Count) -> Condition:
    """The app has so many connections."""
    return given(type="connections", count=count)


def event(**filter: Unpack[EntryFilter]) -> Condition:
    """So many such events were accepted; without a `count`, at least one. So it is with the next five."""
    return {"type": "event", **written(**filter)}


def delivered(**filter: Unpack[EntryFilter]) -> Condition:
    """So many such deliveries were made, each to one connection; or to `sockets` distinct ones."""
    return {"type": "delivered", **written(**filter)}


def resumed(**filter: Unpack[EntryFilter]) -> Condition:
    """So many subscribers were told whether they were sent all that they missed or asked for: `data={"complete": True}`."""
    return {"type": "resumed", **written(**filter)}


def webhook(**filter: Unpack[EntryFilter]) -> Condition:
    """So many such events were delivered in webhooks: `name` is `member_added` …, `path` part of the URL."""
    return {"type": "webhook", **written(**filter)}


def refused(**filter: Unpack[EntryFilter]) -> Condition:
    """So many such refusals: of a connection (`code`), of what a client asked for, of a request (`status`)."""
    return {"type": "refused", **written(**filter)}


def logged(
    *, count: Count = _AT_LEAST_ONE, sockets: Count | None = None, after: int | None = None, **filter: Unpack[Filter]
) -> Condition:
    """So many entries of the log fit the filter."""
    rest = named(sockets=sockets, after=after)
    return {**given(type="logged", count=count), "filter": written(**filter), **rest}


def nothing(seconds: float, *, after: int | None = None, **filter: Unpack[Filter]) -> Condition:
    """For so many seconds nothing fits the filter: from now on, or after the entry with this number."""
    return {"type": "nothing", "for_ms": milliseconds(seconds), "filter": written(**filter), **named(after=after)}


def written(**filter: Any) -> dict[str, Any]:
    """The filter as the control API has it: `data` is a list of expectations."""
    if "data" not in filter:
        return given(**filter)
    data = filter.pop("data")
    return {**given(**filter), "data": _expectations(data)}


def _expectations(data: Any) -> list[Any]:
    if isinstance(data, (list, tuple)):
        return list(data)
    if isinstance(data, Mapping):
        return [{"path": path, "equals": value} for path, value in data.items()]
    return [{"equals": data}]


def given(**members: Any) -> dict[str, Any]:
    """The members. One that is None would be taken for "any", and ask for more than was meant."""
    for name, value in members.items():
        if value is None:
            raise TypeError(f'"{name}" is None in {members}: leave it out, or give it a value')
    return members


def named(**members: Any) -> dict[str, Any]:
    """The members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
