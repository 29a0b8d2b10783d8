"""Prompts of a language model in its child: chat templates, which are anybody's code, and tokens.

A template is a program that came with the weights. It is tried out at load in a process of its own,
with bounds on time and memory; later a timer stops one that does not come to an end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.errors import InvalidRequest, LoadFailed

# Of CPU: on a busy machine an honest template may take any time.
TEMPLATE_SECONDS = 5
TRIAL_SECONDS = 120.0
TEMPLATE_BYTES = 2**30
MAX_CHARACTERS = 20_000_000
ENDLESS = "Its chat template does not come to an end."
GROWING = "Its chat template grows without bound."
SAMPLE = ({"role": "user", "content": "Hello"},)
MARK = "Is this read"


class TookTooLong(BaseException):
    """Raised in the thread of a template whose time is up; templates cannot catch it."""


class Prompts:
    """Reads prompts with one tokenizer, on one thread.

    `template` is that of the model's processor, where it has one of its own.
    """

    def __init__(self, tokenizer: Any, template: str | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = template
        # Whether its template reads messages as lists of parts, among which pictures have a place.
        self.in_parts = False

    @property
    def has_template(self) -> bool:
        """Whether the model can be chatted with."""
        return bool(self._template or getattr(self._tokenizer, "chat_template", None))

    def chat(self, messages: Sequence[Any], tools: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """A conversation as text. Raises InvalidRequest; LoadFailed ends the model."""
        if not self.has_template:
            raise InvalidRequest("This model has no chat template; use completions.", "messages")
        try:
            with _stopped_after(TEMPLATE_SECONDS):
                return self._render(messages, tools, kwargs)
        except TookTooLong:
            raise LoadFailed(ENDLESS) from None
        except Exception as error:  # whatever a template raises
            raise InvalidRequest(" ".join(str(error).split())[:500], "messages") from error

    def _render(
        self, messages: Sequence[Any], tools: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str:
        given: dict[str, Any] = {"add_generation_prompt": True, **kwargs}
        said = [_as_templates_expect(message, self.in_parts) for message in messages]
        text: str = self._tokenizer.apply_chat_template(
            said,
            tools=list(tools) or None,
            chat_template=self._template,
            tokenize=False,
            **given,
        )
        return text

    def look_for_parts(self) -> None:
        """Find out whether messages may be given in parts; only after `try_out`."""
        self.in_parts = True
        try:
            text = self.chat([{"role": "user", "content": MARK}], (), {})
        except InvalidRequest:
            text = ""
        # One that takes a list for a text writes it down as Python does.
        self.in_parts = MARK in text and "'type'" not in text

    def tokens(self, text: str, special: bool) -> list[int]:
        """The tokens of a text, with the special ones round it or without."""
        found: list[int] = self._tokenizer(text, add_special_tokens=special)["input_ids"]
        return found

    def text(self, ids: Sequence[int]) -> str:
        """The text of some tokens, special ones too."""
        text: str = self._tokenizer.decode(list(ids))
        return text

    def strings(self, ids: Sequence[int]) -> list[str]:
        """Each token as the vocabulary has it."""
        found: list[str] = self._tokenizer.convert_ids_to_tokens(list(ids))
        return found

    def try_out(self) -> None:
        """Render a small conversation in a fork of this process. Raises LoadFailed."""
        if not self.has_template:
            return
        pid = os.fork()
        if pid == 0:
            os._exit(self._tried())
        status = _waited(pid, TRIAL_SECONDS)
        if status is None or (status < 0 and -status in (signal.SIGXCPU, signal.SIGKILL)):
            raise LoadFailed(ENDLESS)
        if status:
            raise LoadFailed(GROWING)

    def _tried(self) -> int:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = used + TEMPLATE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        spent = int(time.process_time()) + TEMPLATE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (spent, spent + 1))
        try:
            return int(len(self._render(SAMPLE, (), {})) > MAX_CHARACTERS)
        except (MemoryError, OverflowError):
            return 1
        except Exception:  # it may want another conversation; a real one will show
            return 0


def _waited(pid: int, seconds: float) -> int | None:
    """How a child ended; one that has not by then is killed (None)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


@contextlib.contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise TookTooLong in this thread once it has worked for so long.

    Python code cannot be stopped in any other way.
    """
    thread, over = threading.get_ident(), threading.Event()
    clock = time.pthread_getcpuclockid(thread)
    end = time.clock_gettime(clock) + seconds

    def watch() -> None:
        left = seconds
        while left > 0:
            if over.wait(left):
                return
            left = end - time.clock_gettime(clock)
        raised = ctypes.py_object(TookTooLong)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)

    watcher = threading.Thread(target=watch, name="template", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        # Whoever raises has raised by then, inside the caller's `try`.
        watcher.join()


def _as_templates_expect(message: Mapping[str, Any], in_parts: bool) -> dict[str, Any]:
    """Content as text or in parts, as the template has it; the arguments of calls as objects."""
    found = dict(message)
    content = found.get("content")
    if in_parts:
        text = [{"type": "text", "text": content}] if content else []
        found["content"] = content if isinstance(content, list) else text
    elif isinstance(content, list):
        found["content"] = "\n".join(str(part.get("text", "")) for part in content)
    if found.get("tool_calls"):
        found["tool_calls"] = [_call(call) for call in found["tool_calls"]]
    return found


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"] or "{}")
        except ValueError as error:
            raise InvalidRequest("A tool call's arguments are no JSON.", "messages") from error
    return {**call, "function": function}
