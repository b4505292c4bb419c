"""A way to a store that can be cut: at once, before the store hears a request, or after it has done the work."""

import socket
import threading
from contextlib import suppress
from typing import Literal

Cut = Literal["before", "after"]


class Switch:
    """Forward connections to a port of this machine, until told otherwise."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._down = False
        self.refused = threading.Event()
        self._next: Cut | None = None
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def down(self) -> None:
        """Cut what there is, and every new connection."""
        with self._lock:
            self._down = True
            sockets = list(self._sockets)
        for each in sockets:
            _end(each)

    def cut_next(self, when: Cut) -> None:
        """Cut the connection that is used next: before the request gets through, or after, before its answer does."""
        with self._lock:
            self._next = when

    def heal(self) -> None:
        """Let everything through."""
        with self._lock:
            self._down = False
            self._next = None

    def close(self) -> None:
        """End everything."""
        self.down()
        # A thread that waits in accept notices the end by this alone.
        _end(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _address = self._listener.accept()
            except OSError:
                return
            if self._down:
                caller.close()
                self.refused.set()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                caller.close()
                continue
            server.settimeout(None)
            for each in (caller, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {caller, server}
            for source, sink, cut in ((caller, server, "before"), (server, caller, "after")):
                threading.Thread(target=self._pump, args=(source, sink, cut), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, cut: Cut) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    stop = self._down or self._next == cut
                    if self._next == cut:
                        self._next = None
                if stop:
                    break
                sink.sendall(data)
        for each in (source, sink):
            _end(each)
        with self._lock:
            # The other direction's thread ends by this, and closes nothing that is still in use.
            self._sockets -= {source}
        source.close()


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
