"""The ASGI application: which path goes to which chain.

Pages run through Django's middleware list. API requests run through a second handler with a
short list of async middleware, because a thread and a thread hop per middleware hook would cost
more than the rest of a request (docs/decisions.md has the figures).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "playground.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response

pages = get_asgi_application()

from playground.consumers import websocket_urlpatterns  # noqa: E402  (needs the app registry)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

API_PREFIXES = ("/v1/", "/hf/")
API_PATHS = frozenset({"/v1", "/healthz", "/readyz", "/metrics"})


class ApiHandler(ASGIHandler):
    """Django's handler with no middleware that would cost a thread hop."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Views only: sessions, cookies, CSRF and pages' headers mean nothing to an API client."""
        self._view_middleware = []
        self._template_response_middleware = []
        self._exception_middleware = []
        self._middleware_chain = convert_exception_to_response(self._get_response_async)


api = ApiHandler()


async def http(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send API paths down the short chain and everything else down Django's."""
    path = scope["path"]
    is_api = path in API_PATHS or path.startswith(API_PREFIXES)
    await (api if is_api else pages)(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
        ),
    }
)
