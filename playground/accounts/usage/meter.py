"""Counting what one request costs, whatever becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, Protocol

from inference import Answer
from inference.errors import Refused, RequestError
from inference.requests import Bypass, Output, Usage
from playground.errors import BadKey

from ..access import Caller
from ..models import UsageRecord
from ..quotas import Claim

Outcome = UsageRecord.Outcome
SHUT_OUT = "The key, or the account that it belongs to, was ended meanwhile."


class Stream(Protocol):
    """A stream of answers: what `service.generate` returns."""

    @property
    def device_seconds(self) -> float:
        """What it has cost until now, in seconds of a device."""

    def __aiter__(self) -> AsyncIterator[Output]: ...

    async def aclose(self) -> None:
        """Stop and free the place."""


class Register(Protocol):
    """Who is told that a request begins and ends."""

    def begin(self, meter: Meter) -> None: ...

    def end(self, meter: Meter) -> None: ...


class Meter:
    """One request of one caller: `prompts` questions, each answered `n` times."""

    __slots__ = (
        "_called_off", "_claim", "_device_seconds", "_finals", "_first", "_granted", "_inside",
        "_n", "_prompts", "_questions", "_register", "_started", "_stream", "bypass", "caller",
        "ended", "kind", "model", "outcome", "read", "request_id", "when",
    )  # fmt: skip

    def __init__(
        self,
        register: Register,
        request_id: str,
        caller: Caller,
        model: str,
        kind: str,
        questions: int = 1,
        n: int = 1,
        claim: Claim | None = None,
    ) -> None:
        self._register = register
        self.request_id = request_id
        self.caller = caller
        self.model = model
        self.kind = kind
        self.read = 0
        self.bypass: Bypass | None = None
        self.outcome = Outcome.LOST
        self.ended = False
        self.when = time.time()
        self._started = time.monotonic()
        self._granted: float | None = None
        self._first: float | None = None
        self._questions = questions
        self._n = n
        self._prompts: dict[int, int] = {}
        self._finals: list[Usage] = []
        self._claim = claim
        self._stream: Stream | None = None
        self._device_seconds = 0.0
        # The task that is inside the stream right now, and whether it is to come out.
        self._inside: asyncio.Task[Any] | None = None
        self._called_off = False

    @property
    def tokens(self) -> int:
        """Tokens of the answer until now, whichever way they went."""
        return self.read + (self.bypass.tokens if self.bypass else 0)

    def begin(self) -> None:
        """From now on the request counts. Raises RateLimited, and then it does not."""
        if self._claim is not None:
            self._claim.take()
        self._register.begin(self)

    def granted(self, stream: Stream) -> None:
        """The wait for a place is over."""
        self._granted = time.monotonic()
        self._stream = stream

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """The task goes into the stream. Raises BadKey when the caller was shut out meanwhile."""
        if self._called_off:
            raise BadKey(SHUT_OUT)
        self._inside = asyncio.current_task(loop)

    def leave(self) -> None:
        """The task is out of the stream, busy with what it got."""
        self._inside = None

    def call_off(self) -> None:
        """The key or its owner was shut out: end the request, wherever its task is."""
        self._called_off = True
        if self._inside is not None:
            self._inside.cancel()

    def cause(self, exc: BaseException) -> BaseException:
        """Why it ended: a cancellation that came from `call_off` is the caller's being shut out."""
        ours = self._called_off and isinstance(exc, asyncio.CancelledError)
        if ours and self._inside is not None and self._inside.uncancel() == 0:
            return BadKey(SHUT_OUT)
        return exc

    def note(self, output: Output) -> None:
        """Take in what only the first and the last piece of an answer tell."""
        if self._first is None:
            self._first = time.monotonic()
        if output.prompt_token_ids:
            self._prompts[output.index // self._n] = len(output.prompt_token_ids)
        if output.usage is not None:
            self._finals.append(output.usage)

    def end(self, cause: BaseException | None) -> None:
        """Settle the outcome; only the first call counts."""
        if self.ended:
            return
        self.ended = True
        self.outcome = self._outcome(cause)
        self._granted = self._granted or time.monotonic()
        self._device_seconds, self._stream, self._inside = self.device_seconds, None, None
        if self._claim is not None:
            used = self._used()
            self._claim.settle(used.prompt_tokens + used.completion_tokens, self._device_seconds)
        self._register.end(self)

    @property
    def device_seconds(self) -> float:
        """What it has cost until now, in seconds of a device."""
        return self._stream.device_seconds if self._stream is not None else self._device_seconds

    @property
    def first_seconds(self) -> float | None:
        """Until the first piece of an answer, the wait included; None where there was none."""
        return None if self._first is None else self._first - self._started

    def row(self) -> dict[str, Any]:
        """The record as it stands, also while the request runs."""
        used = self._used()
        return {
            "request_id": self.request_id,
            "when": self.when,
            "account": self.caller.account,
            "key_id": self.caller.key_id,
            "group_id": self._group_id(),
            "model": self.model,
            "kind": self.kind,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "cached_tokens": used.cached_tokens,
            "queue_seconds": round(used.queue_seconds, 6),
            "device_seconds": round(self.device_seconds, 6),
            "outcome": str(self.outcome),
        }

    def _group_id(self) -> int | None:
        terms = self.caller.terms_for(self.model)
        return terms.group_id if terms else None

    @property
    def complete(self) -> bool:
        """Whether every question was answered to its end."""
        return len(self._finals) >= self._questions

    def _used(self) -> Usage:
        """The engine's own account where it gave one for all; else what was read so far."""
        finals = self._finals
        if len(finals) == 1 == self._questions:
            return finals[0]
        cached = sum(each.cached_tokens for each in finals)
        if not self.complete:
            waited = (self._granted or time.monotonic()) - self._started
            return Usage(sum([*self._prompts.values()]), self.tokens, cached, waited)
        prompt = sum(each.prompt_tokens for each in finals)
        completion = sum(each.completion_tokens for each in finals)
        # They waited side by side.
        return Usage(prompt, completion, cached, max(each.queue_seconds for each in finals))

    def _outcome(self, cause: BaseException | None) -> UsageRecord.Outcome:
        if cause is None or self.complete:
            return Outcome.FINISHED
        if isinstance(cause, asyncio.CancelledError | GeneratorExit | BadKey):
            return Outcome.CANCELLED
        if isinstance(cause, RequestError | Refused) and not self.tokens:
            return Outcome.REFUSED
        return Outcome.FAILED


async def metered(opening: Coroutine[Any, Any, Stream], meter: Meter) -> Metered:
    """The stream that `opening` gives, its tokens counted; a refusal ends the meter too.

    Raises RateLimited before anything else, and what `opening` raises.
    """
    try:
        meter.begin()
    except BaseException:
        opening.close()
        raise
    meter.enter(asyncio.get_running_loop())
    try:
        stream = await opening
    except BaseException as exc:
        cause = meter.cause(exc)
        meter.end(cause)
        raise cause from None
    meter.leave()
    meter.granted(stream)
    return Metered(stream, meter)


class Metered:
    """A stream whose tokens are counted as they are read. To be used inside `aclosing`."""

    __slots__ = ("_meter", "_outputs", "_stream")

    def __init__(self, stream: Stream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._outputs = self._counted()

    def __aiter__(self) -> AsyncGenerator[Output, None]:
        return self._outputs

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited for its place; None for several streams as one."""
        return self._stream.queue_seconds if isinstance(self._stream, Answer) else None

    def divert(self, bypass: Bypass) -> None:
        """Let plain pieces go that way as they are made, past whoever iterates; see `Answer`."""
        if isinstance(self._stream, Answer):
            self._meter.bypass = bypass
            self._stream.divert(bypass)

    async def aclose(self) -> None:
        """Stop and free the place; again is no error."""
        try:
            await self._outputs.aclose()
        finally:
            try:
                await self._stream.aclose()
            finally:
                # A stream that was never read ran no line of `_counted`.
                self._meter.end(GeneratorExit())

    async def _counted(self) -> AsyncGenerator[Output, None]:
        meter = self._meter
        # Named once: to look for the running loop is a system call, and that for each token.
        loop = asyncio.get_running_loop()
        try:
            meter.enter(loop)
            async for output in self._stream:
                meter.leave()
                meter.read += len(output.token_ids)
                if output.usage is not None or output.prompt_token_ids:
                    meter.note(output)
                yield output
                meter.enter(loop)
        except BaseException as exc:
            cause = meter.cause(exc)
            meter.end(cause)
            raise cause from None
        meter.end(None)
