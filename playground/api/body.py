"""Reading a request's body: JSON whatever the content type says, and nothing that could hurt later.

curl without a header sends `application/x-www-form-urlencoded`, and its JSON is meant all the same.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from playground.errors import BadBody, BodyTooLarge

# Deeper than any message, tool or schema needs, and far from Python's recursion limit, so that
# nothing behind this point has to fear a RecursionError.
MAX_DEPTH = 100
UNPARSED = "We could not parse the JSON body of your request."


def read_body(request: HttpRequest) -> dict[str, Any]:
    """The body's JSON object, or a typed refusal."""
    try:
        raw = request.body
    except RequestDataTooBig as exc:
        raise BodyTooLarge(_too_large()) from exc
    if len(raw) > settings.MAX_BODY_BYTES:
        raise BodyTooLarge(_too_large())
    return decode(raw)


def decode(raw: bytes) -> dict[str, Any]:
    """Parse strictly: no NaN, no infinity, no lone surrogate, no NUL, no endless nesting."""
    try:
        found = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as exc:
        raise BadBody(f"{UNPARSED} {_reason(exc)}") from exc
    if not isinstance(found, dict):
        raise BadBody(f"{UNPARSED} The top level must be an object.")
    if b"\\u" in raw or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _inspect(found)
    return found


def _inspect(found: Any) -> None:
    """Walk the whole body. Only bodies with escapes or many brackets pay for it."""
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadBody(f"{UNPARSED} It is nested more than {MAX_DEPTH} levels deep.")
        below: list[Any] = []
        for node in level:
            if isinstance(node, str):
                _check_text(node)
            elif isinstance(node, list):
                below.extend(node)
            elif isinstance(node, dict):
                below.extend(node)
                below.extend(node.values())
        level = below


def _check_text(text: str) -> None:
    if "\0" in text:
        raise BadBody(f"{UNPARSED} It contains a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadBody(f"{UNPARSED} It contains half of a surrogate pair.") from exc


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("A number is out of range.")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON.")


def _reason(exc: Exception) -> str:
    """What is wrong, without quoting the body: an error text ends up in logs."""
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at line {exc.lineno}, column {exc.colno}."
    if isinstance(exc, UnicodeDecodeError):
        return "It is not valid UTF-8."
    if isinstance(exc, RecursionError):
        return f"It is nested more than {MAX_DEPTH} levels deep."
    message = str(exc)
    return message if len(message) < 40 else "A number is too long."


def _too_large() -> str:
    return f"The request body is larger than {settings.MAX_BODY_BYTES} bytes."


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)
