"""The ASGI application: which path goes to which chain.

Pages run through Django's middleware list. API requests run through a second handler with a
short list of async middleware, because a thread and a thread hop per middleware hook would cost
more than the rest of a request (docs/decisions.md has the figures).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.urls import ResolverMatch, get_resolver

pages = get_asgi_application()

from playground.consumers import websocket_urlpatterns  # noqa: E402  (needs the app registry)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

API_PREFIXES = ("/v1/", "/hf/", "/ask/", "/staff/")
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
    """Django's handler without middleware, signals, tasks or threads: an API request is one task.

    The signals' receivers look after database connections of the thread that serves a request;
    here no request has one (whoever reads the database does so in a thread, and closes up there).
    The server cancels that task when the client leaves (`Server.client_left`).
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Views only: sessions, cookies, CSRF and pages' headers mean nothing to an API client."""
        self._middleware_chain: Any = convert_exception_to_response(self._answer)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        body = await whole_body(receive)
        if body is None:
            return
        request, refusal = self.create_request(scope, body)
        response = refusal or await self._middleware_chain(request)
        if response.cookies or (response.streaming and not hasattr(response, "send_to")):
            await super().send_response(response, send)
        else:
            await self._send(response, send, scope["line"])

    async def _send(self, response: Any, send: Send, line: Any) -> None:
        """A body in one piece, or a stream that sends itself. What is neither is Django's work.

        Django would pass each event of a stream through two more generators.
        """
        headers = [
            (name.encode("ascii"), value.encode("latin1")) for name, value in response.items()
        ]
        status = response.status_code
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if response.streaming:
            await response.send_to(send, line)
        else:
            await send({"type": "http.response.body", "body": response.content})

    async def _answer(self, request: Any) -> Any:
        """The view's response. All views of the API are coroutines."""
        view, args, kwargs = request.resolver_match = resolve_path(request.path_info)
        return await view(request, *args, **kwargs)


@lru_cache(maxsize=256)
def resolve_path(path: str) -> ResolverMatch:
    """The view of a path. Clients ask for the same few."""
    return get_resolver(settings.ROOT_URLCONF).resolve(path)


async def whole_body(receive: Receive) -> BytesIO | None:
    """The body, of which the server has let no more through than MAX_BODY_BYTES. None: gone."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message["body"])
        if not message["more_body"]:
            return BytesIO(pieces[0] if len(pieces) == 1 else b"".join(pieces))


def is_api(path: str) -> bool:
    """Whether the path is the API's."""
    return path.startswith(API_PREFIXES) or path.removesuffix("/") in API_PATHS


api = ApiHandler()


async def http(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send API paths down the short chain and everything else down Django's."""
    handler: Any = api if is_api(scope["path"]) else pages
    await handler(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
