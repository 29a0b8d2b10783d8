"""The answer to one request under vLLM. It outlives a preemption, in whatever engine it goes on."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from inference.engines.base import Prepared
from inference.engines.vllm_chat import ChatRequest
from inference.engines.vllm_results import Collector
from inference.errors import EngineCrashed, InvalidRequest
from inference.requests import (
    Bypass,
    FinishReason,
    GenerateRequest,
    Output,
    TokenLogprob,
    Usage,
)

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput, RequestOutput

# So many tokens are read again before others have their turn.
STRETCH = 64


@dataclass(slots=True)
class TextPayload:
    """A request in vLLM's terms, its answer once that has begun, and where its tokens come in."""

    engine_input: Any
    params: Any
    chat: ChatRequest | None
    answer: TextAnswer | None = None
    collector: Collector | None = None

    def rest(self, said: Sequence[int]) -> tuple[Any, Any]:
        """vLLM's input and parameters for what comes after these tokens."""
        if not said:
            return self.engine_input, self.params
        params = copy.copy(self.params)
        params.max_tokens -= len(said)
        params.min_tokens = max(0, params.min_tokens - len(said))
        # They may have begun before: the answer's own detokenizer looks for them.
        params.stop = []
        ids = [*self.engine_input["prompt_token_ids"], *said]
        return {**self.engine_input, "prompt_token_ids": ids}, params


async def answer_of(prepared: Prepared[GenerateRequest], tokenizer: Any) -> TextAnswer:
    """A new answer, or the one that was stopped, ready for its next token."""
    payload: TextPayload = prepared.payload
    if payload.answer is None or not prepared.generated:
        payload.answer = TextAnswer(prepared)
    if prepared.generated:
        await payload.answer.go_on(prepared.generated, tokenizer)
    return payload.answer


class TextAnswer:
    """Turns vLLM's results of one request into Outputs, and counts.

    `said` are the tokens before the engine's next one, `unread` an Output that was made and never
    read before the stream was closed; `ended` once there is no more to come.

    vLLM decodes the first run of an answer. A later one is decoded here, by the same code: vLLM
    would begin in the middle of a character or of a stop string and not know it.
    """

    def __init__(self, prepared: Prepared[GenerateRequest]) -> None:
        payload: TextPayload = prepared.payload
        self._prepared = prepared
        self._prompt_ids: Sequence[int] = payload.engine_input["prompt_token_ids"]
        self._params = payload.params
        sampling = prepared.request.sampling
        chat, ids = payload.chat, self._prompt_ids
        self._chats = [chat.answer(ids) for _ in range(sampling.n)] if chat is not None else []
        self._wanted = sampling.logprobs
        # Tokens that were read here; others went past, from so many in the bypass on.
        self._read = 0
        self._bypass: Bypass | None = None
        self._bypassed = 0
        self._cached_tokens: int | None = None
        self._first = True
        self._last = Output()
        self._detokenizer: Any = None
        self.said: Sequence[int] = ()
        self.unread: Output | None = None
        self.ended = False

    # --- after a preemption ----------------------------------------------------------------------

    async def go_on(self, generated: Sequence[int], tokenizer: Any) -> None:
        """Get ready for what comes after these tokens, the ones that the caller has read."""
        fresh = self._completion_tokens == 0
        missed = 0 if fresh else self._completion_tokens - len(generated)
        self._bypass = None
        if missed not in (0, len(self._last.token_ids)):
            raise ValueError("These are not the tokens that this answer gave.")
        self.unread = self._last if missed else None
        self.said = [*generated, *(self._last.token_ids if missed else ())]
        self._read, self._first = len(self.said), False
        if self._detokenizer is None:
            self._detokenizer = self._begun(tokenizer)
            await self._catch_up(fresh)

    def _begun(self, tokenizer: Any) -> Any:
        from vllm.v1.engine.detokenizer import IncrementalDetokenizer

        request: Any = SimpleNamespace(
            request_id=self._prepared.request.request_id,
            prompt_token_ids=list(self._prompt_ids),
            prompt_embeds=None,
            sampling_params=self._params,
        )
        return IncrementalDetokenizer.from_new_request(tokenizer, request)

    async def _catch_up(self, fresh: bool) -> None:
        """Read again what was said; the parsers too, when they belong to another answer."""
        for count, token_id in enumerate(self.said, 1):
            self._detokenizer.update([token_id], False)
            text = self._detokenizer.get_next_output_text(False, True)
            if fresh and self._chats:
                self._chats[0].split(Output(text, (token_id,)))
            if count % STRETCH == 0:
                await asyncio.sleep(0)

    def _decode(self, piece: CompletionOutput) -> None:
        """Put in a piece what it means after all that was said."""
        decoder = self._detokenizer
        before = decoder.num_output_tokens()
        stop = decoder.update(list(piece.token_ids), piece.finish_reason == "stop")
        if stop is not None:
            piece.finish_reason, piece.stop_reason = "stop", stop
            piece.token_ids = piece.token_ids[: decoder.num_output_tokens() - before]
        piece.text = decoder.get_next_output_text(piece.finish_reason is not None, True)

    @property
    def decodes(self) -> bool:
        """Whether it is decoded here."""
        return self._detokenizer is not None

    # --- one result ------------------------------------------------------------------------------

    def plain(self, output: Output) -> Output:
        """A piece of the middle that was decoded already."""
        self._read += len(output.token_ids)
        self._last = output
        if self._chats:
            self._chats[0].split(output)
        return output

    def divert(self, bypass: Bypass) -> None:
        """Others take pieces of the middle from now on, split as they are here."""
        self._bypass, self._bypassed = bypass, bypass.tokens
        if self._chats:
            chat, write = self._chats[0], bypass.write

            def split(output: Output) -> bool:
                chat.split(output)
                return write(output)

            bypass.write = split

    @property
    def _completion_tokens(self) -> int:
        """All that this answer has until now."""
        past = self._bypass.tokens - self._bypassed if self._bypass else 0
        return self._read + past

    def outputs(self, result: RequestOutput) -> list[Output]:
        """The new pieces of one result, one per choice that has any."""
        if self._cached_tokens is None:
            cached = result.num_cached_tokens or 0
            self._cached_tokens = min(cached, self._prepared.prompt_tokens)
        found = [self._output(piece) for piece in result.outputs] or [Output()]
        if self._first:
            self._first = False
            self._add_prompt(found[0], result)
        self._last = found[-1]
        stopped = self._detokenizer is not None and self._last.finish_reason is not None
        self.ended = result.finished or stopped
        if self.ended:
            self._last.usage = Usage(
                self._prepared.prompt_tokens, self._completion_tokens, self._cached_tokens
            )
        return found

    def _output(self, piece: CompletionOutput) -> Output:
        if self._detokenizer is not None:
            self._decode(piece)
        self._read += len(piece.token_ids)
        reason = piece.finish_reason
        if reason == "error" and self._prepared.request.sampling.structured is not None:
            raise InvalidRequest("The structure left the model nothing to say.", "response_format")
        if reason in ("abort", "error"):
            raise EngineCrashed("The engine gave the request up.")
        output = Output(
            piece.text,
            piece.token_ids,
            piece.index,
            self._logprobs(piece),
            _FINISH_REASONS.get(reason, FinishReason.STOP) if reason else None,
        )
        if self._chats:
            self._chats[piece.index].split(output)
        return output

    def _logprobs(self, piece: CompletionOutput) -> list[TokenLogprob] | None:
        if self._wanted is None or piece.logprobs is None:
            return None
        logprobs = [
            _logprob(chosen, entry, self._wanted)
            for chosen, entry in zip(piece.token_ids, piece.logprobs, strict=False)
        ]
        if piece.finish_reason == "stop" and not isinstance(piece.stop_reason, str):
            # The token that ended the answer is no part of its text.
            logprobs = logprobs[:-1]
        return logprobs

    def _add_prompt(self, output: Output, result: RequestOutput) -> None:
        output.prompt_token_ids = result.prompt_token_ids or ()
        output.prompt_text = result.prompt
        wanted = self._prepared.request.sampling.prompt_logprobs
        if wanted is None or result.prompt_logprobs is None:
            return
        ids = output.prompt_token_ids
        output.prompt_logprobs = [
            _logprob(chosen, entry, wanted) if entry else None
            for chosen, entry in zip(ids, result.prompt_logprobs, strict=False)
        ]


_FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


def _logprob(chosen: int, entry: Any, wanted: int) -> TokenLogprob:
    ranked = sorted(entry.items(), key=lambda item: -item[1].logprob)[:wanted]
    top = tuple(TokenLogprob(p.decoded_token or "", i, _finite(p.logprob)) for i, p in ranked)
    own = entry[chosen]
    return TokenLogprob(own.decoded_token or "", chosen, _finite(own.logprob), top)


def _finite(logprob: float) -> float:
    """OpenAI's floor: JSON has no minus infinity."""
    return max(logprob, -9999.0)
