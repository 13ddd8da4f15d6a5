"""A line between a client and a broker, which can be cut."""

import socket
import threading


class Line:
    """A port that hands every connection on. When it has been cut, those that come wait until it is restored."""

    def __init__(self, broker):
        self._target = (broker.host, broker.port)
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._sockets = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Ends all connections without a word of the protocol."""
        self._open.clear()
        self._end()

    def restore(self):
        self._open.set()

    def close(self):
        self._listener.close()
        self._open.set()
        self._end()

    def _end(self):
        with self._lock:
            for each in self._sockets:
                _shut(each)
            self._sockets.clear()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client):
        self._open.wait()
        try:
            onward = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        with self._lock:
            self._sockets |= {client, onward}
        threading.Thread(target=_copy, args=(onward, client), daemon=True).start()
        _copy(client, onward)


def _copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(target)


def _shut(each):
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
