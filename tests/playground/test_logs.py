"""Log lines: one JSON object each, of the request that they belong to and of no other."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from playground.logs import FIELDS, REQUEST_ID, JsonFormatter, TextFormatter, log_request

TEXT = TextFormatter("{levelname} {name}{whose}: {message}", style="{")


class Kept(logging.Handler):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What is logged meanwhile, as JSON."""
    handler = Kept()
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def record(name: str = "playground.x") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, 'a "%s"\nb', ("word",), None)


def test_a_line_is_one_object() -> None:
    line = JsonFormatter().format(record())
    assert "\n" not in line
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "WARNING", "logger": "playground.x", "message": 'a "word"\nb'}


def test_a_failure_has_its_traceback_and_its_request(kept: Kept) -> None:
    REQUEST_ID.set("req_1")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("playground.x").error("it broke", exc_info=sys.exc_info())
    (line,) = kept.objects()
    assert line["request_id"] == "req_1" and "ValueError: broken" in str(line["error"])
    REQUEST_ID.set("")


async def test_requests_side_by_side_are_not_mixed(kept: Kept) -> None:
    async def ask(name: str) -> None:
        REQUEST_ID.set(name)
        for _ in range(5):
            await asyncio.sleep(0)
            logging.getLogger("playground.x").warning("%s", name)

    await asyncio.gather(*(ask(f"req_{i}") for i in range(20)))
    assert len(kept.lines) == 100
    assert all(line["request_id"] == line["message"] for line in kept.objects())


def test_what_all_wait_for_is_nobodys_request() -> None:
    REQUEST_ID.set("req_1")
    assert "request_id" not in json.loads(JsonFormatter().format(record("inference.fleet")))
    assert TEXT.format(record("inference.fleet")).startswith("WARNING inference.fleet: a")
    assert TEXT.format(record()).startswith("WARNING playground.x [req_1]: a")
    REQUEST_ID.set("")


def test_a_request_that_ended_is_a_line_without_a_name(kept: Kept) -> None:
    row = {
        "request_id": "1", "account": "user:7", "key_id": 3, "model": "m", "kind": "chat",
        "prompt_tokens": 2, "completion_tokens": 3, "cached_tokens": 0, "queue_seconds": 0.5,
        "device_seconds": 0.1, "outcome": "finished",
    }  # fmt: skip
    logger = logging.getLogger("playground.requests")
    logger.setLevel(logging.INFO)
    log_request(row, 0.12345)
    (line,) = kept.objects()
    assert (line["request_id"], line["first_token_seconds"]) == ("req_1", 0.123)
    assert {"model", "kind", "outcome", "queue_seconds"} <= line.keys()
    assert "user:7" not in kept.lines[0] and "key_id" not in line and FIELDS not in line
