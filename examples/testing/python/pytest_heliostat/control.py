"""A heliostat broker in test mode and its apps, over the control API. All times are seconds, unless a name ends in `_ms`."""

from __future__ import annotations

import json
import os
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Callable, Literal, Mapping, Sequence, TypedDict, Union
from urllib.parse import quote, urlencode, urlsplit

from .conditions import Condition, Kind, LogFilter, given, milliseconds, named, written
from .errors import ControlError, HeliostatError, NotMet
from .process import start_broker

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: The longest that an answer may take, beyond the time that a request itself asks for.
ANSWER_DEADLINE_SECONDS = 30.0

#: The longest that the broker gives what is due to happen.
NEXT_DUE_SECONDS = 10.0

#: What goes by the clock of an app.
Timed = Literal[
    "ping",
    "pong_timeout",
    "inactivity",
    "authorization",
    "subscription_count",
    "cache_expiry",
    "session_heartbeat",
    "poll_hold",
    "session_end",
    "stream_heartbeat",
    "pipe_ping",
    "pipe_pong_timeout",
    "pipe_pace",
    "webhook_removal",
    "webhook_batch",
    "webhook_retry",
    "held_frame",
    "fault_end",
]


class Endpoint(TypedDict, total=False):
    """Whom webhooks are sent to; `url` must be there."""

    url: str
    #: Names of events, `channel_existence` or `presence`; without it, all.
    events: Sequence[str]
    #: A pattern with `*`; without it, all.
    channels: str


class Entry(TypedDict, total=False):
    """Something that has happened. `seq`, `at_ms` and `type` are always there."""

    #: Counted from 1 within the app.
    seq: int
    #: Since the app came under test.
    at_ms: float
    type: Kind
    socket_id: str
    user_id: str
    channel: str
    name: str
    #: The payload as subscribers are sent it: text, which often is JSON.
    data: str
    source: Literal["client", "http"]
    code: int
    status: int
    reason: str
    path: str
    fault: int
    attempt: int
    advanced_ms: int


class Outcome(TypedDict):
    """What came of waiting."""

    met: bool
    waited_ms: int
    expected: str
    #: A number, or the ids of members.
    found: Union[int, list[str]]
    #: Those that the condition is about, the latest twenty.
    entries: list[Entry]
    #: What came closest to meeting a condition that was not met, with what is different about it.
    near: list[str]
    #: The number of the log's last entry.
    last: int
    #: A sentence for a test that fails.
    message: str


class Log(TypedDict):
    entries: list[Entry]
    #: Read on from here.
    last: int
    #: Entries that had been forgotten because the log was full.
    forgotten: int


class ChannelCounts(TypedDict):
    subscribers: int
    members: int


class Counts(TypedDict):
    connections: int
    users: dict[str, int]
    channels: dict[str, ChannelCounts]
    #: Entries in the log, by kind.
    logged: dict[Kind, int]
    last: int
    faults: int
    advanced_ms: int


class NextDue(TypedDict):
    """How far the clock was advanced, and what for."""

    #: By how much it has been advanced in all.
    advanced_ms: int
    #: By how much it was advanced now.
    by_ms: int
    #: What was due then and has happened, each kind once.
    due: list[Timed]


class Connection(TypedDict):
    socket_id: str
    user_id: Union[str, None]
    channels: list[str]


class FaultDetails(TypedDict, total=False):
    """What a fault is besides its type; which of them belong to which, the README says."""

    code: int
    reason: str
    action: Literal["drop", "delay", "duplicate", "reorder"]
    delay_ms: int
    event: str
    channel: str
    socket_id: str
    user_id: str
    status: int
    body: str
    hang: bool
    path: str
    #: So often; without it, until it is cleared.
    times: int
    #: So long, by the app's clock.
    for_ms: int
    #: By chance, above 0 and up to 1; the same `seed` repeats itself.
    share: float
    seed: int


class CloseOptions(TypedDict, total=False):
    socket_id: str
    user_id: str
    channel: str
    share: float
    seed: int
    #: The close code: 4200.
    code: int
    reason: str
    #: Without a close frame, as a line that breaks.
    abrupt: bool


class Broker:
    """A broker in test mode, over its control API. As a context manager it is stopped at the end."""

    def __init__(self, url: str, token: str, stop: Callable[[], None] | None = None) -> None:
        self._control = _Control(url, token)
        self._stop = stop
        #: Where the control API is: `http://127.0.0.1:6001/test`.
        self.url = self._control.url
        self.token = token

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Broker:
        """The broker of `PUSHER_TEST_URL` and `PUSHER_TEST_TOKEN`, as `heliostat exec` sets them."""
        env = os.environ if env is None else env
        url, token = env.get("PUSHER_TEST_URL"), env.get("PUSHER_TEST_TOKEN")
        if url and token:
            return cls(url, token)
        raise HeliostatError(
            "expected the variables PUSHER_TEST_URL and PUSHER_TEST_TOKEN: run the tests with `heliostat exec -- COMMAND`, "
            "or set them to the control_url and token that `heliostat serve --test` prints"
        )

    @classmethod
    def start(
        cls,
        program: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        start_timeout: float = 20.0,
    ) -> Broker:
        """
        Starts `heliostat serve --test`, with more `args` and `env`. The program is that of `HELIOSTAT_BIN` unless it is
        named, else `heliostat` on the `PATH`. The broker ends with `stop`, and with this process at the latest.
        """
        return cls(*start_broker(program, args, env, start_timeout))

    @classmethod
    def open(
        cls,
        program: str | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        start_timeout: float = 20.0,
    ) -> Broker:
        """The broker of the environment if it names one, else one that is started."""
        if os.environ.get("PUSHER_TEST_URL") or os.environ.get("PUSHER_TEST_TOKEN"):
            return cls.from_environment()
        return cls.start(program, args, env, start_timeout)

    def create_app(
        self,
        *,
        like: str | None = None,
        id: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        settings: Mapping[str, Any] | None = None,
        webhooks: Sequence[Endpoint] | None = None,
        channels: Sequence[Mapping[str, Any]] | None = None,
    ) -> App:
        """Makes an app that nobody else hears of; takes about a millisecond."""
        body = named(
            like=like, id=id, key=key, secret=secret, settings=settings, webhooks=webhooks, channels=channels
        )
        return App(self._control, self._control.request("POST", "/apps", body))

    def app(self, id: str) -> App:
        """An app that is there already, such as that of `PUSHER_APP_ID`."""
        return App(self._control, self._control.request("GET", f"/apps/{quote(id, safe='')}"))

    def reset(self, *, connections: bool = False) -> None:
        """Of all apps: forgets what has happened and ends all faults; with `connections`, closes those, too, with 4200."""
        self._control.request("POST", "/reset", {"connections": connections})

    def strangers(self, **filter: Unpack[LogFilter]) -> Log:
        """What concerned no known app, such as connections with a mistyped key."""
        log: Log = self._control.request("GET", f"/log{_query(**filter)}")
        return log

    def stop(self) -> None:
        """Stops a broker that this object has started, and waits until it has ended. Any other goes on."""
        if self._stop:
            self._stop()

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class App:
    """One app of a broker. As a context manager it is deleted at the end."""

    def __init__(self, control: _Control, credentials: Mapping[str, Any]) -> None:
        self._control = control
        self.id: str = credentials["app_id"]
        self.key: str = credentials["key"]
        self.secret: str = credentials["secret"]
        self.host: str = credentials["host"]
        self.port: int = credentials["port"]
        self.scheme: str = credentials["scheme"]
        self.cluster: str = credentials["cluster"]
        #: As `PUSHER_URL` has it: with key and secret.
        self.url: str = credentials["url"]
        #: Empty, or such as `/realtime`.
        self.path_prefix: str = credentials["path_prefix"]
        #: The variables that libraries and frameworks read: `PUSHER_APP_KEY`, `PUSHER_HOST` …
        self.environment: dict[str, str] = credentials["environment"]
        #: How long `until` waits where nothing is said.
        self.timeout = 5.0

    def __repr__(self) -> str:
        return f"<App {self.id} of {self._control.url}>"

    @property
    def server_options(self) -> dict[str, Any]:
        """For the package `pusher`: `pusher.Pusher(**app.server_options)`. It knows no `path_prefix`."""
        return {
            "app_id": self.id,
            "key": self.key,
            "secret": self.secret,
            "host": self.host,
            "port": self.port,
            "ssl": self.scheme == "https",
        }

    @property
    def client_options(self) -> dict[str, Any]:
        """For `pysher`: `pysher.Pusher(**app.client_options)`. It knows no `path_prefix`."""
        return {"key": self.key, "custom_host": self.host, "port": self.port, "secure": self.scheme == "https"}

    def until(self, condition: Condition, *, timeout: float | None = None, holds: float = 0.0) -> Outcome:
        """Waits until the condition holds, and then has held for `holds` without interruption; else raises `NotMet`."""
        __tracebackhide__ = True
        given(**condition)
        if isinstance(condition.get("filter"), Mapping):
            given(**condition["filter"])
        timeout_ms = milliseconds(self.timeout if timeout is None else timeout)
        holds_ms = milliseconds(holds)
        body = {"until": condition, "timeout_ms": timeout_ms, "holds_ms": holds_ms}
        # What is mistaken is for the broker to say.
        for_ms = condition.get("for_ms")
        longest_ms = timeout_ms + max(holds_ms, for_ms if isinstance(for_ms, (int, float)) else 0)
        outcome: Outcome = self._ask("POST", "/wait", body, waits=longest_ms / 1000, accept=409)
        if not outcome["met"]:
            raise NotMet(outcome)
        return outcome

    def log(self, **filter: Unpack[LogFilter]) -> Log:
        """What has happened, the earliest first; 1000 entries at once unless `limit` says otherwise."""
        log: Log = self._ask("GET", f"/log{_query(**filter)}")
        return log

    def timeline(self) -> str:
        """What has happened, for people: the last 200 lines."""
        text: str = self._ask("GET", "/timeline")
        return text

    def counts(self) -> Counts:
        counts: Counts = self._ask("GET", "/counts")
        return counts

    def connections(self) -> list[Connection]:
        """Who is connected, in the order in which they came."""
        connections: list[Connection] = self._ask("GET", "/connections")["connections"]
        return connections

    def last(self) -> int:
        """The number of the log's last entry, for `after`."""
        return self.counts()["last"]

    def fault(
        self,
        type: Literal["refuse_connections", "frames", "ignore_pings", "http", "webhooks"],
        **details: Unpack[FaultDetails],
    ) -> Fault:
        """From now on, this goes wrong. As a context manager, until its end."""
        made = self._ask("POST", "/faults", given(type=type, **details))
        return Fault(made["id"], lambda id: self._ask("DELETE", f"/faults/{id}", accept=404))

    def faults(self) -> list[dict[str, Any]]:
        """The faults at work: as they were given, with their `id` and how often they were `used`."""
        faults: list[dict[str, Any]] = self._ask("GET", "/faults")["faults"]
        return faults

    def clear_faults(self) -> int:
        """Ends all faults; answers how many there were."""
        cleared: int = self._ask("DELETE", "/faults")["cleared"]
        return cleared

    def close(self, **options: Unpack[CloseOptions]) -> list[str]:
        """Ends the connections that are everything that is named, all if nothing is; answers their socket ids."""
        closed: list[str] = self._ask("POST", "/close", given(**options))["closed"]
        return closed

    def advance(self, seconds: float) -> float:
        """Advances the app's clock; answers by how much it has been advanced in all. At most 366 days at once."""
        advanced_ms: int = self._ask("POST", "/clock", {"advance_ms": milliseconds(seconds)})["advanced_ms"]
        return advanced_ms / 1000

    def advance_to_next(self) -> NextDue:
        """
        Advances the app's clock to whatever is due next, and waits until that has happened. Raises a `ControlError` with
        the status 404 where nothing is due.
        """
        reached: NextDue = self._ask("POST", "/clock", {"to": "next"}, waits=NEXT_DUE_SECONDS)
        return reached

    def reset(self, *, connections: bool = False) -> None:
        """Forgets what has happened and ends all faults; with `connections`, closes those, too, with 4200."""
        self._control.request("POST", "/reset", {"app_id": self.id, "connections": connections})

    def delete(self) -> None:
        """The app's end: its connections are closed with 4001."""
        self._ask("DELETE", "")

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def _ask(self, method: str, path: str, body: object = None, *, waits: float = 0.0, accept: int = 0) -> Any:
        __tracebackhide__ = True
        return self._control.request(method, f"/apps/{quote(self.id, safe='')}{path}", body, waits=waits, accept=accept)


class Fault:
    """A fault at work."""

    def __init__(self, id: int, clear: Callable[[int], Any]) -> None:
        self.id = id
        self._clear = clear

    def clear(self) -> bool:
        """Ends it; answers whether it was still there."""
        return bool(self._clear(self.id).get("cleared") == 1)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


class _Control:
    """Requests to the control API. Each has a connection of its own, so that threads do not disturb each other."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        try:
            parts = urlsplit(self.url)
            self._scheme, self._host, self._port, self._path = parts.scheme, parts.hostname, parts.port, parts.path
        except ValueError:
            self._scheme, self._host = "", None
        if self._scheme not in ("http", "https") or not self._host:
            raise HeliostatError(f'expected the URL of a control API, such as http://127.0.0.1:6001/test, got "{url}"')

    def request(self, method: str, path: str, body: object = None, *, waits: float = 0.0, accept: int = 0) -> Any:
        """
        The answer's JSON, or its text if it is none. The broker has been asked to wait for so many seconds; the status
        `accept` is no refusal.
        """
        __tracebackhide__ = True
        text = None if body is None else json.dumps(body)
        deadline = waits + ANSWER_DEADLINE_SECONDS
        try:
            status, is_json, answer = self._send(method, self._path + path, text, deadline)
        except (TimeoutError, socket.timeout):  # one and the same since Python 3.10
            raise self._unreachable(f"no answer within {deadline:g} s") from None
        except (OSError, HTTPException) as error:
            raise self._unreachable(str(error) or type(error).__name__) from None
        content: Any = json.loads(answer) if is_json else answer
        if status < 300 or status == accept:
            return content
        raise ControlError(method, urlsplit(self._path + path).path, status, content["error"] if is_json else answer)

    def _send(self, method: str, path: str, body: str | None, deadline: float) -> tuple[int, bool, str]:
        assert self._host
        kind = HTTPSConnection if self._scheme == "https" else HTTPConnection
        connection = kind(self._host, self._port, timeout=deadline)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, is_json, answer.read().decode()
        finally:
            connection.close()

    def _unreachable(self, why: str) -> HeliostatError:
        return HeliostatError(f"the broker's control API at {self.url} cannot be reached: {why}")


def _query(**filter: Any) -> str:
    """A filter as the query of a request; lists of types are separated by commas, `data` is JSON."""
    query = written(**filter)
    if "data" in query:
        query["data"] = json.dumps(query["data"])
    if isinstance(query.get("type"), (list, tuple)):
        query["type"] = ",".join(query["type"])
    return f"?{urlencode(query)}" if query else ""
