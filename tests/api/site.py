"""Web servers on this machine, for a server that fetches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site(ThreadingHTTPServer):
    """A web server on this machine; what it was asked for, with which Host."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, Callable[[Any], None]] = {}
        self.connections = 0

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def holds(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Answer so at this path; its address."""

        def answer(handler: Handler) -> None:
            handler.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.answers[path] = answer
        return f"http://{self.name}{path}"

    def leads(self, path: str, location: str) -> str:
        """Redirect from here to there."""
        return self.holds(path, b"", 302, Location=location)


class Handler(BaseHTTPRequestHandler):
    """Answers what its site was told."""

    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        self.server.answers[self.path](self)

    def log_message(self, *args: object) -> None:
        """In silence."""


@contextmanager
def running() -> Iterator[Site]:
    """A site, until the end of the block."""
    site = Site()
    thread = threading.Thread(target=site.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()
