"""What every test is given: the broker, the server library, and pysher clients that end with the test."""

import uuid

import pusher
import pytest

from broker import running_broker
from listener import Listener


@pytest.fixture(scope="session")
def broker():
    with running_broker() as running:
        yield running


@pytest.fixture(scope="session")
def library(broker):
    """The `pusher` server library, with the app's own credentials."""
    return library_with(broker)


@pytest.fixture
def stranger(broker):
    """The same library with some of its credentials replaced."""
    return lambda **credentials: library_with(broker, **credentials)


@pytest.fixture
def listen(broker):
    """Opens pysher clients: `listen()` or `listen(user_id="ann", name="Ann")`."""
    opened = []

    def open_one(**member):
        opened.append(Listener(broker, member))
        return opened[-1].connect()

    yield open_one
    for listener in opened:
        listener.close()


@pytest.fixture
def fresh():
    """A channel name no other test uses, so that tests may share one server."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:10]}"


def library_with(broker, **credentials):
    settings = {"app_id": broker.app_id, "key": broker.key, "secret": broker.secret, **credentials}
    return pusher.Pusher(host=broker.host, port=broker.port, ssl=False, **settings)
