"""GET /v1/openapi.json"""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse

from ..authentication import NoAuthentication
from ..base import ApiView


class DocumentView(ApiView):
    """The description of this API: no secret, and wanted before one has a key."""

    authentication = NoAuthentication()

    async def get(self, request: HttpRequest) -> HttpResponse:
        """From memory; the first call builds it beside the event loop."""
        return HttpResponse(await document_bytes(), content_type="application/json")


_built: list[bytes] = []


async def document_bytes() -> bytes:
    """The document as JSON. It cannot change while the process lives."""
    if not _built:
        # Imported in the thread too: half a second that no start of the server has to pay.
        _built.append(await asyncio.to_thread(_build))
    return _built[0]


def _build() -> bytes:
    from .document import document_json

    return document_json()
