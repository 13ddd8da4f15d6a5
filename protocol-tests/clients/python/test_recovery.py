"""pysher with a name for its connections: what is published while its line is cut it is sent when it comes back."""

import uuid
from pathlib import Path

import pytest

from broker import EXTERNAL, running_broker
from conftest import library_with
from line import Line
from listener import Listener
from record import PYSHER, shown

CONFIG = Path(__file__).parents[1] / "node/recovery.toml"


# Proves: recovery.
@pytest.mark.skipif(EXTERNAL, reason="the server named by PUSHER_HOST may keep no history")
def test_what_is_published_while_it_is_away_comes_when_it_is_back(fresh):
    with running_broker(arguments=["--config", str(CONFIG)]) as broker:
        line, library, name = Line(broker), library_with(broker), fresh("news")
        # It puts whatever is the port before the path.
        options = {"port": f"{line.port}/r/{uuid.uuid4()}", "auto_sub": True, "reconnect_interval": 0}
        listener = Listener(broker, {}, **options).connect()
        try:
            listener.subscribe(name, "count", "pusher:resumed")
            assert listener.received(name, "pusher:resumed") == {"complete": False, "events": 0}
            # By the second one it has acknowledged that it knows of the gap before.
            for n in (0, 1):
                library.trigger(name, "count", {"n": n})
                listener.received(name, "count", count=n + 1)
            line.cut()
            for n in range(2, 12):
                library.trigger(name, "count", {"n": n})
            line.restore()
            resumed = listener.received(name, "pusher:resumed", count=2)
            library.trigger(name, "count", {"n": 12})
            counted = listener.received(name, "count", count=2 + resumed["events"] + 1) and listener.all(name, "count")
            # The first ones may come again, if they were not acknowledged when the line was cut.
            assert [data["n"] for data in counted[-11:]] == list(range(2, 13))
            assert [data["n"] for data in counted[:-11]] in ([0, 1], [0, 1, 1], [0, 1, 0, 1])
            assert resumed == {"complete": True, "events": len(counted) - 3}
            shown(PYSHER, "recovery")
        finally:
            listener.close()
            line.close()
