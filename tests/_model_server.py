"""An HTTP server on this machine that gives one file, and misbehaves when told to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ModelServer(ThreadingHTTPServer):
    """Gives `content` at any path below ``/``; what it does can be set at any time.

    Attributes
    ----------
    asked
        Range header of every request so far, ``""`` where there was none.
    statuses
        Status codes for the next requests, before it does what it should.
    cuts
        Positions at which the next connections break off.
    ranges
        Whether a part can be asked for.
    declared
        Whether answers say how long they are.
    gate
        No body is sent before it is set.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.ranges = True
        self.declared = True
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Address of the file."""
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pth"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""

    def wait_until_asked(self, seconds: float = 120) -> None:
        """Wait for the first request."""
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(0.01)
        assert self.asked


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, then closes the connection."""

    server: ModelServer

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        server.gate.wait(60)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        begin = int(asked[6:-1]) if asked and server.ranges else 0
        if begin >= len(server.content):
            self.send_error(416)
            return
        self._send_head(begin)
        end = server.cuts.pop(0) if server.cuts else len(server.content)
        self.wfile.write(server.content[begin:end])

    def _send_head(self, begin: int) -> None:
        size = len(self.server.content)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        if self.server.declared:
            self.send_header("Content-Length", str(size - begin))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(content: bytes) -> Iterator[ModelServer]:
    """Run a server in a thread."""
    server = ModelServer(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
