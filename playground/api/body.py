"""Reading a request's body: JSON whatever the content type says, and nothing that could hurt later.

curl without a header sends `application/x-www-form-urlencoded`, and its JSON is meant all the same.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, NoReturn, TypeVar

import msgspec
import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from inference.errors import ModelNotFound
from playground.errors import BadBody, BadValue, BodyTooLarge

T = TypeVar("T")

# Deeper than any message, tool or schema needs, and far from Python's recursion limit, so that
# nothing behind this point has to fear a RecursionError.
MAX_DEPTH = 100
# So much is read and checked in well under a millisecond.
SMALL_BODY_BYTES = 64 * 1024
# Reading holds the interpreter until it is done, so it is bounded before it begins: with these, a
# refusal costs less than 50 ms of CPU whatever the body (`python -m bench.refusals`), on a busy
# machine too.
MARKS = "quotation marks"
LIMITS = {
    # Of two texts, one at least follows a comma or a bracket: without many of those, no count.
    MARKS: [(b",", 60_000), (b'"', 260_000)],
    "objects and arrays": [(b"[{", 35_000)],
    "values": [(b",", 250_000)],
    "names": [(b":", 101_000)],
}
# A longer body holds pictures, or more text than any context. To tell signs in texts from others
# would take too long there, so they count wherever they stand.
LARGE_BODY_BYTES = 6 * 2**20
LARGE_LIMITS = {
    "escaped characters": [(b"\\", 160_000)],
    "objects and arrays": [(b"[{", 35_000)],
    "values": [(b",", 50_000)],
    "names": [(b":", 50_000)],
}
MAX_QUOTES = 400_000
# In a body of mostly one text this one takes a third of the other's time. It reads integers of any
# length, though, which the other reads as decimals.
LARGE = msgspec.json.Decoder()
INTEGERS = range(-(2**63), 2**64)
# A field of this API, and what follows its name where it holds an array of numbers.
NAME = re.compile(rb"\w{1,64}")
NUMBERS = re.compile(rb"\s?:\s?\[\s?\[?\s?-?\d")
UNPARSED = "We could not parse the JSON body of your request."
NO_UTF8 = "It is not valid UTF-8."
OUT_OF_RANGE = "A number is out of range."
NO_OBJECT = "The top level must be an object."
TOO_DEEP = f"It is nested more than {MAX_DEPTH} levels deep."


def read_body(request: HttpRequest) -> dict[str, Any]:
    """The body's JSON object, or a typed refusal."""
    return decode(raw_body(request))


def raw_body(request: HttpRequest) -> bytes:
    """The body's bytes. Raises BodyTooLarge."""
    try:
        raw = request.body
    except RequestDataTooBig as exc:
        raise BodyTooLarge(_too_large()) from exc
    if len(raw) > settings.MAX_BODY_BYTES:
        raise BodyTooLarge(_too_large())
    return raw


async def unhurried(request: HttpRequest, work: Callable[[], T]) -> T:
    """The result of `work` on this request's body; a large one is worked on beside the loop."""
    announced = request.META.get("CONTENT_LENGTH", "")
    if announced.isdigit() and int(announced) <= SMALL_BODY_BYTES:
        return work()
    return await asyncio.to_thread(work)


def decode(raw: bytes) -> dict[str, Any]:
    """Parse strictly: no NaN, no infinity, no lone surrogate, no NUL, no endless nesting."""
    if reason := _excess(raw):
        _refuse(raw, reason)
    found = _large(raw) if len(raw) > LARGE_BODY_BYTES else _small(raw)
    if not isinstance(found, dict):
        raise BadBody(f"{UNPARSED} {NO_OBJECT}")
    if not (_is_rare(b"[", raw) and _is_rare(b"{", raw)):
        _check_depth(found)
    return found


def _small(raw: bytes) -> Any:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise BadBody(f"{UNPARSED} {_reason(exc)}") from None
    # A NUL as it is does not pass the decoder, nor does half of a surrogate pair.
    if b"\\" in raw and b"\\u0000" in raw and b"\\u0000" in raw.replace(b"\\\\", b""):
        _refuse_nul(found)
    return found


def _large(raw: bytes) -> Any:
    try:
        found = LARGE.decode(raw)
    except UnicodeDecodeError:
        raise BadBody(f"{UNPARSED} {NO_UTF8}") from None
    except RecursionError:
        raise BadBody(f"{UNPARSED} {TOO_DEEP}") from None
    except msgspec.ValidationError:
        raise BadBody(f"{UNPARSED} {OUT_OF_RANGE}") from None
    except msgspec.DecodeError as exc:
        said = str(exc).removeprefix("JSON is malformed: ")
        raise BadBody(f"{UNPARSED} {said[:1].upper()}{said[1:]}.") from None
    level: list[Any] = [found] if isinstance(found, dict) else []
    while level:
        inside = list(_inside(level))
        if any(type(each) is int and each not in INTEGERS for each in inside):
            raise BadBody(f"{UNPARSED} {OUT_OF_RANGE}")
        names = chain.from_iterable(each for each in level if isinstance(each, dict))
        if any(isinstance(each, str) and "\0" in each for each in chain(inside, names)):
            _refuse_nul(found)
        level = [each for each in inside if isinstance(each, dict | list)]
    return found


def _refuse_nul(found: Any) -> NoReturn:
    """Refuse a body with a NUL in some text: databases and C libraries end a text there.

    A model of such a name is simply not there, whatever unknown names are answered with.
    """
    model = found.get("model") if isinstance(found, dict) else None
    if isinstance(model, str) and "\0" in model:
        raise ModelNotFound(model)
    raise BadBody(f"{UNPARSED} It contains a NUL character.")


def _excess(raw: bytes) -> str:
    """What the body holds too much of."""
    if len(raw) > LARGE_BODY_BYTES:
        return _counted(raw, LARGE_LIMITS)
    reason = _counted(raw, LIMITS)
    # Signs in texts are told from others only where they make a difference. To quotation marks only
    # escaped ones do.
    if reason and (MARKS not in reason or b"\\" in raw):
        reason = _counted(_without_texts(raw), LIMITS)
    return reason


def _counted(raw: bytes, limits: Mapping[str, list[tuple[bytes, int]]]) -> str:
    for what, bounds in limits.items():
        if all(_count(signs, raw, most) > most for signs, most in bounds):
            return f"it holds more than {bounds[-1][1]} {what}."
    return ""


def _count(signs: bytes, raw: bytes, least: int) -> int:
    """How many of these signs there are, roughly so where they are fewer than `least`."""
    if len(raw) <= least:
        return 0
    each = (bytes([sign]) for sign in signs)
    return sum(raw.count(sign) for sign in each if not _is_rare(sign, raw))


def _is_rare(sign: bytes, raw: bytes) -> bool:
    """Whether it is there so few times that it matters nowhere, not even as one of two signs that
    make a depth. Ten times as fast as counting."""
    at = -1
    for _ in range(MAX_DEPTH // 2):
        at = raw.find(sign, at + 1)
        if at < 0:
            return True
    return False


def _without_texts(raw: bytes) -> bytes:
    """Two quotation marks for each text, and what stands between them."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two marks are a text. What has more texts than it may is left as it is from there on.
    return b'""'.join(raw.split(b'"', MAX_QUOTES)[::2])


def _refuse(raw: bytes, reason: str) -> NoReturn:
    """Name the field where it is easy to see: in the middle of a long array of numbers, the last
    text before is its name."""
    end = raw.rfind(b'"', 0, len(raw) // 2)
    name = raw[raw.rfind(b'"', 0, max(end, 0)) + 1 : end]
    if end > 0 and NAME.fullmatch(name) and NUMBERS.match(raw, end + 1):
        param = name.decode()
        raise BadValue(f"Invalid '{param}': {reason}", param, "array_above_max_length")
    raise BadBody(f"{UNPARSED} {reason.capitalize()}")


def _check_depth(found: dict[str, Any]) -> None:
    """Walk level by level, past what holds no object and no array: the collector does not track
    such an object, and to ask it is ten times as fast as to look inside."""
    level: list[Any] = [found]
    for _ in range(MAX_DEPTH - 1):
        level = list(filter(gc.is_tracked, _inside(level)))
        if not level:
            return
    if any(isinstance(each, dict | list) for each in _inside(level)):
        raise BadBody(f"{UNPARSED} {TOO_DEEP}")


def _inside(level: Iterable[Any]) -> Iterable[Any]:
    return chain.from_iterable(each.values() if type(each) is dict else each for each in level)


def _reason(exc: orjson.JSONDecodeError) -> str:
    """What is wrong, without quoting the body: an error text ends up in logs."""
    if exc.msg.startswith("depth"):
        return TOO_DEEP
    if "valid UTF-8" in exc.msg:
        return NO_UTF8
    if exc.msg.startswith("number is infinity"):
        return OUT_OF_RANGE
    return f"{exc.msg[:1].upper()}{exc.msg[1:]} at line {exc.lineno}, column {exc.colno}."


def _too_large() -> str:
    return f"The request body is larger than {settings.MAX_BODY_BYTES} bytes."
