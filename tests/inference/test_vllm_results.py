"""Tokens that go the short way say what vLLM's own way would have made of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from inference.engines.vllm_results import Collector, Fault
from inference.requests import Bypass, Output
from tests.inference.core import Engine, read

pytestmark = pytest.mark.engine
TEXT = "The café on Straße 7 sells 你好 and 🦙🦙: naïve, isn't it?"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.mark.parametrize("every", [1, 3, 1000])
async def test_the_text_is_the_same_however_late_it_is_read(engine: Engine, every: int) -> None:
    ids = engine.tokenizer.encode(TEXT, add_special_tokens=False)
    results = engine.results()
    theirs, _ = engine.asked("theirs")
    given, params = engine.asked("ours")
    ours = results.collector(given, params)
    assert isinstance(ours, Collector)
    found, expected = [], []
    for place, token_id in enumerate(ids):
        for name in ("theirs", "ours"):
            engine.says(name, [token_id], ends=place == len(ids) - 1)
        if place % every == 0:
            found.append(read(ours))
            expected.append(read(theirs))
    found.append(read(ours))
    expected.append(read(theirs))
    assert found == expected
    assert "".join(text for text, _ in found).strip() == TEXT
    results.forget(ours)
    assert not results.are_awaited


async def test_first_and_last_are_read_by_vllm_and_several_tokens_are_one_piece(
    engine: Engine,
) -> None:
    ids = engine.tokenizer.encode(TEXT, add_special_tokens=False)
    given, params = engine.asked("steps")
    engine.says("steps", ids[:1])
    # It had spoken before anybody was told where to listen.
    ours = engine.results().collector(given, params)
    engine.says("steps", ids[1:4])
    engine.says("steps", ids[4:5])
    engine.says("steps", ids[5:6], ends=True)
    kinds = [ours.get_nowait() for _ in range(3)]
    assert [isinstance(kind, Output) for kind in kinds] == [False, True, False]
    assert list(kinds[1].token_ids) == ids[1:5]
    assert not kinds[0].finished and kinds[2].finished
    assert ours.get_nowait() is None


async def test_who_wants_tokens_together_is_woken_for_so_many_or_for_the_end(
    engine: Engine,
) -> None:
    given, params = engine.asked("together")
    ours = engine.results().collector(given, params, 4)
    engine.says("together", [5])
    assert not ours.get_nowait().finished
    pieces = asyncio.create_task(read_all(ours))
    await asyncio.sleep(0)
    for token_id in (5, 6, 7):
        engine.says("together", [token_id])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not pieces.done()
    for token_id in (8, 9, 10):
        engine.says("together", [token_id])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    engine.says("together", [11], ends=True)
    assert await pieces == [[5, 6, 7, 8], [9, 10], [11]]


async def test_tokens_go_straight_to_the_sink_while_their_reader_waits(engine: Engine) -> None:
    given, params = engine.asked("straight")
    ours = engine.results().collector(given, params)
    taken: list[list[int]] = []
    has_room = True

    def sink(output: Output) -> bool:
        taken.append(list(output.token_ids))
        return has_room

    engine.says("straight", [5])
    ours.bypass = Bypass(sink)
    # The first is unread: nothing overtakes it.
    engine.says("straight", [6])
    assert not ours.get_nowait().finished
    assert list(ours.get_nowait().token_ids) == [6]
    waiting = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("straight", [7])
    assert taken == [[7]] and not waiting.done()
    # The one that fills the sink is taken; those behind it go by way of the reader.
    has_room = False
    engine.says("straight", [8])
    engine.says("straight", [9])
    engine.says("straight", [10])
    assert taken == [[7], [8]]
    assert list((await waiting).token_ids) == [9, 10]
    # Who comes back for more has seen to it that there is room.
    has_room = True
    waiting = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("straight", [11])
    engine.says("straight", [12], ends=True)
    assert taken == [[7], [8], [11]]
    assert (await waiting).finished


@pytest.mark.parametrize("seed", range(40))
async def test_every_token_arrives_once_and_in_order_whichever_way_it_takes(
    engine: Engine, seed: int
) -> None:
    chance = random.Random(seed)
    given, params = engine.asked(f"chance-{seed}")
    results = engine.results(listens=True)
    ours = results.collector(given, params)
    line: list[int] = []
    room = asyncio.Event()
    straight = overfull = 0

    def write(token_ids: Sequence[int]) -> bool:
        line.extend(token_ids)
        if chance.random() < 0.2:
            room.clear()
        return room.is_set()

    def sink(output: Output) -> bool:
        nonlocal straight, overfull
        straight += 1
        overfull += not room.is_set()
        return write(output.token_ids)

    async def read_on() -> None:
        while True:
            result = ours.get_nowait() or await ours.get()
            piece = result if isinstance(result, Output) else result.outputs[0]
            ours.bypass = Bypass(sink)
            if not write(piece.token_ids):
                await room.wait()
            if piece is not result and result.finished:
                return

    room.set()
    reading = asyncio.create_task(read_on())
    sent = [chance.randrange(3, 200) for _ in range(150)]
    handed: list[list[Any]] = []
    for place, token_id in enumerate(sent):
        step = engine.step(f"chance-{seed}", [token_id], ends=place == len(sent) - 1)
        handed.append(results.hear(step))
        # vLLM's handler, and then the reader, come when they come.
        while handed and (chance.random() < 0.7 or place == len(sent) - 1):
            engine.output_processor.process_outputs(handed.pop(0), 0.0, None)
        for _ in range(chance.choice((0, 0, 1, 2))):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            room.set()
    while not reading.done():
        room.set()
        await asyncio.sleep(0)
    assert line == sent
    assert straight > 10 and not overfull


async def test_a_sink_gets_nothing_before_what_is_gathered_for_the_reader(engine: Engine) -> None:
    given, params = engine.asked("gathered")
    ours = engine.results().collector(given, params, 4)
    engine.says("gathered", [5])
    assert not ours.get_nowait().finished
    waiting = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("gathered", [6])
    taken: list[Output] = []

    def sink(output: Output) -> bool:
        taken.append(output)
        return True

    ours.bypass = Bypass(sink)
    for token_id in (7, 8, 9):
        engine.says("gathered", [token_id])
    assert not taken
    assert list((await waiting).token_ids) == [6, 7, 8, 9]


async def test_what_goes_wrong_in_a_sink_is_told_to_the_reader_of_that_answer(
    engine: Engine,
) -> None:
    given, params = engine.asked("wrong")
    ours = engine.results().collector(given, params)

    def sink(output: Output) -> bool:
        raise KeyError("wrong")

    engine.says("wrong", [5])
    assert not ours.get_nowait().finished
    ours.bypass = Bypass(sink)
    waiting = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("wrong", [6])
    found = await waiting
    assert isinstance(found, Fault) and isinstance(found.error, KeyError)


async def read_all(collector: Any) -> list[list[int]]:
    """The tokens of each result up to the end."""
    found = []
    while True:
        result = collector.get_nowait() or await collector.get()
        piece = result if isinstance(result, Output) else result.outputs[0]
        found.append(list(piece.token_ids))
        if piece is not result and result.finished:
            return found


SPECIAL: list[dict[str, Any]] = [
    {"stop": ["x"]},
    {"logprobs": 1},
    {"detokenize": False},
    {"stream_interval": 2},
]


@pytest.mark.parametrize("asked", SPECIAL)
def test_what_is_more_than_text_stays_with_vllm(engine: Engine, asked: dict[str, Any]) -> None:
    given, params = engine.asked(f"more-{next(iter(asked))}", **asked)
    assert engine.results().collector(given, params) is given


def test_a_request_that_is_over_already_keeps_what_it_was_given(engine: Engine) -> None:
    given, params = engine.asked("short")
    engine.says("short", [5], ends=True)
    collector = engine.results().collector(given, params)
    assert collector is given
    assert collector.get_nowait().finished


async def test_who_waits_is_woken_and_hears_of_the_end_of_the_engine(engine: Engine) -> None:
    given, params = engine.asked("waits")
    results = engine.results()
    before = results.heard
    ours = results.collector(given, params)
    first = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("waits", [5])
    assert not (await first).finished
    assert results.heard > before
    second = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    engine.says("waits", [6])
    engine.output_processor.propagate_error(RuntimeError("gone"))
    # Nothing that was said before is lost.
    assert list((await second).token_ids) == [6]
    with pytest.raises(RuntimeError, match="gone"):
        await ours.get()


async def test_who_gave_up_waiting_takes_nothing_with_it(engine: Engine) -> None:
    given, params = engine.asked("leaves")
    ours = engine.results().collector(given, params)
    waiting = asyncio.create_task(ours.get())
    await asyncio.sleep(0)
    waiting.cancel()
    engine.says("leaves", [5])
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ours.get_nowait() is not None


async def test_a_first_token_is_read_before_those_of_its_step_that_go_on(engine: Engine) -> None:
    results = engine.results(listens=True)
    going, leaving, coming = [
        results.collector(*engine.asked(name)) for name in ("going", "leaving", "coming")
    ]
    said: list[list[int]] = []

    def sink(output: Output) -> bool:
        said.append(list(output.token_ids))
        return True

    for collector, name in ((going, "going"), (leaving, "leaving")):
        engine.output_processor.process_outputs(results.hear(engine.step(name, [5])), 0.0, None)
        assert collector.get_nowait() is not None
        collector.bypass = Bypass(sink)
    waits = [asyncio.create_task(each.get()) for each in (going, leaving, coming)]
    await asyncio.sleep(0)
    both = [*engine.step("going", [6]), *engine.step("leaving", [7]), *engine.step("coming", [8])]
    others = results.hear(both)
    assert [each.request_id for each in others] == ["coming"] and not said
    engine.output_processor.process_outputs(others, 0.0, None)
    assert (await waits[2]).outputs[0].token_ids == [8] and not said
    # Who has left meanwhile gets nothing more; the others get theirs before the next step's.
    results.forget(leaving)
    results.hear(engine.step("going", [9]))
    assert said == [[6], [9]]
    for _ in range(10):
        await asyncio.sleep(0)
    assert said == [[6], [9]]
    # Nor does it take another step.
    late = results.collector(*engine.asked("late"))
    results.hear([*engine.step("going", [10]), *engine.step("late", [11])])
    assert said == [[6], [9]]
    for _ in range(10):
        await asyncio.sleep(0)
    assert said == [[6], [9], [10]]
    for task in waits:
        task.cancel()
    results.forget(late)


@pytest.mark.parametrize("beside", [[], ["coming"]], ids=["at once", "put off"])
async def test_tokens_that_cannot_be_decoded_end_their_own_answer_alone(
    engine: Engine, beside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(token_id: int) -> str:
        raise RuntimeError("no such token")

    results = engine.results(listens=True)
    names = ["broken", "sound", *beside]
    found = {name: results.collector(*engine.asked(f"{name}-{len(names)}")) for name in names}
    for name in names[:2]:
        step = engine.step(found[name].request_id, [5])
        engine.output_processor.process_outputs(results.hear(step), 0.0, None)
        assert found[name].get_nowait() is not None
    monkeypatch.setattr(found["broken"]._decoder, "decode_next", fails)
    results.hear([each for name in names for each in engine.step(found[name].request_id, [6])])
    for _ in range(10):
        await asyncio.sleep(0)
    fault = found["broken"].get_nowait()
    assert isinstance(fault, Fault) and str(fault.error) == "no such token"
    assert read(found["sound"])[1] == [6]
    for collector in found.values():
        results.forget(collector)


async def test_no_token_overtakes_what_vllm_has_not_read(engine: Engine) -> None:
    given, params = engine.asked("ordered")
    results = engine.results(listens=True)
    ours = results.collector(given, params)
    steps = [engine.step("ordered", [token_id]) for token_id in (5, 6, 7, 8)]
    # Two steps come before vLLM's handler has its turn; the third comes between its two.
    late = [results.hear(step) for step in steps[:2]]
    assert late == steps[:2]
    engine.output_processor.process_outputs(late[0], 0.0, None)
    late.append(results.hear(steps[2]))
    for outputs in late[1:]:
        engine.output_processor.process_outputs(outputs, 0.0, None)
    assert results.hear(steps[3]) == []
    assert read(ours)[1] == [5, 6, 7, 8]
