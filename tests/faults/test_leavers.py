"""Crowds who leave in the middle: nothing is left of them, through whatever view they came."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from select import select
from typing import Any, NamedTuple

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.faults.conftest import SHORT
from tests.faults.lines import frame, get, line, many, page, post, so_far
from tests.faults.threads import POOLED, tasks, threads, told_of
from tests.servers import RunningServer, wait_until
from tests.usage import records_of, rows

pytestmark = pytest.mark.timeout(120)
# As the catalogue says: fewer than come.
PLACES = 300
# One thread that each of them left behind would be more than all pools may grow by.
CROWD = POOLED + 30
HUB_SECONDS = 0.5
# Of the models here; at once for the eight choices and prompts of one request.
PER_SECOND, AT_ONCE = 20, 8
TOKEN = re.compile(rb'"text": ?"\d+:w|"content": ?"\d+:w')


@pytest.fixture(scope="module")
def mute() -> Iterator[str]:
    """The address of somebody who takes every connection, and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1000)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def told(
    make_server: MakeServer, mute: str, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """Tells of its threads; the Hub and the site of pictures that it asks are mute."""
    hub = {"HF_ENDPOINT": f"http://{mute}", "HUB_MODELS": "open", "HUB_SECONDS": str(HUB_SECONDS)}
    remote = {"REMOTE_MEDIA": "on", "REMOTE_MEDIA_HOSTS": mute, "REMOTE_MEDIA_SECONDS": "3"}
    return make_server(SHORT | hub | remote | told_of(tmp_path_factory.mktemp("told")))


# R1
def test_450_who_leave_leave_nothing_behind(told: RunningServer) -> None:
    """200 streams after five tokens, 200 answers that were not streamed, 50 pages."""
    slow = {"model": "echo-slow", "max_tokens": 1000, "ignore_eos": True}
    chat = {"type": "chat", "model": "echo-slow", "messages": user("w"),
            "params": {"max_tokens": 1000, "ignore_eos": True}}  # fmt: skip

    def count(what: str) -> int:
        return int(told.model("echo-slow")[what])

    def attack() -> None:
        # A model that is loaded has tasks of its own.
        for model in ("echo", "echo-slow", "echo-beside"):
            httpx.post(f"{told.url}{TEXT}", json={"model": model, "prompt": "w"}, timeout=30)
        before = tasks(told)
        opened = [line(told) for _ in range(400)], [page(told) for _ in range(50)]
        with (
            unharmed(told, "echo-slow", "echo-beside"),
            many(opened[0]) as lines,
            many(opened[1]) as pages,
        ):
            for made in lines[:200]:
                made.sendall(post(TEXT, slow | {"prompt": "w", "stream": True}))
            wait_until(lambda: count("running") == 200, 20, "all streams run")
            for made in lines[200:]:
                made.sendall(post(TEXT, slow | {"prompt": "w"}))
            for i, made in enumerate(pages):
                made.sendall(frame(json.dumps(chat | {"id": str(i)}).encode()))
            for made in lines[:200]:
                heard = b""
                while b"4:w " not in heard:
                    heard += made.recv(65536)
            wait_until(lambda: count("waiting") == 450 - PLACES, 20, "the others wait")
            assert count("running") == PLACES
            assert tasks(told) >= before + 450
            for made in lines + pages:
                made.close()
            wait_until(lambda: count("running") == count("waiting") == 0, 1, "nothing in flight")
        wait_until(lambda: tasks(told) <= before, 1, f"there are {before} tasks again")

    models = ["echo-slow", "echo-beside"]
    found = [row for row in records_of(told, attack, models) if row["outcome"] != "finished"]
    assert len(found) == 450
    assert {each["outcome"] for each in found} == {"cancelled"}
    heard = sorted(each["completion_tokens"] for each in found)
    # Whoever waited for a whole answer left as well: what was made for them is counted.
    # (Some who had waited get a place while others go.)
    assert heard[0] == 0 < heard[450 - PLACES]
    assert heard[-200] >= 5 and heard[-1] < 1000


class Long(NamedTuple):
    """A question that takes long, of which model, and by what it is seen to be in hand."""

    path: str
    body: dict[str, Any]
    model: str = "echo-slow"
    seen: str = "runs"


# R2
ENDLESS = {"max_tokens": 1000, "ignore_eos": True}
PICTURE = "data:image/png;base64," + base64.b64encode(os.urandom(1_500_000)).decode()


def look(address: str) -> list[dict[str, Any]]:
    """A message with a picture in it."""
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}]


LONG = {
    "chat": Long(CHAT, ENDLESS | {"messages": user("w")}),
    "chat streamed": Long(CHAT, ENDLESS | {"messages": user("w"), "stream": True}),
    "completion": Long(TEXT, ENDLESS | {"prompt": "w"}),
    "completion streamed": Long(TEXT, ENDLESS | {"prompt": "w", "stream": True}),
    "prompts": Long(TEXT, ENDLESS | {"prompt": ["w"] * 8}),
    "prompts streamed": Long(TEXT, ENDLESS | {"prompt": ["w"] * 8, "stream": True}),
    "choices": Long(TEXT, ENDLESS | {"prompt": "w", "n": 8}),
    "choices streamed": Long(TEXT, ENDLESS | {"prompt": "w", "n": 8, "stream": True}),
    "hf chat": Long("/hf/models/echo-slow/v1/chat/completions", ENDLESS | {"messages": user("w")}),
    "hf": Long("/hf/models/echo-slow", {"inputs": "w " * 300}),
    "embeddings": Long("/v1/embeddings", {"input": ["w"] * 500}, "echo-embed"),
    "rerank": Long("/v1/rerank", {"query": "w", "documents": ["w"] * 500}, "echo-rerank"),
    "score": Long("/v1/score", {"text_1": "w", "text_2": ["w"] * 500}, "echo-rerank"),
    "tokenize": Long("/tokenize", {"prompt": "w " * 100_000}, seen="works"),
    "pictures": Long(CHAT, {"messages": look(PICTURE)}, "echo-eyes", "works"),
    "pictures elsewhere": Long(CHAT, {"messages": look("http://{mute}/a")}, "echo-eyes", "waits"),
    "the Hub": Long(TEXT, {"prompt": "w"}, "alice/unheard-of", "waits"),
    "pages": Long("/", {}, seen="works"),
    "a page of the docs": Long("/docs/api", {}, seen="works"),
}


@pytest.mark.parametrize("view", LONG)
def test_no_view_works_on_for_who_has_left(told: RunningServer, mute: str, view: str) -> None:
    long = LONG[view]
    named = {} if view == "hf" else {"model": long.model}
    body = json.dumps(named | long.body).replace("{mute}", mute)
    request = post(long.path, json.loads(body)) if long.body else get(told, long.path)
    if long.seen != "runs":
        # Whatever begins, or is imported, with the first request of its kind.
        with line(told) as made:
            made.sendall(request)
            made.recv(1)
    models = {"echo-slow", "echo-embed", "echo-rerank", "echo-eyes"}

    def running() -> int:
        return sum(told.model(name)["running"] for name in models)

    known = {row["request_id"] for row in rows(told)}
    with unharmed(told, beside="echo-beside"):
        before, had, began = threads(told), tasks(told), time.monotonic()
        lines: list[socket.socket] = []
        in_hand: dict[str, Callable[[], Any]] = {
            "runs": lambda: running() >= 10,
            # A page may be made between two looks: then its answer is there, and others are begun.
            "works": lambda: threads(told).working > 0 or select(lines, [], [], 0)[0],
            "waits": lambda: tasks(told) >= had + CROWD,
        }
        lines += [line(told) for _ in range(CROWD)]
        with many(lines):
            for made in lines:
                made.sendall(request)
            wait_until(in_hand[long.seen], 10, "they are in hand")
            heard = sum(len(TOKEN.findall(so_far(made))) for made in lines)
        most = PER_SECOND * (time.monotonic() - began) + 1
        wait_until(lambda: running() == 0, 1, "nothing in flight")
        # A thread that asks the Hub cannot be called off: it ends by its own deadline.
        own = HUB_SECONDS if view == "the Hub" else 0.0
        wait_until(lambda: threads(told).working == 0, 1 + own, "no thread works")
        wait_until(lambda: threads(told).others <= before.others, 1, "no thread is left")
        assert threads(told).resting <= before.resting + POOLED
    # The bystander's record was the last to wait for: theirs are there too.
    left = [row for row in rows(told) if row["request_id"] not in known and row["model"] in models]
    spent = [row["completion_tokens"] for row in left]
    if long.seen == "runs":
        assert [row["outcome"] for row in left] == ["cancelled"] * CROWD
    # What they were told is counted, and nothing that was made for nobody.
    assert heard <= sum(spent) and max(spent, default=0) <= AT_ONCE * most
