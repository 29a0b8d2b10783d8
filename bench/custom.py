"""What the jail adds to a call: the same `run` in it and in this process.

`python -m bench.custom`
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import random
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from inference import jail
from inference.catalogue import ModelCard
from inference.engines.base import Resources
from inference.engines.custom import folder
from inference.engines.custom.engine import CustomEngine
from inference.engines.custom.values import answer, argument
from inference.requests import Media, TaskRequest
from inference.signature import PICTURE

CODE = """
from PIL import Image

def load():
    return str.upper

def run(model, text: str = "", image: Image.Image | None = None):
    return image.size if image else model(text)
"""
PIXELS = 512


def main() -> None:
    """Print both, and the difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    if words := jail.problem():
        raise SystemExit(words)
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(compare(Path(place), calls))


async def compare(place: Path, calls: int) -> None:
    """The same calls, one after the other, here and there in turn."""
    engine = await started(place)
    run, model = in_process(place)
    try:
        columns = ("in process, ms", "in the jail, ms", "added, ms", "added at least, ms")
        print(f"{'input':24}" + "".join(f"{name:>20}" for name in columns))
        for name, inputs in INPUTS.items():
            here, there = [], []
            for _ in range(calls):
                here.append(timed_here(run, model, inputs))
                there.append(await timed_there(engine, inputs))
            one, other = (1000 * statistics.median(each) for each in (here, there))
            # On a busy machine two processes wait for the CPU more often than one does. The least
            # is what is left when neither had to.
            least = 1000 * (min(there) - min(here))
            print(f"{name:24}{one:20.2f}{other:20.2f}{other - one:20.2f}{least:20.2f}")
    finally:
        await engine.stop()


async def started(place: Path) -> CustomEngine:
    """The code in its jail."""
    (place / folder.WHEELS).mkdir()
    (place / folder.CODE).write_text(CODE)
    (place / folder.REQUIREMENTS).write_text("")
    digest = folder.digest_of(CODE, "")
    card = ModelCard("custom/bench", str(place), engine="custom", task="custom", revision=digest)
    engine = CustomEngine(card, Resources(str(place), place / "log", "cpu", ("cpu",), 0, 0, 0))
    await engine.start()
    return engine


def in_process(place: Path) -> tuple[Any, Any]:
    """The same function without any jail."""
    spec = importlib.util.spec_from_file_location("model", place / folder.CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run, module.load()


def timed_here(run: Any, model: Any, inputs: dict[str, Any]) -> float:
    """Seconds, decoding pictures as the jail does."""
    began = time.perf_counter()
    schema = {"contentMediaType": PICTURE}
    answer({}, run(model, **{k: argument(schema, v, k) for k, v in inputs.items()}))
    return time.perf_counter() - began


async def timed_there(engine: CustomEngine, inputs: dict[str, Any]) -> float:
    """Seconds from the request to its answer."""
    began = time.perf_counter()
    request = TaskRequest(model="custom/bench", task="custom", inputs=inputs)
    async with aclosing(engine.generate(await engine.prepare(request))) as outputs:
        async for _ in outputs:
            pass
    return time.perf_counter() - began


def picture() -> Media:
    """A picture that does not compress: as many bytes as it has."""
    from PIL import Image

    into = io.BytesIO()
    data = random.Random(0).randbytes(3 * PIXELS * PIXELS)
    Image.frombytes("RGB", (PIXELS, PIXELS), data).save(into, format="PNG")
    return Media(into.getvalue(), "image/png")


INPUTS: dict[str, dict[str, Any]] = {
    "11 characters": {"text": "hello there"},
    "100,000 characters": {"text": "x" * 100_000},
    f"picture, {PIXELS}x{PIXELS}": {"image": picture()},
}

if __name__ == "__main__":
    main()
