"""Says whenever pysher is greeted and sent away: reconnect_times.py HOST PORT KEY [SECONDS between two attempts].

For ../node/reconnect-times.mjs, which hears of the greetings alone, and ../node/activation.test.mjs.
"""

import sys
import threading

import pysher

host, port, key, *interval = sys.argv[1:]
options = {"reconnect_interval": float(interval[0])} if interval else {}
pusher = pysher.Pusher(key, secure=False, custom_host=host, port=int(port), **options)
pusher.connection.bind("pusher:connection_established", lambda _: print("greeted", flush=True))
if interval:
    closed = pusher.connection._on_close

    def tell(*arguments):
        print("lost", flush=True)
        closed(*arguments)

    pusher.connection._on_close = tell
pusher.connect()
threading.Event().wait()
