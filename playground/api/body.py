"""Reading a request's body: JSON whatever the content type says, and nothing that could hurt later.

curl without a header sends `application/x-www-form-urlencoded`, and its JSON is meant all the same.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from playground.errors import BadBody, BodyTooLarge

T = TypeVar("T")

# Deeper than any message, tool or schema needs, and far from Python's recursion limit, so that
# nothing behind this point has to fear a RecursionError.
MAX_DEPTH = 100
# So much is read and checked in well under a millisecond.
SMALL_BODY_BYTES = 64 * 1024
# Decoding holds the interpreter until it is done: a million numbers, as much as a prompt may have
# twice over, take about 50 ms of CPU, the thirteen million that fit in the largest body a second.
MAX_VALUES = 1_100_000
MAX_BRACKETS = 50_000
# A NUL, or half of a surrogate pair, as an escape (a NUL as it is does not pass the decoder).
SUSPECT = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
STRING = re.compile(rb'"[^"]*"')
ONE_KIND = bytes.maketrans(b"{}", b"[]")
NO_MARK = bytes(set(range(256)) - set(b'"[]{}'))
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


async def unhurried(request: HttpRequest, work: Callable[[], T]) -> T:
    """The result of `work` on this request's body; a large one is worked on beside the loop."""
    announced = request.META.get("CONTENT_LENGTH", "")
    if announced.isdigit() and int(announced) <= SMALL_BODY_BYTES:
        return work()
    return await asyncio.to_thread(work)


def decode(raw: bytes) -> dict[str, Any]:
    """Parse strictly: no NaN, no infinity, no lone surrogate, no NUL, no endless nesting."""
    if len(raw) > MAX_VALUES and raw.count(b",") > MAX_VALUES:
        raise BadBody(f"{UNPARSED} It holds more than {MAX_VALUES} values.")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_brackets(raw)
    try:
        found = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as exc:
        raise BadBody(f"{UNPARSED} {_reason(exc)}") from exc
    if not isinstance(found, dict):
        raise BadBody(f"{UNPARSED} The top level must be an object.")
    if SUSPECT.search(raw):
        _check_texts(found)
    return found


def _check_brackets(raw: bytes) -> None:
    """Count them, then take empty pairs away until none is left. No step here is per bracket."""
    left = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, NO_MARK)
    left = STRING.sub(b"", left.replace(b'""', b"")).translate(ONE_KIND)
    if len(left) > 2 * MAX_BRACKETS:
        raise BadBody(f"{UNPARSED} It holds more than {MAX_BRACKETS} objects and arrays.")
    for _ in range(MAX_DEPTH):
        left = left.replace(b"[]", b"")
    if b"[]" in left:
        raise BadBody(f"{UNPARSED} It is nested more than {MAX_DEPTH} levels deep.")


def _check_texts(found: Any) -> None:
    """Walk the whole body. Only bodies that may hide something pay for it."""
    left = [found]
    while left:
        node = left.pop()
        if isinstance(node, str):
            _check_text(node)
        elif isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            left.extend(node)
            left.extend(node.values())


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
