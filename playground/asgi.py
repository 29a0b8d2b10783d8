"""The ASGI application: which path goes to which chain.

Pages run through Django's middleware list. API requests run through a second handler with a
short list of async middleware, because a thread and a thread hop per middleware hook would cost
more than the rest of a request (docs/decisions.md has the figures).
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response

pages = get_asgi_application()

from playground.consumers import websocket_urlpatterns  # noqa: E402  (needs the app registry)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

API_PREFIXES = ("/v1/", "/hf/")
API_PATHS = frozenset(
    {
        "/v1",
        "/healthz",
        "/readyz",
        "/metrics",
        # At vLLM's own server these stand beside /v1.
        "/tokenize",
        "/detokenize",
        "/rerank",
        "/score",
    }
)


class ApiHandler(ASGIHandler):
    """Django's handler without middleware, signals or threads: an API request stays on the loop.

    The signals' receivers look after database connections of the thread that serves a request;
    here no request has one (whoever reads the database does so in a thread, and closes up there).
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Views only: sessions, cookies, CSRF and pages' headers mean nothing to an API client."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        answer: Any = self._get_response_async  # type: ignore[attr-defined]
        self._middleware_chain = convert_exception_to_response(answer)

    async def read_body(self, receive: Any) -> io.BytesIO:
        """The body in memory, where a view wants it anyway; Django's own would write a file."""
        pieces = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestAborted
            pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                return io.BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request; when its client leaves, the view is cancelled."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        request, refusal = self.create_request(scope, body)
        if refusal is not None:
            await self.send_response(refusal, send)
            return
        answering = asyncio.create_task(self._answer(request, send))
        leaving = asyncio.create_task(receive())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            body.close()
        if not answering.cancelled() and (error := answering.exception()) is not None:
            raise error

    async def _answer(self, request: Any, send: Any) -> None:
        response = await self.run_get_response(request)
        await self.send_response(response, send)


api = ApiHandler()


async def http(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send API paths down the short chain and everything else down Django's."""
    path = scope["path"]
    is_api = path.removesuffix("/") in API_PATHS or path.startswith(API_PREFIXES)
    handler: Any = api if is_api else pages
    await handler(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
