"""A worker answers what it is asked, and its end is heard by exactly those who wait for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from socket import SHUT_WR
from typing import Any

import pytest
import pytest_asyncio

from inference.engines import supervisor as room
from inference.engines.messages import Load
from inference.engines.program import Call
from inference.engines.supervisor import Supervisor
from inference.errors import (
    EngineCrashed,
    InvalidRequest,
    LoadFailed,
    OutOfMemory,
    ProgramFailed,
)
from inference.requests import Media
from tests.servers import ROOT, alive, wait_until

OBEDIENT = "tests.inference.programs:Obedient"
Start = Callable[..., Awaitable[Supervisor]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Supervisor] = []

    async def begin(*, prefix: tuple[str, ...] = (), size: int = 4, **arguments: Any) -> Supervisor:
        worker = Supervisor("model", tmp_path / "log", prefix=prefix)
        started.append(worker)
        facts = await worker.start(Load(OBEDIENT, arguments, size, 0.001))
        assert facts["thread"]
        worker.pid = facts["pid"]  # type: ignore[attr-defined]
        return worker

    yield begin
    for worker in started:
        await worker.stop()


async def until(file: Path) -> None:
    while not file.exists():
        await asyncio.sleep(0.01)


async def counted(worker: Supervisor, count: int) -> list[Any]:
    async with aclosing(worker.stream(Call("count", count))) as pieces:
        return [piece async for piece in pieces]


async def test_calls_are_answered_whatever_they_carry(start: Start) -> None:
    worker = await start()
    assert await worker.ask(Call("echo", {"a": [1, None, "ä"]})) == {"a": [1, None, "ä"]}
    picture = Media(b"abc" * 100_000, "image/png")
    assert await worker.ask(Call("media", picture)) == Media(picture.data[::-1], "image/png")
    assert await worker.ask(Call("echo", [])) == []
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        await worker.ask(Call("echo", 2**70))


async def test_a_list_runs_in_batches_of_like_length(start: Start) -> None:
    worker = await start(size=4)
    texts = ["x" * n for n in (9, 1, 7, 3, 8, 2, 6, 4)]
    assert await worker.ask(Call("echo", texts)) == texts
    batches = await worker.ask(Call("batches"))
    assert [sorted(map(len, batch)) for batch in batches] == [[6, 7, 8, 9], [1, 2, 3, 4]]


async def test_who_waits_longest_runs_next(start: Start, tmp_path: Path) -> None:
    worker = await start(size=2)
    go = tmp_path / "go"
    first = asyncio.create_task(worker.ask(Call("wait", str(go))))
    await until(tmp_path / "go.here")
    rest = [asyncio.create_task(worker.ask(Call("echo", "x" * n))) for n in (1, 50, 60, 70, 2)]
    await asyncio.sleep(0)
    await worker.ask(Call("", 1), "prepare")
    go.touch()
    await asyncio.gather(first, *rest)
    batches = await worker.ask(Call("batches"))
    # The text of one letter came first, though the longest go in pairs: 70 and 60, 50 and 2.
    assert batches[:2] == [[str(go)], ["x"]]


async def test_failures_belong_to_their_calls(start: Start) -> None:
    worker = await start(size=8)
    asked = [
        worker.ask(Call("echo", "fine")),
        worker.ask(Call("echo", "poison")),
        worker.ask(Call("refuse", "blue")),
        worker.ask(Call("memory", "")),
        worker.ask(Call("echo", ["large", "large"])),
        worker.ask(Call("echo", ["fine", "poison"])),
    ]
    found: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
    assert found[0] == "fine"
    assert isinstance(found[1], ProgramFailed) and "KeyError" in found[1].trace
    assert isinstance(found[2], InvalidRequest) and found[2].param == "parameters.colour"
    assert isinstance(found[3], OutOfMemory)
    assert found[4] == ["large", "large"]
    assert isinstance(found[5], ProgramFailed)
    assert await worker.ask(Call("echo", "and on")) == "and on"


async def test_the_log_does_not_quote_what_was_sent(start: Start, tmp_path: Path) -> None:
    worker = await start()
    with pytest.raises(ProgramFailed):
        await worker.ask(Call("raise", "secret"))
    log = (tmp_path / "log").read_text()
    assert "in do" in log and "KeyError" in log
    assert "the program's own" not in log


async def test_streams_run_side_by_side(start: Start) -> None:
    worker = await start()
    long = asyncio.create_task(counted(worker, 300))
    found = await asyncio.gather(*(counted(worker, n) for n in (3, 5, 0)), worker.ask(Call("echo")))
    assert [len(pieces) for pieces in found[:3]] == [4, 6, 1]
    assert found[0][:3] == [0, 1, 2]
    assert (await long)[:-1] == list(range(300))


async def test_a_stream_that_breaks_ends_all_of_its_step_and_no_more(start: Start) -> None:
    worker = await start()
    with pytest.raises(ProgramFailed):
        async with aclosing(worker.stream(Call("trap", 5))) as pieces:
            assert [await anext(pieces) for _ in range(5)] == list(range(5))
            await anext(pieces)
    with pytest.raises(InvalidRequest):
        async with aclosing(worker.stream(Call("refuse", 1))) as pieces:
            await anext(pieces)
    assert len(await counted(worker, 3)) == 4


async def test_a_stream_that_is_closed_leaves_nothing(start: Start) -> None:
    worker = await start()
    async with aclosing(worker.stream(Call("count", 100_000))) as pieces:
        assert await anext(pieces) == 0
    # The last piece says how many others were under way.
    assert (await counted(worker, 3))[-1] == 0


async def test_a_call_that_is_taken_back_does_not_run(start: Start, tmp_path: Path) -> None:
    worker = await start(size=1)
    go = tmp_path / "go"
    first = asyncio.create_task(worker.ask(Call("wait", str(go))))
    await until(tmp_path / "go.here")
    second = asyncio.create_task(worker.ask(Call("echo", "nobody waits")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await worker.ask(Call("", 1), "prepare")
    go.touch()
    await first
    assert await worker.ask(Call("batches")) == [[str(go)]]


async def test_preparing_does_not_wait_for_what_runs(start: Start, tmp_path: Path) -> None:
    worker = await start()
    go = tmp_path / "go"
    running = asyncio.create_task(worker.ask(Call("wait", str(go))))
    assert await worker.ask(Call("", "early"), "prepare") == ["prepare", "early"]
    with pytest.raises(InvalidRequest):
        await worker.ask(Call("refuse"), "prepare")
    assert not running.done()
    go.touch()
    await running


ENDS = {
    "exit": "its process ended with status 7",
    "segfault": "its process ended by SIGSEGV",
    "kill": "its process was killed",
    "nonsense": "it spoke nonsense",
}


@pytest.mark.parametrize("how", ENDS)
async def test_whoever_waits_hears_of_the_end(start: Start, how: str) -> None:
    worker, other = await start(), await start()
    death = asyncio.create_task(worker.died())
    stream = worker.stream(Call("count", 100_000))
    await anext(stream)
    asked = [asyncio.create_task(worker.ask(Call(how, "x"))) for _ in range(3)]
    for result in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(result, EngineCrashed), result
        assert ENDS[how] in result.message
    with pytest.raises(EngineCrashed):
        async for _ in stream:
            pass
    assert ENDS[how] in await death
    assert not worker.alive
    with pytest.raises(EngineCrashed):
        await worker.ask(Call("echo"))
    assert await other.ask(Call("echo", 1)) == 1
    wait_until(lambda: not alive(worker.pid), 5, "it is gone")  # type: ignore[attr-defined]


async def test_who_writes_to_what_has_ended_hears_why(start: Start) -> None:
    """The write fails before anybody has read the end."""
    worker = await start()
    socket = worker._writer.get_extra_info("socket")  # type: ignore[union-attr]
    socket.shutdown(SHUT_WR)
    async with asyncio.timeout(20):
        with pytest.raises(EngineCrashed, match="its process ended with status 0"):
            await worker.ask(Call("echo"))
    wait_until(lambda: not alive(worker.pid), 5, "it is gone")  # type: ignore[attr-defined]


async def test_a_program_that_cannot_go_on_is_ended(start: Start) -> None:
    worker = await start()
    with pytest.raises(EngineCrashed, match="made of cheese"):
        await worker.ask(Call("fail"), "prepare")
    assert await worker.died() == "Its weights are made of cheese"
    assert not alive(worker.pid)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("load", "kind", "words"),
    [
        ("fail", LoadFailed, "made of cheese"),
        ("raise", LoadFailed, "KeyError: .the program's own"),
        ("refuse", LoadFailed, "No such colour"),
        ("memory", OutOfMemory, "not enough memory"),
        ("exit", LoadFailed, "While it loaded, its process ended with status 7"),
        ("segfault", LoadFailed, "SIGSEGV"),
        ("kill", OutOfMemory, "While it loaded, its process was killed"),
    ],
)
async def test_a_load_that_fails_says_why(start: Start, load: str, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        await start(load=load)


async def test_a_load_that_is_killed_under_a_command_tells_of_memory_too(start: Start) -> None:
    with pytest.raises(OutOfMemory, match="was killed"):
        await start(load="kill", prefix=("sh", "-c", '"$@"; exit $?', "sh"))


async def test_a_command_that_is_not_there(start: Start) -> None:
    with pytest.raises(LoadFailed, match="did not start"):
        await start(prefix=("/no/such/jail",))


async def test_a_child_runs_under_a_prefix(start: Start) -> None:
    worker = await start(prefix=("nice", "-n", "7"))
    expected = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == expected  # type: ignore[attr-defined]


async def test_stop_ends_whatever_runs(start: Start, tmp_path: Path) -> None:
    worker = await start()
    running = asyncio.create_task(worker.ask(Call("wait", str(tmp_path / "never"))))
    await worker.ask(Call("", 1), "prepare")
    await worker.stop()
    assert not alive(worker.pid)  # type: ignore[attr-defined]
    with pytest.raises(EngineCrashed):
        await running


async def test_a_start_that_is_called_off_leaves_nothing(tmp_path: Path) -> None:
    worker = Supervisor("model", tmp_path / "log")
    starting = asyncio.create_task(worker.start(Load(OBEDIENT, {}, 1, 0.0)))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await worker.stop()
    assert not worker.alive


async def test_a_worker_that_stands_still_is_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PING_SECONDS", 0.05)
    monkeypatch.setattr(room, "DEAF_SECONDS", 1.0)
    worker = await start()
    os.kill(worker.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    assert await worker.died() == "it stopped answering"


async def test_a_worker_that_stands_still_is_ended_though_it_has_not_read_what_was_sent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PING_SECONDS", 0.05)
    monkeypatch.setattr(room, "DEAF_SECONDS", 1.0)
    worker = await start()
    os.kill(worker.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    large = Media(b"x" * 15 * 2**20, "image/png")
    async with asyncio.timeout(10):
        with pytest.raises(EngineCrashed, match="it stopped answering"):
            await worker.ask(Call("media", large))


ORPHAN = """
import asyncio, sys
from pathlib import Path
from inference.engines.messages import Load
from inference.engines.supervisor import Supervisor

async def main():
    worker = Supervisor("model", Path(sys.argv[1]))
    print((await worker.start(Load("tests.inference.programs:Obedient", {})))["pid"], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHAN, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(pid), 5, "the worker ended with its parent")
