"""Figures with their goals and their peers, and scenarios put to a real server."""

from __future__ import annotations

import argparse
import asyncio
import math
import os

import pytest

from bench import beside, load, scenarios
from bench.scenarios import SCENARIOS, Figure, Server
from tests.bench.test_crowd import serving

NEVER = Figure("until all are cut off", math.inf, 12, "s")
SOON = Figure("until all are cut off", 10.2, 12, "s")


def test_never_is_said_and_missed() -> None:
    assert NEVER.row() == "| until all are cut off | never | ≤ 12 | missed |"
    assert not NEVER.is_reached and SOON.is_reached


def test_what_has_no_goal_is_not_missed() -> None:
    figure = Figure("and of the kernel", 2.0, None, "MiB")
    assert figure.is_reached and figure.row() == "| and of the kernel | 2.00 MiB | | |"


def test_a_peer_has_a_ratio_where_both_have_a_figure() -> None:
    ours = [Figure("memory", 1.0, 1, "MiB"), SOON]
    theirs = [Figure("memory", 4.0, 1, "MiB"), NEVER]
    said = beside.table({"ours": ours, "vLLM's": theirs}).splitlines()
    assert said[-2:] == [
        "| memory | 1.00 MiB | 4.00 MiB | 0.25 |",
        "| until all are cut off | 10.20 s | never | – |",
    ]


async def test_a_real_model_is_asked_and_its_tokens_are_counted() -> None:
    """Some come two to an event; how many there were stands in the last one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        events = [b'{"choices": [{"delta": {"content": "a b"}}]}'] * 2
        events.append(b'{"choices": [], "usage": {"completion_tokens": 4}}')
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for each in events:
            writer.write(b"%x\r\ndata: %b\n\n\r\n" % (len(each) + 8, each))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with serving(serve) as port:
        call = await beside.RealServer(0, port, key="k").asking(4).call("reads")
    assert call.whole and call.tokens == len(call.arrivals) == 4 and not call.request_id


@pytest.mark.parametrize(
    ("name", "value"), [("llms_requests_running", 5.0), ("llms_tasks", 17.0), ("llms_none", None)]
)
async def test_a_figure_is_read_if_the_server_has_it(name: str, value: float | None) -> None:
    said = (
        b"# HELP llms_tasks Tasks.\nllms_tasks 17.0\nllms_tasks_more 1.0\n"
        b'llms_requests_running{model="a"} 2.0\nllms_requests_running{model="b"} 3.0\n'
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        found = Server(os.getpid(), server.sockets[0].getsockname()[1])
        assert await found.metric(name) == value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leavers", "stalled"])
def test_who_crashes_or_stalls_costs_others_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but times, which are another machine's."""
    monkeypatch.setattr(scenarios, "STALL_SECONDS", 3)
    scenario = SCENARIOS[name]
    env = {"STALL_SECONDS": "3"} if name == "stalled" else {}
    with load.server(scenario.places, scenario.rate, **env) as found:
        figures = asyncio.run(scenario.work(found, argparse.Namespace(seconds=3.0)))
    timeless = [each for each in figures if each.unit not in ("ms", "") or each.goal == 0]
    assert len(timeless) >= 3 and all(each.is_reached for each in timeless), figures
