"""DRF's exceptions in the words of `playground.errors`, and every failure as a JSON response."""

from __future__ import annotations

import json
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions

from playground import errors


def json_response(body: Any, status: int = 200) -> HttpResponse:
    """Rendered at once: Django renders DRF's own `Response` in a thread, a hop at every request."""
    try:
        content = orjson.dumps(body)
    except TypeError:
        # Half of a surrogate pair, which a model may say, or an integer beyond 64 bits.
        content = _ENCODER.encode(body).encode(errors="replace")
    return json_bytes(content, status)


def json_bytes(content: bytes, status: int = 200) -> HttpResponse:
    """A response of JSON that is written already."""
    # The length is said here because the middleware that would say it is not on the API's way.
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return HttpResponse(content, status=status, headers=headers)


def error_response(exc: Exception, request: HttpRequest, request_id: str) -> HttpResponse:
    """OpenAI's error JSON for any exception."""
    exc = translated(exc, request)
    response = json_response(errors.error_body(exc, request_id), errors.row_of(exc).status)
    for name, value in errors.error_headers(exc).items():
        response[name] = value
    return response


def translated(exc: Exception, request: HttpRequest) -> Exception:
    """DRF's exceptions in our words."""
    if isinstance(exc, exceptions.MethodNotAllowed):
        return errors.WrongMethod(
            f"Not allowed to {request.method} on {request.path[:200]}. "
            "(HINT: Perhaps you meant to use a different HTTP method?)"
        )
    return exc


# Made once: `json.dumps` makes one at each call that asks for anything special.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
