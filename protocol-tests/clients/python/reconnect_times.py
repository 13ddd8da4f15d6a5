"""Says whenever pysher is greeted, for ../node/reconnect-times.mjs: reconnect_times.py HOST PORT KEY."""

import sys
import threading

import pysher

host, port, key = sys.argv[1:]
pusher = pysher.Pusher(key, secure=False, custom_host=host, port=int(port))
pusher.connection.bind("pusher:connection_established", lambda _: print("greeted", flush=True))
pusher.connect()
threading.Event().wait()
