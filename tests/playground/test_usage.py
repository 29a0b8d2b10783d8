"""Meter, spool and recorder, one turn at a time."""

from __future__ import annotations

import asyncio
import json
import resource
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.test import Client

from inference.errors import EngineCrashed, QueueFull
from inference.requests import Output, Usage
from playground.accounts.access import Caller
from playground.accounts.models import UsageRecord
from playground.accounts.usage import Meter, Recorder, metered, recording, spool
from playground.accounts.usage.recording import store
from playground.accounts.usage.spool import Spool

USAGE = Usage(3, 2, 1, 0.5)


def row(**more: Any) -> dict[str, Any]:
    """A finished request of alice's."""
    found = {
        "request_id": uuid.uuid4().hex,
        "when": 1.8e9,
        "account": "ip:192.0.2.1",
        "key_id": 1,
        "model": "echo",
        "kind": "chat",
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "cached_tokens": 0,
        "queue_seconds": 0.0,
        "device_seconds": 0.0,
        "outcome": "finished",
    }
    return found | more


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A recorder whose threads are the test."""
    return Recorder(tmp_path, store)


def meter_of(recorder: Recorder, **more: Any) -> Meter:
    return recorder.meter(uuid.uuid4().hex, Caller("user:1", 1), "echo", "chat", **more)


class Answering:
    """A service's stream of these outputs, with a failure at the end if one is given."""

    device_seconds = 0.25

    def __init__(self, outputs: list[Output], failure: Exception | None = None) -> None:
        self.closed = False
        self._outputs = self._all(outputs, failure)

    async def _all(
        self, outputs: list[Output], failure: Exception | None
    ) -> AsyncGenerator[Output, None]:
        for output in outputs:
            yield output
        if failure is not None:
            raise failure

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    async def aclose(self) -> None:
        self.closed = True
        await self._outputs.aclose()


async def opened(stream: Answering | Exception) -> Answering:
    """What `service.generate` does."""
    if isinstance(stream, Exception):
        raise stream
    return stream


def pieces(count: int, usage: Usage | None = None, index: int = 0) -> list[Output]:
    """One token each; the first tells the prompt, the last what all of it cost."""
    found = [Output("x", (i,), index) for i in range(count)]
    found[0].prompt_token_ids = range(3)
    found[-1].usage = usage
    return found


async def read(meter: Meter, stream: Answering | Exception, count: int = 1000) -> dict[str, Any]:
    """The record after so many outputs were read."""
    async with aclosing(await metered(opened(stream), meter)) as outputs:
        async for _ in outputs:
            count -= 1
            if not count:
                break
    return meter.row()


async def test_a_finished_answer_costs_what_the_engine_says(recorder: Recorder) -> None:
    found = await read(meter_of(recorder), Answering(pieces(2, USAGE)))
    assert (found["prompt_tokens"], found["completion_tokens"], found["cached_tokens"]) == (3, 2, 1)
    assert (found["outcome"], found["queue_seconds"]) == ("finished", 0.5)


async def test_an_answer_cut_short_costs_what_was_read(recorder: Recorder) -> None:
    stream = Answering(pieces(9, USAGE))
    found = await read(meter_of(recorder), stream, count=4)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (3, 4)
    assert found["outcome"] == "cancelled" and stream.closed


async def test_an_answer_left_after_its_last_token_is_finished(recorder: Recorder) -> None:
    found = await read(meter_of(recorder), Answering(pieces(2, USAGE)), count=2)
    assert found["outcome"] == "finished"


async def test_a_stream_that_nobody_reads_is_cancelled(recorder: Recorder) -> None:
    meter, stream = meter_of(recorder), Answering(pieces(2, USAGE))
    await (await metered(opened(stream), meter)).aclose()
    assert meter.row()["outcome"] == "cancelled" and stream.closed


@pytest.mark.parametrize(
    ("stream", "outcome", "tokens"),
    [
        (QueueFull("full"), "refused", 0),
        (EngineCrashed("gone"), "failed", 0),
        (ValueError("a fault of ours"), "failed", 0),
        (Answering(pieces(2), EngineCrashed("gone")), "failed", 2),
    ],
    ids=["refused", "crashed before", "unexpected", "crashed after two tokens"],
)
async def test_what_fails_says_how(
    recorder: Recorder, stream: Any, outcome: str, tokens: int
) -> None:
    meter = meter_of(recorder)
    with pytest.raises((QueueFull, EngineCrashed, ValueError)):
        await read(meter, stream)
    assert (meter.row()["outcome"], meter.row()["completion_tokens"]) == (outcome, tokens)


async def test_a_caller_cancelled_while_waiting_is_one_record(recorder: Recorder) -> None:
    async def for_ever() -> Answering:
        await asyncio.Event().wait()
        raise AssertionError

    meter = meter_of(recorder)
    task = asyncio.create_task(metered(for_ever(), meter))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert meter.row()["outcome"] == "cancelled"
    assert len(recorder._ended) == 1 and not recorder._running


async def test_of_several_prompts_each_counts_once(recorder: Recorder) -> None:
    first, second = pieces(2, USAGE), pieces(3, Usage(5, 3), index=2)
    found = await read(meter_of(recorder, questions=2, n=2), Answering([*first, *second]))
    assert (found["prompt_tokens"], found["completion_tokens"]) == (8, 5)
    twins = [*pieces(1, index=0), *pieces(1, index=1), *pieces(2, index=2)]
    found = await read(meter_of(recorder, questions=2, n=2), Answering(twins), count=3)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (6, 3)


def test_rows_are_settled_once_and_the_spool_is_empty(recorder: Recorder, db: None) -> None:
    meters = [meter_of(recorder) for _ in range(3)]
    for meter in meters:
        meter.begin()
        meter.end(None)
        meter.end(EngineCrashed("a second end"))
    recorder.flush()
    copies = [path.read_bytes() for path in recorder._spool.waiting()]
    assert recorder.settle()
    assert UsageRecord.objects.filter(outcome="finished").count() == 3
    # As after a kill between the insert and the removal of the file.
    (recorder._spool.root / "dead").mkdir()
    (recorder._spool.root / "dead" / "00000001.jsonl").write_bytes(b"".join(copies))
    assert recorder.settle()
    assert UsageRecord.objects.count() == 3
    recorder._spool.close()
    assert list(recorder._spool.root.iterdir()) == []


def test_what_a_request_cost_in_the_end_goes_before_what_was_noted(
    recorder: Recorder, db: None
) -> None:
    dead, mine = recorder._spool.root / "dead", row()
    dead.mkdir()
    other = row(outcome="lost", completion_tokens=7)
    (dead / "00000001.jsonl").write_text(f"{json.dumps(mine)}\n")
    noted = [mine | {"outcome": "lost", "completion_tokens": 1}, other]
    (dead / "running.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in noted))
    assert recorder.settle()
    found = dict(UsageRecord.objects.values_list("outcome", "completion_tokens"))
    assert found == {"finished": 2, "lost": 7}


def test_a_running_request_is_noted_and_forgotten(recorder: Recorder) -> None:
    meter = meter_of(recorder)
    meter.begin()
    meter.read = 5
    recorder.flush()
    [noted] = recorder._spool.root.rglob("running.jsonl")
    assert spool.read(noted)[0]["completion_tokens"] == 5
    meter.end(None)
    recorder.flush()
    assert spool.read(noted) == []


def test_rows_wait_for_the_database(tmp_path: Path) -> None:
    down = True
    taken: list[Any] = []

    def take(rows: Any) -> None:
        if down:
            raise OperationalError("database is locked")
        taken.extend(rows)

    recorder = Recorder(tmp_path, take)
    for _ in range(3):
        meter = meter_of(recorder)
        meter.end(None)
        recorder.flush()
        assert not recorder.settle()
    assert len(list(tmp_path.rglob("*.jsonl"))) <= 2
    down = False
    assert recorder.settle()
    assert len(taken) == 3 and not list(tmp_path.rglob("*.jsonl"))


def test_rows_that_the_database_refuses_hold_up_no_others(tmp_path: Path) -> None:
    taken: list[Any] = []

    def take(rows: Any) -> None:
        if rows[0]["model"] == "odd":
            raise DataError("value too long")
        taken.extend(rows)

    recorder = Recorder(tmp_path, take)
    for model in ("odd", "echo"):
        recorder._spool.append([row(model=model)])
        recorder._spool._seal()
    assert recorder.settle()
    assert [each["model"] for each in taken] == ["echo"]
    [aside] = tmp_path.glob("*.refused")
    assert spool.read(aside)[0]["model"] == "odd"


def test_a_row_of_an_older_version_lacks_a_column(db: None) -> None:
    old = row()
    del old["device_seconds"], old["key_id"]
    store([old])
    assert UsageRecord.objects.get().device_seconds == 0.0


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A disk with so little room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_half_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_KEPT", 5)
    taken: list[Any] = []
    recorder = Recorder(tmp_path, taken.extend)
    recorder._spool.append([row()])
    [file] = tmp_path.rglob("*.jsonl")
    size = file.stat().st_size
    with no_file_above(size + 100):
        for _ in range(4):
            meter_of(recorder).end(None)
            recorder.flush()
        assert file.stat().st_size == size
    recorder.flush()
    assert recorder.settle()
    assert len(taken) == 5 and recorder.lost == 0


def test_memory_is_bounded_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "MAX_KEPT", 5)
    (tmp_path / "usage").write_text("where the folder should be")
    recorder = Recorder(tmp_path / "usage", lambda rows: None)
    for _ in range(4):
        for _ in range(3):
            meter_of(recorder).end(None)
        recorder.flush()
    assert len(recorder._kept) == 5 and recorder.lost == 7
    assert caplog.text.count("cannot be written") == 1


def test_a_damaged_line_costs_one_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(f'{json.dumps(row())}\n{{"request_id": "ab\n[1]\n{json.dumps(row())}\n')
    assert len(spool.read(file)) == 2
    assert caplog.text.count("is damaged; one") == 2


def test_a_living_process_keeps_its_folder(tmp_path: Path) -> None:
    mine, other = Spool(tmp_path), Spool(tmp_path)
    mine.append([row()])
    other.append([row()])
    assert list(mine.abandoned()) == list(other.abandoned()) == []
    other.close()
    assert [len(spool.files(folder)) for folder in mine.abandoned()] == [1]


def test_a_full_file_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_FILE_BYTES", 600)
    mine = Spool(tmp_path)
    for _ in range(10):
        mine.append([row()])
    assert 2 < len(mine.waiting()) < 10


def test_staff_look_at_records_and_change_nothing(staff: Client) -> None:
    store([row(model="<script>alert(1)</script>")])
    page = staff.get("/admin/accounts/usagerecord/")
    assert page.status_code == 200 and "ip:192.0.2.1" in page.text
    assert "<script>alert(1)" not in page.text
    record = UsageRecord.objects.get()
    assert staff.get(f"/admin/accounts/usagerecord/{record.pk}/change/").status_code == 200
    assert staff.get("/admin/accounts/usagerecord/add/").status_code == 403
    gone = staff.post(f"/admin/accounts/usagerecord/{record.pk}/delete/", {"post": "yes"})
    assert gone.status_code == 403 and UsageRecord.objects.exists()
