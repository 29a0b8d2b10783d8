"""Results as responses: JSON, or the bytes of what a model made. Refusals as the Hub's client reads
them."""

from __future__ import annotations

import base64
from typing import Any

from django.http import HttpRequest, HttpResponse

from inference.requests import Media
from playground import errors

from ..errors import json_response, translated

# Speech of the Hub's API is JSON where the caller asks for that.
RATE = "sampling_rate"


def response(result: Any, accept: str) -> HttpResponse:
    """A medium by itself is its bytes, unless the caller accepts only JSON."""
    if not isinstance(result, Media) or accept.strip().lower() == "application/json":
        return json_response(whole(result))
    return HttpResponse(
        result.data,
        content_type=result.content_type,
        headers={"Content-Length": str(len(result.data)), "X-Content-Type-Options": "nosniff"},
    )


def whole(result: Any) -> Any:
    """A result as JSON has it, also where it is a medium by itself."""
    if not isinstance(result, Media):
        return plain(result)
    name = result.content_type.partition("/")[0]
    return {name: plain(result), "content_type": result.content_type}


def plain(value: Any) -> Any:
    """Media inside JSON are base64."""
    if isinstance(value, Media):
        return base64.b64encode(value.data).decode()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def refusal(exc: Exception, request: HttpRequest, request_id: str) -> HttpResponse:
    """`error` is a text, as the Hub's client shows it; beside it OpenAI's words for it."""
    exc = translated(exc, request)
    row = errors.row_of(exc)
    told = errors.error_body(exc, request_id)["error"]
    body = {"error": told["message"], "error_type": _error_type(row.status)}
    body |= {name: told[name] for name in ("type", "param", "code")}
    answer = json_response(body, row.status)
    for name, value in errors.error_headers(exc).items():
        answer[name] = value
    return answer


def _error_type(status: int) -> str:
    """In the words of text-generation-inference, which the Hub's client knows."""
    if status in (429, 503):
        return "overloaded"
    return "validation" if status < 500 else "generation"
