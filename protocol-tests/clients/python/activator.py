"""Holds a listening socket and runs one broker after the other on it, as systemd does: activator.py COMMAND...

Says the port, then `started` for each broker. For each line on standard input it ends the broker by SIGTERM and, once it has
gone, starts the next; at the end of the input it ends the last one. A broker that ends otherwise than with 0 ends it with 1.
"""

import os
import socket
import subprocess
import sys

held = socket.create_server(("127.0.0.1", 0), backlog=4096)
os.dup2(held.fileno(), 3)


def start():
    # The shell's process is the broker's.
    shell = ["sh", "-c", 'LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"', *sys.argv[1:]]
    environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "heliostat"}
    broker = subprocess.Popen(shell, env=environment, pass_fds=[3], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    for line in broker.stdout:
        if b"listening on" in line:
            print("started", flush=True)
            return broker
    sys.exit("a broker did not start")


def end(broker):
    broker.terminate()
    broker.stdout.read()
    if broker.wait() != 0:
        sys.exit(f"a broker ended with {broker.returncode}")


print(held.getsockname()[1], flush=True)
broker = start()
for _ in sys.stdin:
    end(broker)
    broker = start()
end(broker)
