"""Text from a model under vLLM."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inference.abilities import preemptable
from inference.catalogue import ModelCard
from inference.engines.base import Prepared, Resources
from inference.engines.grammars import GrammarTrial
from inference.engines.limits import max_tokens
from inference.engines.vllm_answer import TextPayload, answer_of
from inference.engines.vllm_base import VllmBase, client_error
from inference.engines.vllm_chat import ChatParsing
from inference.engines.vllm_results import Collector, Fault
from inference.engines.vllm_sampling import sampling_params, structured_params
from inference.errors import EngineCrashed, InvalidRequest, UnsupportedParameter
from inference.requests import Bypass, GenerateRequest, Output, Question

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

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
        default = self._defaults.get("max_tokens")
        most = max_tokens(request, len(prompt_ids), field, self.max_model_len, default)
        try:
            params = sampling_params(request.sampling, most, self._defaults)
            if request.sampling.structured is not None:
                params.structured_outputs = structured_params(request.sampling.structured)
            if chat is not None:
                chat.adjust(params)
            await self._verify(llm, params)
        except (VLLMClientError, ValueError) as error:
            structured = request.sampling.structured is not None
            raise client_error(error, "response_format" if structured else None) from error
        return Prepared(
            request,
            len(prompt_ids),
            most,
            TextPayload(engine_input, params, chat),
            # A grammar cannot begin in its middle, whoever asked for it.
            resumable=preemptable(request) and params.structured_outputs is None,
        )

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
        """vLLM's deltas as Outputs, read from where they are collected.

        `AsyncLLM.generate` does the same in a generator of its own, which every token would pass.
        """
        llm, results = self._alive(), self._results
        assert results is not None
        asked: TextPayload = prepared.payload
        answer = await answer_of(prepared, llm.tokenizer)
        if answer.unread is not None:
            yield answer.unread
            if answer.unread.finish_reason is not None:
                return
        engine_input, params = asked.rest(answer.said)
        chat, prompt_ids = asked.chat, engine_input["prompt_token_ids"]
        more = chat.engine_kwargs(prompt_ids) if chat is not None else {}
        collector = await self._added(llm, prepared, engine_input, params, more)
        if not answer.decodes:
            collector = results.collector(collector, params, prepared.request.gather)
            asked.collector = collector if isinstance(collector, Collector) else None
        finished = False
        try:
            while not (finished or answer.ended):
                try:
                    result: Any = collector.get_nowait() or await collector.get()
                except Exception as error:
                    if not llm.errored:
                        # A death is logged where it is seen; nobody else would tell of this.
                        logger.exception("An answer of %s broke", self._card.id)
                    raise EngineCrashed(f"The engine of `{self._card.id}` crashed.") from error
                if isinstance(result, Output):
                    yield answer.plain(result)
                    continue
                if isinstance(result, Fault):
                    raise result.error
                finished = result.finished
                for output in answer.outputs(result):
                    yield output
        finally:
            asked.collector = None
            results.forget(collector)
            if not (finished or llm.errored):
                await llm.abort(collector.request_id, internal=True)

    def divert(self, prepared: Prepared[Any], bypass: Bypass) -> None:
        """Plain tokens go there as soon as they are decoded."""
        asked: TextPayload = prepared.payload
        if asked.collector is not None and asked.answer is not None:
            asked.answer.divert(bypass)
            asked.collector.bypass = bypass

    async def _added(
        self, llm: AsyncLLM, prepared: Prepared[Any], engine_input: Any, params: Any, more: Any
    ) -> Any:
        """Where vLLM collects the results of a request that it has now."""
        from vllm.v1.engine.exceptions import EngineDeadError

        request_id = prepared.request.request_id
        try:
            return await llm.add_request(request_id, engine_input, params, **more)
        except EngineDeadError as error:
            raise EngineCrashed(f"The engine of `{self._card.id}` crashed.") from error
