"""Constraints of callers, tried out where they can do no harm before the engine sees them.

An engine compiles them on threads, which nobody can stop. So what is not simple is compiled first
in a child process (`grammar_child.py`) that is killed at the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference.errors import InvalidRequest, QueueFull

GRAMMAR_SECONDS = 5.0
START_SECONDS = 120.0
# How many may wait for the child: it looks at one at a time.
MAX_WAITING = 8
REMEMBERED = 512
# Without these words, JSON schemas of this length compile in milliseconds whatever they say. With a
# large vocabulary, two hundred bounded integers take seconds and as many bounded strings minutes.
SIMPLE_CHARACTERS = 20_000
FEW_CHARACTERS = 2_000
INVOLVED = re.compile(
    r'"(min|max|exclusiveM|pattern|format|propertyNames|\$ref|\$dynamicRef|\$recursiveRef)'
    r'|"(regex|grammar)"'
)
ROOT = Path(__file__).resolve().parents[2]
TOO_LONG = "This structure took longer than {:g} s to compile."


def simple(kind: str, text: str) -> bool:
    """Whether a constraint needs no trial."""
    if kind not in ("json", "structural_tag"):
        return not text
    return len(text) <= SIMPLE_CHARACTERS and INVOLVED.search(text) is None


def kind_and_text(constraint: Any) -> tuple[str, str]:
    """vLLM's constraint as its kind and its text."""
    for kind in ("json", "regex", "grammar", "structural_tag"):
        found = getattr(constraint, kind)
        if found is not None:
            return kind, found if isinstance(found, str) else json.dumps(found)
    if constraint.choice and sum(map(len, constraint.choice)) > FEW_CHARACTERS:
        return as_grammar(constraint.choice)
    # An object, or a few words: nothing to try out.
    return "json_object", ""


def as_grammar(choice: Sequence[str]) -> tuple[str, str]:
    """One of these words, as kind and text."""
    words = " | ".join(json.dumps(word, ensure_ascii=False) for word in choice)
    return "grammar", f"root ::= {words}"


class GrammarTrial:
    """One child process for one model's tokenizer; it starts when first needed."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._child: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._verdicts: OrderedDict[bytes, str] = OrderedDict()

    async def check(self, constraint: Any, field: str) -> None:
        """Raise InvalidRequest for a constraint that does not compile in time."""
        kind, text = kind_and_text(constraint)
        if simple(kind, text):
            return
        key = hashlib.sha256(f"{kind}:{text}".encode()).digest()
        if key not in self._verdicts:
            self._remember(key, await self._tried_in_turn(kind, text))
        if self._verdicts[key]:
            raise InvalidRequest(self._verdicts[key], field)

    def _remember(self, key: bytes, verdict: str) -> None:
        self._verdicts[key] = verdict
        if len(self._verdicts) > REMEMBERED:
            self._verdicts.popitem(last=False)

    async def _tried_in_turn(self, kind: str, text: str) -> str:
        if self._waiting >= MAX_WAITING:
            raise QueueFull("Too many structures are being compiled.", 5)
        self._waiting += 1
        try:
            async with self._lock:
                return await self._tried(kind, text)
        finally:
            self._waiting -= 1

    async def _tried(self, kind: str, text: str) -> str:
        """What is wrong with it; "" for nothing."""
        child = await self._running()
        try:
            async with asyncio.timeout(GRAMMAR_SECONDS):
                return await _ask(child, json.dumps([kind, text])) or ""
        except TimeoutError:
            await self.close()
            return TOO_LONG.format(GRAMMAR_SECONDS)
        except OSError:
            await self.close()
            return "This structure takes too much memory to compile."
        except BaseException:
            # The caller left: the answer that is still to come would be taken for the next one's.
            await self.close()
            raise

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            self._child = await self._started()
        return self._child

    async def _started(self) -> asyncio.subprocess.Process:
        handle, name = tempfile.mkstemp(prefix="llms-tokenizer-")
        os.close(handle)
        file = Path(name)
        try:
            await asyncio.to_thread(self._write_tokenizer, file)
            child = await _spawn(file)
            try:
                async with asyncio.timeout(START_SECONDS):
                    await _answer(child)
            except BaseException:
                await _kill(child)
                raise
            return child
        finally:
            file.unlink(missing_ok=True)

    def _write_tokenizer(self, file: Path) -> None:
        import xgrammar

        try:
            info = xgrammar.TokenizerInfo.from_huggingface(
                self._tokenizer, vocab_size=self._vocabulary
            )
        except ValueError:
            # A tokenizer of another make: letters show the worst that a constraint can do.
            info = xgrammar.TokenizerInfo([chr(i) for i in range(128)])
        file.write_text(info.serialize_json())

    async def close(self) -> None:
        """End the child."""
        if self._child is not None:
            child, self._child = self._child, None
            await _kill(child)


async def _spawn(file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference.engines.grammar_child",
        str(file),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _ask(child: asyncio.subprocess.Process, line: str) -> str | None:
    assert child.stdin is not None
    child.stdin.write(line.encode() + b"\n")
    await child.stdin.drain()
    return await _answer(child)


async def _answer(child: asyncio.subprocess.Process) -> str | None:
    assert child.stdout is not None
    line = await child.stdout.readline()
    if not line:
        raise BrokenPipeError("the child is gone")
    found: str | None = json.loads(line)
    return found


async def _kill(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
