"""A real engine that needs no model: it says the prompt back as numbered tokens.

Token i is "i:word ", the words of the last user message in turn, so that a client can tell a lost
or doubled token from its number. For tests, demos and load runs, by the same door as any model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from inference.abilities import preemptable
from inference.catalogue import ModelCard
from inference.engines.base import Engine, Prepared
from inference.engines.echo_tasks import EchoTasks
from inference.engines.echo_words import VOCABULARY, all_words, last_words
from inference.engines.pictures import refuse_pictures
from inference.engines.sounds import refuse_sounds
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    LoadFailed,
    OutOfMemory,
    UnsupportedParameter,
)
from inference.requests import (
    FinishReason,
    GenerateRequest,
    Message,
    Output,
    Question,
    TokenizeRequest,
    TokenLogprob,
    Usage,
)


class EchoEngine(Engine):
    """Numbered tokens at a set rate.

    `engine_args`: `tokens_per_second` (0: no pause), `load_seconds`, `context` (tokens),
    `dimensions` (of vectors), `pictures` and `sounds` (whether it takes them), `memory_bytes`,
    `fail_load` (the reason to give), `out_of_memory` (the rungs at which a load runs out of
    memory), `silent_after` (so many answers, the probe of the load among them, then not a word). It
    can sleep when it has
    `sleep_bytes` to keep meanwhile; then `sleep_seconds`, `wake_seconds` and `fail_wake`.
    """

    def __init__(self, card: ModelCard, rung: str = "full") -> None:
        args = card.engine_args
        self.max_model_len = int(card.max_model_len or args.get("context", 2048))
        self._load_seconds = float(args.get("load_seconds", 0.0))
        self._too_large = rung in args.get("out_of_memory", ())
        self._fail_load = str(args.get("fail_load", ""))
        self.can_sleep = bool(args.get("sleep_bytes"))
        self._sleep_seconds = float(args.get("sleep_seconds", 0.0))
        self._wake_seconds = float(args.get("wake_seconds", 0.0))
        self._fail_wake = str(args.get("fail_wake", ""))
        self._asleep = False
        rate = float(args.get("tokens_per_second", 0.0))
        self._interval = 1.0 / rate if rate else 0.0
        self._pictures = bool(args.get("pictures"))
        self._sounds = bool(args.get("sounds"))
        self._answers_left = float(args.get("silent_after", "inf"))
        self._other = EchoTasks(self.max_model_len, int(args.get("dimensions", 64)))
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Take as long as the card says, then fail if it says so."""
        await asyncio.sleep(self._load_seconds)
        if self._too_large:
            raise OutOfMemory("There is not enough room for so many words.")
        if self._fail_load:
            raise LoadFailed(self._fail_load)

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Check lengths; words count as tokens."""
        if isinstance(request, GenerateRequest | TokenizeRequest):
            self._refuse_media(request.messages)
        if isinstance(request, GenerateRequest):
            return self._prepare_text(request)
        answers = await asyncio.to_thread(self._other.answers, request)
        usage = answers[-1].usage or Usage()
        return Prepared(request, usage.prompt_tokens, payload=answers)

    def _refuse_media(self, messages: Sequence[Message] | None) -> None:
        if not self._pictures:
            refuse_pictures(messages)
        if not self._sounds:
            refuse_sounds(messages)

    def _prepare_text(self, request: GenerateRequest) -> Prepared[Question]:
        if request.sampling.structured is not None:
            raise UnsupportedParameter(
                "The echo engine cannot follow a structure.", "response_format"
            )
        if request.tools and request.tool_choice != "none":
            raise UnsupportedParameter("The echo engine cannot call tools.", "tools")
        words = all_words(request)
        room = self.max_model_len - len(words)
        if room <= 0:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"your prompt has {len(words)}.",
                "messages" if request.messages is not None else "prompt",
            )
        asked = request.sampling.max_tokens
        if asked is not None and asked > room:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"you requested {len(words) + asked} tokens ({len(words)} in the prompt, {asked} "
                "for the answer).",
                "max_tokens",
            )
        most = room if asked is None else asked
        return Prepared(request, len(words), most, words, resumable=preemptable(request))

    async def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """Every choice in step, one token each per tick; or one vector or score per tick."""
        if self._answers_left <= 0:
            await asyncio.Event().wait()
        self._answers_left -= 1
        if not isinstance(prepared.request, GenerateRequest):
            due = asyncio.get_running_loop().time()
            for output in prepared.payload:
                due = await self._tick(due)
                yield output
            return
        request, words = prepared.request, prepared.payload
        said = last_words(request) or words or ["…"]
        sampling = request.sampling
        length = prepared.max_tokens if sampling.ignore_eos else len(said)
        count = min(prepared.max_tokens, length)
        reason = (
            FinishReason.STOP
            if count == len(said) and not sampling.ignore_eos
            else FinishReason.LENGTH
        )
        due = asyncio.get_running_loop().time()
        for i in range(len(prepared.generated), count):
            due = await self._tick(due)
            text = f"{i}:{said[i % len(said)]} "
            for index in range(sampling.n):
                output = Output(
                    text,
                    (i % VOCABULARY,),
                    index,
                    _logprobs(text, i, sampling.logprobs),
                    reason if i == count - 1 else None,
                    self._usage(prepared, count, i, index),
                )
                yield _with_prompt(output, prepared) if i == 0 else output
        if count == 0:
            for index in range(sampling.n):
                usage = self._usage(prepared, 0, -1, index)
                yield _with_prompt(
                    Output("", (), index, None, FinishReason.LENGTH, usage), prepared
                )

    @property
    def alive(self) -> bool:
        """Until it is stopped."""
        return not self._stopped.is_set()

    async def died(self) -> str:
        """Never: it lives in this process."""
        await asyncio.Event().wait()
        return ""

    async def sleep(self) -> None:
        """Take as long as the card says."""
        if not self.can_sleep:
            await super().sleep()
        await asyncio.sleep(self._sleep_seconds)
        self._asleep = True

    async def wake(self) -> None:
        """Take as long as the card says, then fail if it says so."""
        await asyncio.sleep(self._wake_seconds)
        if self._fail_wake:
            raise LoadFailed(self._fail_wake)
        self._asleep = False

    async def stop(self) -> None:
        """End what runs with EngineCrashed."""
        self._stopped.set()

    async def _tick(self, last: float) -> float:
        """Wait for the step after the one that was due at `last`; when it was due.

        By a schedule, or each would add its lateness to all that follow. Steps that were missed,
        because nobody took their tokens, are not made up for.
        """
        now = asyncio.get_running_loop().time()
        due = max(last + self._interval, now)
        await asyncio.sleep(due - now)
        if self._stopped.is_set() or self._asleep:
            raise EngineCrashed("The engine was stopped or put to sleep.")
        return due

    @staticmethod
    def _usage(prepared: Prepared[Any], count: int, i: int, index: int) -> Usage | None:
        n = prepared.request.sampling.n
        if i != count - 1 or index != n - 1:
            return None
        return Usage(prepared.prompt_tokens, count * n)


def _with_prompt(output: Output, prepared: Prepared[Any]) -> Output:
    words, wanted = prepared.payload, prepared.request.sampling.prompt_logprobs
    if wanted is not None:
        later = enumerate(words[1:], 1)
        output.prompt_logprobs = [None, *(TokenLogprob(f"{w} ", i, 0.0) for i, w in later)]
    output.prompt_token_ids = range(len(words))
    output.prompt_text = " ".join(words)
    return output


def _logprobs(text: str, token_id: int, wanted: int | None) -> Sequence[TokenLogprob] | None:
    if wanted is None:
        return None
    alternatives = tuple(TokenLogprob(f"alternative {k}", k, -1.0 - k) for k in range(wanted - 1))
    own = TokenLogprob(text, token_id, 0.0)
    return (TokenLogprob(text, token_id, 0.0, (own, *alternatives) if wanted else ()),)
