"""Daphne with what a service needs around it: engines at start, an orderly end.

Start: listen → read the catalogue → load what is wished for → ready.
End (SIGTERM, Ctrl-C): refuse new work → running answers finish up to DRAIN_SECONDS → engines stop.
"""

# ruff: noqa: E402  (the reactor must be installed before what uses it is imported)
from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from typing import Any

import uvloop
from twisted.internet import asyncioreactor

# A reactor over uvloop must be there before Daphne is imported, which else makes one of its own.
_loop = uvloop.new_event_loop()
asyncio.set_event_loop(_loop)
asyncioreactor.install(_loop)

from daphne.server import Server as DaphneServer
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings
from twisted.internet import defer, reactor

from inference import errors, get_service
from playground.accounts.counting import settled_use
from playground.accounts.directory import directory
from playground.accounts.identity import is_among
from playground.accounts.quotas import ledger
from playground.accounts.usage import recorder
from playground.answers import replies
from playground.api.places import places
from playground.asgi import application, is_api
from playground.database import close_connections, share_connections
from playground.flow import Connection, limit_send_buffer
from playground.logs import log_request
from playground.metrics.counts import counts
from playground.reconcile import Reconciler
from playground.websocket import set_up
from playground.wire import Factory

logger = logging.getLogger(__name__)

# "Service restart": a browser tries again.
WS_RESTARTING = 1012
# Connections that wait to be accepted. Of more than that the system drops the greeting, and it is
# said again a second, three, seven later: with Twisted's 50, a crowd meets that.
BACKLOG = 4096
LAST_WORDS_SECONDS = 2.0
SENT_POLL_SECONDS = 0.05
# How long a thread that tokenises, or reads what the engine sent, waits for a busy loop to let
# it run. With Python's 5 ms, 32 streams that begin together waited four times as long for a token.
SWITCH_SECONDS = 0.0005
# New objects between two collections. With Python's 700 most of a request's are still in use when
# they are looked at, and looked at again; after ten requests or so they are gone by themselves.
COLLECT_AFTER = (10_000, 20, 20)


class Server(DaphneServer):
    """Daphne that starts the inference service and drains before it stops."""

    def __init__(self, host: str, port: int) -> None:
        shown = host.replace(":", r"\:")
        super().__init__(
            application,
            endpoints=[f"tcp:port={port}:interface={shown}:backlog={BACKLOG}"],
            ready_callable=self._begin,
            server_name="llms-for-all",
            # A body is handed on in one piece: in Daphne's 8 KiB, 20 MB take 30 ms.
            request_buffer_size=settings.MAX_BODY_BYTES + 1,
            verbosity=0,
        )
        self.failed = False
        self._address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._start_up: asyncio.Task[None] | None = None
        self._reconciler = Reconciler(get_service())

    def _begin(self) -> None:
        self._start_up = asyncio.get_event_loop().create_task(self._start())
        self._start_up.add_done_callback(self._started)

    async def _start(self) -> None:
        ledger.restore(await asyncio.to_thread(settled_use))
        recorder.listen(counts.add)
        if settings.LOG_REQUESTS:
            recorder.listen(log_request)
        recorder.start()
        directory.listen(lambda: recorder.call_off(lambda who: not directory.still_in(who)))
        directory.start()
        await self._reconciler.start()
        await self._reconciler.announce(self._address)

    def _started(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if isinstance(error, errors.InferenceError):
            logger.error("The service could not start: %s", error.message)
        else:
            logger.error("The service could not start", exc_info=error)
        self.failed = True
        self.stop()

    def listen_success(self, port: Any) -> None:
        """Before the first connection: our own requests and websockets."""
        limit_send_buffer(port.socket)
        port.transport = Connection
        self.http_factory = Factory(self)
        self.http_factory.doStart()
        set_up(self.ws_factory, self.http_factory.doors)
        port.factory = self.http_factory
        super().listen_success(port)

    def listen_error(self, failure: object) -> None:
        """The port is taken, or not ours to use: say so and end with exit code 1."""
        self.failed = True
        super().listen_error(failure)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Note whose requests end with their client; pages listen for that by themselves.

        The application gets the connection too, to write tokens on it directly.
        """
        self._believe_proxies_alone(scope)
        scope["line"] = protocol
        queue = super().create_application(protocol, scope)
        if queue is not None:
            self.connections[protocol]["is_api"] = is_api(scope["path"])
        return queue

    @staticmethod
    def _believe_proxies_alone(scope: dict[str, Any]) -> None:
        """Take out what only a proxy of ours may say. X-Forwarded-For is judged where it is read.

        Daphne lets every client say where the site is mounted: a path would then mean one thing to
        `asgi.is_api` and another one to Django. It is mounted nowhere but at the root.
        """
        scope["root_path"] = ""
        peer = scope["client"][0] if scope["client"] else ""
        if settings.HTTPS and not is_among(peer, settings.TRUSTED_PROXIES):
            heads = scope["headers"]
            scope["headers"] = [head for head in heads if head[0] != b"x-forwarded-proto"]

    def client_left(self, protocol: Any) -> None:
        """Nobody is left to answer: free what the request holds, in the queue and in the engine."""
        details = self.connections.get(protocol, {})
        if details.get("is_api") and _is_running(details):
            details["application_instance"].cancel()

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Daphne's, less its look at headers that are not in the message.

        Whoever sends more waits here while the client does not read.
        """
        details = self.connections.get(protocol)
        if details is None or details.get("disconnected"):
            return
        if message["type"] == "http.response.body":
            protocol.handle_reply(message)
            outlet = protocol.outlet if message.get("more_body") else None
            if outlet is not None and outlet.full:
                await outlet.room()
            return
        await super().handle_reply(protocol, message)

    def kill_all_applications(self) -> defer.Deferred[None]:
        """Daphne calls this before it stops. It would cut every answer; here they may finish."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        deadline = time.monotonic() + settings.DRAIN_SECONDS
        if self._start_up is not None:
            self._start_up.cancel()
        self._reconciler.stop()
        directory.stop()
        await places.close()
        await get_service().shutdown(settings.DRAIN_SECONDS)
        # Answers that were cut off still have their last event to send, to pages and to streams.
        await replies.ended(LAST_WORDS_SECONDS)
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol):
                protocol.serverClose(code=WS_RESTARTING)
        left = [d["application_instance"] for d in self.connections.values() if _is_running(d)]
        if left:
            await asyncio.wait(left, timeout=LAST_WORDS_SECONDS)
        for instance in left:
            instance.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._all_is_sent(max(deadline, time.monotonic() + LAST_WORDS_SECONDS))
        # Last: by now every request has ended and its record is in memory.
        await asyncio.to_thread(recorder.stop)
        await asyncio.to_thread(close_connections)

    @staticmethod
    async def _all_is_sent(deadline: float) -> None:
        """Whole answers are written in one go, and their clients take them as quickly as they can.

        Who takes nothing is cut off meanwhile, as ever (`flow.Outlet`).
        """
        while time.monotonic() < deadline:
            if not any(isinstance(each, Connection) for each in reactor.getWriters()):
                return
            await asyncio.sleep(SENT_POLL_SECONDS)
        logger.warning("Answers that were not taken in time are cut")


def _is_running(details: dict[str, Any]) -> bool:
    instance = details.get("application_instance")
    return isinstance(instance, asyncio.Future) and not instance.done()


def run(host: str, port: int) -> None:
    """Serve until a signal ends it. Exit code 1 when it could not listen or start."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
    share_connections()
    server = Server(host, port)
    server.run()
    if server.failed:
        sys.exit(1)
