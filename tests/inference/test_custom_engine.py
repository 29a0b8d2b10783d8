"""Somebody's code in the jail: what it can do for a caller, and what it cannot do to others."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from inference.catalogue import ModelCard
from inference.engines.base import Engine, Resources, make_engine
from inference.engines.custom import engine as room
from inference.engines.custom import folder
from inference.engines.custom.watch import taken
from inference.errors import CustomCodeFailed, CustomLoadFailed, InvalidRequest, LoadFailed
from inference.jail import Limits
from inference.requests import GenerateRequest, Media, Message, Output, SamplingParams, TaskRequest

pytestmark = pytest.mark.jail
LIMITS = Limits(memory_bytes=2**29, output_bytes=2**20, processes=24, seconds=60, load_seconds=60)
Start = Callable[..., Awaitable[Engine]]

# One jail for many tests: what the call asks for is what the code does.
DOES = """
import os, sys, time, threading, mmap
from typing import Literal
from PIL import Image
import numpy as np

def load():
    print("loading")
    return {"calls": 0}

def run(model, what, image: Image.Image | None = None, sound: np.ndarray | None = None,
        count: int = 0, mode: Literal["a", "b"] = "a"):
    model["calls"] += 1
    if what == "count":
        return model["calls"]
    if what == "flip":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if what == "loud":
        return {"loudest": float(np.abs(sound).max()), "samples": len(sound)}
    if what == "raise":
        raise KeyError("words of its own")
    if what == "type":
        return object()
    if what == "exit":
        os._exit(3)
    if what == "segfault":
        import ctypes
        ctypes.string_at(0)
    if what == "loop":
        while True:
            pass
    if what == "allocate":
        return len(bytearray(100 * 10**9))
    if what == "share":
        block = mmap.mmap(-1, 2**30)
        for i in range(0, 2**30, 4096):
            block[i] = 1
        time.sleep(60)
    if what == "bomb":
        while True:
            os.fork()
    if what == "much":
        return "x" * 10**8
    if what == "print":
        while True:
            print("x" * 10**6, flush=True)
    if what == "leave":
        threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    return what
"""
CHAT = """
import time
def load():
    return "model"

def run(model, messages: list, temperature: float = 1.0):
    last = messages[-1]["content"]
    if last == "raise":
        yield "so far "
        raise ValueError("no further")
    if last == "number":
        yield 5
    if last == "ever":
        while True:
            yield "x" * 10_000
    if last == "slow":
        yield "first"
        time.sleep(600)
    for word in last.split():
        yield f"{word}@{temperature} "
"""


def submitted(into: Path, code: str) -> tuple[Path, str]:
    """A folder as an approval makes it, and its hash."""
    (into / folder.WHEELS).mkdir(exist_ok=True)
    (into / folder.CODE).write_text(code)
    (into / folder.REQUIREMENTS).write_text("")
    return into, folder.digest_of(code, "")


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Engine] = []

    async def begin(code: str, limits: Limits = LIMITS, digest: str = "") -> Engine:
        source, found = submitted(tmp_path, code)
        card = ModelCard("custom/x", str(source), engine="custom", revision=digest or found)
        log = tmp_path / "engine.log"
        # It may sleep for longer than other models.
        resources = Resources(
            str(source), log, "cpu", ("cpu",), 0, 0, 0, limits=limits, hang_seconds=0.5
        )
        engine = make_engine(card, resources)
        started.append(engine)
        await engine.start()
        return engine

    yield begin
    for engine in started:
        await engine.stop()


async def answer(engine: Engine, inputs: Any, **parameters: Any) -> Any:
    asked = TaskRequest(model="custom/x", task="custom", inputs=inputs, parameters=parameters)
    outputs = await collected(engine, asked)
    return outputs[-1].data


async def collected(engine: Engine, asked: Any) -> list[Output]:
    prepared = await engine.prepare(asked)
    async with aclosing(engine.generate(prepared)) as outputs:
        return [output async for output in outputs]


def chat(text: str, **sampling: Any) -> GenerateRequest:
    messages = (Message("user", text),)
    return GenerateRequest(model="x", messages=messages, sampling=SamplingParams(**sampling))


def png(width: int = 2) -> Media:
    into = io.BytesIO()
    image = Image.new("RGB", (width, 1), "white")
    image.putpixel((0, 0), (255, 0, 0))
    image.save(into, format="PNG")
    return Media(into.getvalue(), "image/png")


def wav() -> Media:
    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\x00\x40" * 2 * 800)
    return Media(into.getvalue(), "audio/wav")


async def test_values_go_in_and_come_out(start: Start) -> None:
    engine = await start(DOES)
    assert await answer(engine, {"what": "hello"}) == "hello"
    assert await answer(engine, [1, {"a": None}]) == [1, {"a": None}]
    flipped = await answer(engine, "flip", image=png())
    with Image.open(io.BytesIO(flipped.data)) as image:
        assert flipped.content_type == "image/png" and image.getpixel((1, 0)) == (255, 0, 0)
    assert await answer(engine, "loud", sound=wav()) == {"loudest": 0.5, "samples": 1600}
    with pytest.raises(InvalidRequest) as refused:
        await answer(engine, "x", count="three")
    assert refused.value.param == "parameters.count"
    with pytest.raises(InvalidRequest, match="picture could not be read"):
        await answer(engine, "flip", image=Media(b"no picture", "image/png"))


async def test_failures_belong_to_their_calls(start: Start, tmp_path: Path) -> None:
    """C4, where the process lives on."""
    engine = await start(DOES)
    with pytest.raises(CustomCodeFailed, match="KeyError") as failed:
        await answer(engine, "raise")
    assert 'raise KeyError("words of its own")' in failed.value.trace
    assert 'raise KeyError("words of its own")' not in failed.value.message
    assert folder.last_error(tmp_path) == failed.value.trace
    with pytest.raises(CustomCodeFailed, match="the type object"):
        await answer(engine, "type")
    assert await answer(engine, "count") == 3


@pytest.mark.parametrize(
    ("what", "limits", "said"),
    [
        ("exit", LIMITS, "status 3"),
        ("segfault", LIMITS, "is gone"),
        ("loop", replace(LIMITS, seconds=1), "longer than 1 s"),
        ("allocate", LIMITS, "more memory"),
        ("share", LIMITS, "bytes of memory"),
        ("bomb", LIMITS, "BlockingIOError|is gone"),
        ("much", LIMITS, "bytes"),
        ("print", LIMITS, "printed more"),
    ],
)
async def test_what_goes_too_far_is_stopped(
    start: Start, tmp_path: Path, what: str, limits: Limits, said: str
) -> None:
    """C3, and C4 where the process ends."""
    engine = await start(DOES, limits)
    with pytest.raises(CustomCodeFailed, match=said):
        await answer(engine, what)
    assert folder.last_error(tmp_path)
    if what != "bomb":
        assert await asyncio.wait_for(engine.died(), 30)


async def test_nothing_computes_when_nobody_asked(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "IDLE_CPU_SECONDS", 0.3)
    engine = await start(DOES)
    assert await answer(engine, "leave") == "leave"
    assert "nobody had asked" in await asyncio.wait_for(engine.died(), 60)


async def test_whoever_leaves_does_not_cost_the_next_one_its_time(start: Start) -> None:
    engine = await start(DOES, replace(LIMITS, seconds=3))
    left = asyncio.create_task(answer(engine, "loop"))
    pid = engine._worker.process_id  # type: ignore[attr-defined]
    before = taken(pid).cpu_seconds
    while taken(pid).cpu_seconds < before + 0.2:
        await asyncio.sleep(0.01)
    left.cancel()
    # The loop cannot be called back: it is ended at its limit, and the caller after it is told.
    with pytest.raises(CustomCodeFailed):
        await answer(engine, "next")
    assert "ran on after its caller" in await asyncio.wait_for(engine.died(), 30)


async def test_an_iterator_of_strings_is_a_chat(start: Start) -> None:
    engine = await start(CHAT)
    said = await collected(engine, chat("good day", temperature=0.5))
    assert [each.text for each in said] == ["good@0.5 ", "day@0.5 ", ""]
    usage = said[-1].usage
    assert usage and (usage.prompt_tokens, usage.completion_tokens) == (2, 2)
    cut = await collected(engine, chat("one two three", max_tokens=2))
    assert len(cut) == 3 and cut[-1].finish_reason == "length"
    with pytest.raises(InvalidRequest) as refused:
        await engine.prepare(chat("x", top_p=0.5))
    assert refused.value.param == "top_p"
    for word, why in (("raise", "ValueError"), ("number", "not a string")):
        with pytest.raises(CustomCodeFailed, match=why):
            await collected(engine, chat(word))
    assert len(await collected(engine, chat("still here"))) == 3


@pytest.mark.parametrize(("word", "said"), [("ever", "bytes"), ("slow", "longer than 2 s")])
async def test_a_chat_that_does_not_end_is_stopped(start: Start, word: str, said: str) -> None:
    engine = await start(CHAT, replace(LIMITS, seconds=2))
    with pytest.raises(CustomCodeFailed, match=said):
        await collected(engine, chat(word))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def load():\n    raise OSError('no weights')\ndef run(model, x): pass", "no weights"),
        ("import time\ndef load():\n    time.sleep(600)\ndef run(model, x): pass", "longer than"),
        ("import os\nos._exit(4)", "status 4"),
        ("def run(model, x): pass", "no function `load`"),
        ("def load(: pass", "SyntaxError"),
        ("def load(): pass\nasync def run(model, x): pass", "async"),
    ],
)
async def test_a_load_that_fails_says_why(
    start: Start, tmp_path: Path, code: str, said: str
) -> None:
    with pytest.raises(CustomLoadFailed, match=said):
        await start(code, replace(LIMITS, load_seconds=20 if "sleep" not in code else 3))
    assert folder.last_error(tmp_path)


async def test_changed_code_does_not_load(start: Start) -> None:
    with pytest.raises(LoadFailed, match="the hash differs"):
        await start(DOES, digest=folder.digest_of(DOES, "numpy==1"))
