"""Connections that take and do not give: stalled readers, dripping senders, too many at once."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from contextlib import ExitStack, suppress

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from playground.websocket import LAST_WORD_SECONDS
from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.faults.conftest import BODY, HEAD, IDLE, SHORT, STALL
from tests.faults.lines import (
    LITTLE,
    close_code,
    events_of,
    frame,
    is_cut,
    line,
    many,
    page,
    post,
    resident,
    rest,
    seconds_until,
)
from tests.servers import RunningServer, wait_until
from tests.usage import records_of

WORD = "x" * 10_000
# 10 MB, in a thousand pieces.
TOKENS = 1000
ASKED = {"model": "echo", "max_tokens": TOKENS, "ignore_eos": True}
MOST_GROWTH = 100 * 2**20
MOST_UNREAD = 2**20 // len(WORD)
# Of these deadlines, on a busy machine.
GRACE = 8.0


def ask_page(made: socket.socket, name: str) -> None:
    asked = {"type": "chat", "id": name, "model": "echo", "messages": user(WORD),
             "params": {"max_tokens": TOKENS, "ignore_eos": True}}  # fmt: skip
    made.sendall(frame(json.dumps(asked).encode()))


# R3
def test_100_who_never_read_cost_little_and_are_cut_off(hasty: RunningServer) -> None:
    def attack() -> None:
        before = resident(hasty)
        lines = [line(hasty, LITTLE) for _ in range(50)], [page(hasty, LITTLE) for _ in range(50)]
        with unharmed(hasty), many(lines[0]) as streams, many(lines[1]) as pages:
            for made in streams:
                made.sendall(post(CHAT, ASKED | {"messages": user(WORD), "stream": True}))
            for i, made in enumerate(pages):
                ask_page(made, str(i))
            wait_until(lambda: hasty.model("echo")["running"] == 100, 30, "all run")
            most = 0

            def all_cut() -> bool:
                nonlocal most
                most = max(most, resident(hasty))
                return all(map(is_cut, streams + pages))

            wait_until(all_cut, STALL + LAST_WORD_SECONDS + GRACE, "all are cut off")
            wait_until(lambda: hasty.model("echo")["running"] == 0, 5, "places are free")
        print(f"grew by {(most - before) / 2**20:.0f} MiB")
        assert most - before < MOST_GROWTH

    ended = [r for r in records_of(hasty, attack, ["echo", "echo-slow"]) if r["model"] == "echo"]
    cut = [r for r in ended if r["outcome"] == "cancelled"]
    # Nobody computes what is not read, but for what fits into the buffers on the way.
    assert len(cut) == 100 and all(0 < r["completion_tokens"] < MOST_UNREAD for r in cut)


# R3
def test_a_page_that_reads_at_last_is_told_why_it_was_closed(hasty: RunningServer) -> None:
    with page(hasty, LITTLE) as made:
        ask_page(made, "one")
        time.sleep(STALL + LAST_WORD_SECONDS / 2)  # it does not read: this is the fault itself
        assert close_code(rest(made)) == 1013


def test_a_reader_slower_than_the_model_is_no_stalled_one(hasty: RunningServer) -> None:
    """It reads a little all the time, for longer than a stalled one may stand."""
    with line(hasty, LITTLE) as made:
        asked = ASKED | {"messages": user(WORD), "stream": True, "max_tokens": 300}
        made.sendall(post(CHAT, asked))
        began, heard = time.monotonic(), b""
        while b"data: [DONE]" not in heard[-100:]:
            heard += made.recv(16384)
            time.sleep(0.02)  # the reader's slowness itself
        assert time.monotonic() - began > STALL
    said = [each["choices"][0]["delta"].get("content") for each in events_of(heard)]
    assert [each.partition(":")[0] for each in said if each] == [str(i) for i in range(300)]


def test_a_slow_reader_of_a_whole_answer_is_not_an_idle_one(hasty: RunningServer) -> None:
    """It is still reading when a connection that rests would have been closed, and cut off."""
    with line(hasty, 2**16) as made:
        made.sendall(post(CHAT, ASKED | {"messages": user(WORD)}))
        # With the first of its 10 MB all are written.
        heard = bytearray(made.recv(1))
        began = time.monotonic()
        while time.monotonic() - began < IDLE + 2 * STALL:
            heard += made.recv(16384)
            time.sleep(0.02)  # the reader's slowness itself
        head, _, body = heard.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert len(body) < length - 2**20, "it is not read as yet"
        while len(body) < length and (piece := made.recv(2**16)):
            body += piece
        assert json.loads(body)["usage"]["completion_tokens"] == TOKENS
        # It rests from now on.
        assert seconds_until(made, IDLE + GRACE) > 0.25 * IDLE


@pytest.mark.parametrize("more", ["keep-alive", "close"])
def test_who_reads_nothing_of_a_whole_answer_is_cut_off(hasty: RunningServer, more: str) -> None:
    with line(hasty, LITTLE) as made:
        asked = post(CHAT, ASKED | {"messages": user(WORD)})
        made.sendall(asked.replace(b"\r\n", f"\r\nConnection: {more}\r\n".encode(), 1))
        made.recv(1)
        assert 0.8 * STALL < seconds_until(made, STALL + GRACE) < IDLE + STALL


# I14
@pytest.mark.parametrize("part", ["nothing", "head", "body"])
def test_who_drips_is_closed_in_time(hasty: RunningServer, part: str) -> None:
    whole = post(TEXT, {"model": "echo", "prompt": "x" * 1000})
    with unharmed(hasty), line(hasty) as made:
        if part == "body":
            made.sendall(whole[:200])
        limit = BODY if part == "body" else HEAD
        began = time.monotonic()
        while not is_cut(made):
            if part != "nothing":
                made.sendall(whole[200:201] if part == "body" else b"G")
            time.sleep(0.05)  # the drip
            assert time.monotonic() - began < limit + GRACE
        assert time.monotonic() - began > 0.8 * limit
        said = rest(made)
    if part == "nothing":
        assert said == b""
    else:
        assert b" 408 " in said.split(b"\r\n")[0]
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


# I14
def test_a_thousand_who_drip_hold_nobody_up(hasty: RunningServer) -> None:
    """A third say something once, the others a byte of a head or of a body again and again: that
    puts nothing off."""
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
    # What is said first, and then again and again.
    kinds = [(head + b"{", b""), (head[:-2], b"X"), (head + b"{", b" ")]
    limits = [BODY, HEAD, BODY]
    closed: dict[int, float] = {}

    def attack() -> None:
        began = time.monotonic()
        with unharmed(hasty), many([line(hasty) for _ in range(1000)]) as lines:
            for i, made in enumerate(lines):
                made.sendall(kinds[i % 3][0])
            last = time.monotonic()
            while len(closed) < len(lines):
                for i, made in enumerate(lines):
                    if i in closed:
                        continue
                    if is_cut(made):
                        closed[i] = time.monotonic()
                    else:
                        drip(made, kinds[i % 3][1])
                time.sleep(0.05)  # the drip
                assert time.monotonic() - last < max(limits) + GRACE, f"{len(closed)} are closed"
        for i, when in closed.items():
            assert began + 0.8 * limits[i % 3] < when < last + limits[i % 3] + GRACE

    # Nobody asked anything, but for the bystander and the one who came after.
    found = records_of(hasty, attack, ["echo", "echo-slow"])
    assert {row["outcome"] for row in found} == {"finished"}


def drip(made: socket.socket, byte: bytes) -> None:
    """One byte more, unless it was closed in this moment."""
    with suppress(ConnectionError):
        made.sendall(byte)


def test_a_large_body_on_a_slow_line_has_the_time_it_takes(hasty: RunningServer) -> None:
    """Longer than BODY_SECONDS, and faster than the slowest that is taken."""
    whole = post(TEXT, {"model": "echo", "prompt": "u" * 400_000})
    with line(hasty) as made:
        began = time.monotonic()
        for i in range(0, len(whole), 8192):
            made.sendall(whole[i : i + 8192])
            time.sleep(0.06)  # the line's slowness itself
        assert time.monotonic() - began > BODY
        assert b" 200 " in made.recv(65536).split(b"\r\n")[0]


def test_a_connection_that_is_used_again_has_its_time_again(hasty: RunningServer) -> None:
    with line(hasty) as made:
        for _ in range(3):
            made.sendall(post(TEXT, {"model": "echo", "prompt": "one"}))
            assert b" 200 " in made.recv(65536).split(b"\r\n")[0]
            time.sleep(1.2 * HEAD)  # between requests a connection may rest
        made.sendall(b"POST /v1/comp")
        assert seconds_until(made, HEAD + GRACE) > 0.8 * HEAD
        assert b" 408 " in rest(made)


def test_an_address_has_so_many_connections(make_server: MakeServer) -> None:
    narrow = make_server(SHORT | {"CONNECTIONS_PER_ADDRESS": "5", "HEAD_SECONDS": "60"})
    with ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(line(narrow))
        taken = opened.enter_context(page(narrow))
        refused = httpx.get(f"{narrow.url}/healthz")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "10"
        assert error_of(refused)["code"] == "too_many_connections"
        # A websocket that ends makes room, too.
        taken.close()
        wait_until(lambda: httpx.get(f"{narrow.url}/healthz").status_code == 200, 5, "room again")


def test_nobody_makes_the_server_unpack_what_he_sends(hasty: RunningServer) -> None:
    """A websocket of a few bytes could be megabytes then: compression is offered, and not taken."""
    address = f"{hasty.ws_url}/ws/chat"
    with unharmed(hasty), connect(address, origin=Origin(hasty.url), compression="deflate") as made:
        assert "permessage-deflate" in made.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in made.response.headers
    with unharmed(hasty), page(hasty) as bold:
        # A frame that says of itself that it is packed, all the same.
        packed = frame(zlib.compress(b"x" * 2**20))
        bold.sendall(bytes([packed[0] | 0x40]) + packed[1:])
        assert struct.pack(">H", 1002) in rest(bold)
