"""Every failure a caller can see, as OpenAI's error object.

Exceptions mean one thing each and know no status; `TABLE` maps them. `/v1` and the websocket both
render from here, so one failure reads the same on both.

WebError
├── BadValue              a field of the body is wrong; `param` names it, `code` says how
├── BadBody               the body is no JSON object at all
├── BodyTooLarge          more bytes than the server takes
├── BadKey                no key, or one that is not valid
├── ForeignPage           a page asks in somebody's name that is not one of ours
├── StaffOnly             it is for staff
├── RateLimited           the caller has used what it may for now
├── UnknownRoute          nothing lives at this address
├── WrongMethod           the address exists, the method does not
└── DatabaseUnavailable   the key cannot be checked now
"""

from __future__ import annotations

import logging
import math
from typing import Any, NamedTuple

from rest_framework.exceptions import NotAuthenticated

from inference import errors
from playground.limits import Allowance, limit_headers

log = logging.getLogger(__name__)


class WebError(Exception):
    """Base of the failures that the web side finds by itself."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class BadValue(WebError):
    """A field of the body has a wrong type or value."""


class BadBody(WebError):
    """The body cannot be read as a JSON object."""


class BodyTooLarge(WebError):
    """The body has more bytes than the server takes."""


class BadKey(WebError):
    """The caller has to show a valid key and did not."""


class ForeignPage(WebError):
    """A request with a visitor's cookies that does not come from one of our own pages."""


class StaffOnly(WebError):
    """Something for staff with a permission that the caller does not have."""


class RateLimited(WebError):
    """A limit of the caller's, or of its group, is reached.

    `limit` of its `kind` (requests, tokens, device-seconds); there is room in `reset` seconds.
    """

    def __init__(self, message: str, limit: int, reset: float, kind: str) -> None:
        super().__init__(message)
        self.limit, self.reset, self.kind = limit, reset, kind
        self.retry_after = max(1, math.ceil(reset))


class UnknownRoute(WebError):
    """No route has this path."""


class WrongMethod(WebError):
    """The route exists but not for this method."""


class DatabaseUnavailable(WebError):
    """The database does not answer, so a key cannot be checked."""

    retry_after = 5


class Row(NamedTuple):
    """How one class of exception is told to the caller."""

    status: int
    type: str
    code: str | None


BAD = "invalid_request_error"
SERVER = "server_error"

TABLE: dict[type[BaseException], Row] = {
    BadValue: Row(400, BAD, "invalid_value"),
    BadBody: Row(400, BAD, "invalid_json"),
    BodyTooLarge: Row(413, BAD, "content_too_large"),
    BadKey: Row(401, BAD, "invalid_api_key"),
    ForeignPage: Row(403, BAD, "foreign_page"),
    StaffOnly: Row(403, BAD, "staff_only"),
    RateLimited: Row(429, "requests", "rate_limit_exceeded"),
    NotAuthenticated: Row(401, BAD, "invalid_api_key"),
    UnknownRoute: Row(404, BAD, "unknown_url"),
    WrongMethod: Row(405, BAD, "method_not_supported"),
    DatabaseUnavailable: Row(503, SERVER, "database_unavailable"),
    errors.ModelNotFound: Row(404, BAD, "model_not_found"),
    errors.UnsupportedParameter: Row(400, BAD, "unsupported_parameter"),
    errors.InvalidRequest: Row(400, BAD, "invalid_value"),
    errors.ContextLengthExceeded: Row(400, BAD, "context_length_exceeded"),
    errors.UnsafeFormat: Row(400, BAD, "unsafe_format"),
    errors.UnsafeCode: Row(400, BAD, "unsafe_code"),
    errors.UnsupportedModel: Row(400, BAD, "unsupported_model"),
    errors.ModelTooLarge: Row(400, BAD, "model_too_large"),
    errors.LicenceRefused: Row(403, BAD, "licence_refused"),
    errors.RequestError: Row(400, BAD, None),
    errors.AccountQueueFull: Row(429, "requests", "rate_limit_exceeded"),
    errors.QueueFull: Row(503, SERVER, "server_overloaded"),
    errors.WaitTooLong: Row(503, SERVER, "wait_too_long"),
    errors.ModelQueued: Row(503, SERVER, "model_queued"),
    errors.ModelUnavailable: Row(503, SERVER, "model_unavailable"),
    errors.StorageFull: Row(507, SERVER, "storage_full"),
    errors.OutOfMemory: Row(503, SERVER, "out_of_memory"),
    errors.ShuttingDown: Row(503, SERVER, "server_shutting_down"),
    errors.Refused: Row(503, SERVER, "server_overloaded"),
    errors.EngineCrashed: Row(500, SERVER, "engine_crashed"),
    errors.EngineTimeout: Row(504, SERVER, "timeout"),
    errors.CustomCodeFailed: Row(500, SERVER, "custom_code_error"),
    errors.ProgramFailed: Row(500, SERVER, "model_error"),
    errors.Preempted: Row(503, SERVER, "preempted"),
    errors.CustomLoadFailed: Row(500, SERVER, "custom_code_error"),
    errors.LoadFailed: Row(503, SERVER, "model_unavailable"),
    errors.EngineError: Row(500, SERVER, "engine_error"),
}
UNEXPECTED = Row(500, SERVER, "internal_error")
SORRY = "The server had an error while processing your request. Sorry about that!"


def row_of(exc: BaseException) -> Row:
    """The row of the nearest class, so that a new subclass is covered by its parent."""
    found = (TABLE[cls] for cls in type(exc).__mro__ if cls in TABLE)
    return next(found, UNEXPECTED)


def error_body(exc: BaseException, request_id: str = "-") -> dict[str, Any]:
    """OpenAI's error object. An unexpected exception goes to the log, and nothing of it is shown:
    its text may quote a prompt."""
    row = row_of(exc)
    if row is UNEXPECTED:
        log.error("unexpected failure in request %s", request_id, exc_info=exc)
        return _body(SORRY, row, None, row.code)
    message = getattr(exc, "message", "") or str(exc)
    param, code = getattr(exc, "param", None), getattr(exc, "code", None)
    return _body(message, row, param, code or row.code)


def error_headers(exc: BaseException) -> dict[str, str]:
    """The response headers that belong to a failure."""
    if isinstance(exc, BadKey):
        return {"WWW-Authenticate": "Bearer"}
    if row_of(exc).status not in (429, 503):
        return {}
    wait = getattr(exc, "retry_after", 5)
    found = {"Retry-After": str(wait)}
    if isinstance(exc, errors.AccountQueueFull):
        found |= limit_headers(Allowance(exc.limit, 0, wait))
    if isinstance(exc, RateLimited):
        found |= limit_headers(Allowance(exc.limit, 0, exc.reset), exc.kind)
    return found


def _body(message: str, row: Row, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": row.type, "param": param, "code": code}}
