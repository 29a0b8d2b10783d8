"""Log lines: as text for people, or as JSON for programs; each knows the request that it is of."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("playground.requests")

# The id of the request that runs in this task, as its `x-request-id` says it.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
# What stays when a request starts it (a load, a timer) is the work of all who wait for it.
OF_ALL = "inference"
# Fields that one of our own lines may bring: `logger.info("…", extra={FIELDS: {…}})`.
FIELDS = "fields"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message; where known, request_id and error."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := request_of(record):
            line["request_id"] = request_id
        line |= getattr(record, FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Text, with the request's id where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it."""
        request_id = request_of(record)
        record.whose = f" [{request_id}]" if request_id else ""
        return super().format(record)


def request_of(record: logging.LogRecord) -> str:
    """The request of which a line is; "" for none."""
    return "" if record.name.partition(".")[0] == OF_ALL else REQUEST_ID.get()


def log_request(row: Any, first: float | None) -> None:
    """One line for a request that asked a model and ended. Who asked is in no log."""
    fields = {
        "request_id": f"req_{row['request_id']}",
        **{name: row[name] for name in ("model", "kind", "outcome")},
        **{name: row[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens")},
        **{name: row[name] for name in ("queue_seconds", "device_seconds")},
        "first_token_seconds": None if first is None else round(first, 3),
    }
    said = " ".join(f"{name}={value}" for name, value in fields.items())
    logger.info("ended: %s", said, extra={FIELDS: fields})
