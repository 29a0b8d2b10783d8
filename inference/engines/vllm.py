"""Text from a model under vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inference.catalogue import ModelCard
from inference.engines.base import Prepared, Resources
from inference.engines.grammars import GrammarTrial
from inference.engines.vllm_base import VllmBase, client_error
from inference.engines.vllm_chat import ChatParsing, ChatRequest
from inference.engines.vllm_sampling import sampling_params, structured_params
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    UnsupportedParameter,
)
from inference.requests import (
    FinishReason,
    GenerateRequest,
    Output,
    Question,
    TokenLogprob,
    Usage,
)

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

# One backend for all requests: left to choose for each, vLLM checks with one and compiles with
# another. Free white space between JSON's tokens is where small models never stop.
STRUCTURE = {"backend": "xgrammar", "disable_any_whitespace": True}


class VllmEngine(VllmBase):
    """A generating model: chats and completions."""

    runner = "generate"

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        super().__init__(card, resources)
        self._defaults: Mapping[str, Any] = {}
        self._chat: ChatParsing | None = None
        self._trial: GrammarTrial | None = None

    async def _loaded(self, llm: AsyncLLM) -> None:
        self._defaults = llm.model_config.get_diff_sampling_param()
        if llm.tokenizer is not None:
            card = self._card
            self._chat = ChatParsing(llm, card.tool_parser, card.reasoning_parser)
            self._trial = GrammarTrial(llm.tokenizer, llm.model_config.get_vocab_size())

    def _engine_args(self) -> dict[str, Any]:
        own = {"logprobs_mode": "raw_logprobs", "structured_outputs_config": STRUCTURE}
        return {**own, **super()._engine_args()}

    async def stop(self) -> None:
        """Also end the child that tries constraints."""
        if self._trial is not None:
            await self._trial.close()
        await super().stop()

    async def _prepare(self, request: Question) -> Prepared[Question]:
        from vllm.exceptions import VLLMClientError

        if not isinstance(request, GenerateRequest):
            raise UnsupportedParameter("This model answers in text only.", "model")
        llm = self._alive()
        chat = await self._chat.for_request(request) if self._chat else None
        field = "messages" if request.messages is not None else "prompt"
        engine_input = await self._rendered(llm, request)
        prompt_ids: Sequence[int] = engine_input["prompt_token_ids"]
        if not prompt_ids:
            # vLLM would find out only when the stream has begun.
            raise InvalidRequest("A prompt has at least one token.", field)
        max_tokens = self._max_tokens(request, len(prompt_ids), field)
        try:
            params = sampling_params(request.sampling, max_tokens, self._defaults)
            if request.sampling.structured is not None:
                params.structured_outputs = structured_params(request.sampling.structured)
            if chat is not None:
                chat.adjust(params)
            await self._verify(llm, params)
        except (VLLMClientError, ValueError) as error:
            structured = request.sampling.structured is not None
            raise client_error(error, "response_format" if structured else None) from error
        return Prepared(request, len(prompt_ids), max_tokens, (engine_input, params, chat))

    def _max_tokens(self, request: GenerateRequest, prompt_tokens: int, field: str) -> int:
        room = self.max_model_len - prompt_tokens
        if room <= 0:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"your {field} resulted in {prompt_tokens} tokens. Please reduce the length of the "
                f"{field}.",
                field,
            )
        asked = request.sampling.max_tokens
        if asked is not None and asked > room:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.max_model_len} tokens. However, you "
                f"requested {prompt_tokens + asked} tokens ({prompt_tokens} in the {field}, "
                f"{asked} in the completion). Please reduce the length of one of them.",
                field,
            )
        return min(room, self._defaults.get("max_tokens", room)) if asked is None else asked

    async def _verify(self, llm: AsyncLLM, params: Any) -> None:
        """vLLM's own checks, now rather than after the stream began; grammars off the loop."""
        config = llm.vllm_config
        checks = (
            llm.model_config,
            config.speculative_config,
            config.structured_outputs_config,
            llm.tokenizer,
        )
        if params.structured_outputs is None:
            params.verify(*checks)
            return
        if self._trial is not None:
            await self._trial.check(params.structured_outputs, "response_format")
        await asyncio.to_thread(params.verify, *checks)

    async def _generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """vLLM's deltas as Outputs."""
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        engine_input, params, chat = prepared.payload
        request = prepared.request
        prompt_ids = engine_input["prompt_token_ids"]
        answer = _Answer(prepared, chat, prompt_ids)
        more = chat.engine_kwargs(prompt_ids) if chat is not None else {}
        stream = self._alive().generate(engine_input, params, request.request_id, **more)
        try:
            async for result in stream:
                for output in answer.outputs(result):
                    yield output
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineCrashed(f"The engine of `{self._card.id}` crashed.") from error
        finally:
            await stream.aclose()


class _Answer:
    """Turns vLLM's results of one request into Outputs, and counts."""

    def __init__(
        self,
        prepared: Prepared[GenerateRequest],
        chat: ChatRequest | None,
        prompt_ids: Sequence[int],
    ) -> None:
        self._prepared = prepared
        n = prepared.request.sampling.n
        self._chats = [chat.answer(prompt_ids) for _ in range(n)] if chat is not None else []
        self._wanted = prepared.request.sampling.logprobs
        self._completion_tokens = 0
        self._first = True

    def outputs(self, result: RequestOutput) -> list[Output]:
        """The new pieces of one result, one per choice that has any."""
        found = [self._output(piece) for piece in result.outputs]
        if self._first and found:
            self._first = False
            self._add_prompt(found[0], result)
        if result.finished:
            if not found:
                found.append(Output())
            found[-1].usage = Usage(
                self._prepared.prompt_tokens,
                self._completion_tokens,
                result.num_cached_tokens or 0,
            )
        return found

    def _output(self, piece: CompletionOutput) -> Output:
        self._completion_tokens += len(piece.token_ids)
        reason = piece.finish_reason
        if reason == "error" and self._prepared.request.sampling.structured is not None:
            raise InvalidRequest("The structure left the model nothing to say.", "response_format")
        if reason in ("abort", "error"):
            raise EngineCrashed("The engine gave the request up.")
        logprobs = None
        if self._wanted is not None and piece.logprobs is not None:
            logprobs = [
                _logprob(chosen, entry, self._wanted)
                for chosen, entry in zip(piece.token_ids, piece.logprobs, strict=False)
            ]
            if reason == "stop" and not isinstance(piece.stop_reason, str):
                # The token that ended the answer is no part of its text.
                logprobs = logprobs[:-1]
        output = Output(
            piece.text,
            piece.token_ids,
            piece.index,
            logprobs,
            _FINISH_REASONS.get(reason, FinishReason.STOP) if reason else None,
        )
        if self._chats:
            self._chats[piece.index].split(output)
        return output

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
