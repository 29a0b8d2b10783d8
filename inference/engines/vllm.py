"""vLLM's AsyncLLM, in process; its EngineCore is a child process of its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inference.catalogue import ModelCard
from inference.engines import child, vllm_children
from inference.engines.base import Prepared, Resources
from inference.engines.vllm_chat import ChatParsing, ChatRequest
from inference.engines.vllm_sampling import sampling_params, structured_params
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    LoadFailed,
    UnsupportedParameter,
)
from inference.requests import FinishReason, GenerateRequest, Output, TokenLogprob, Usage

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

DEATH_POLL_SECONDS = 0.25
STOP_SECONDS = 10.0
GRAMMAR_SECONDS = 5.0


class VllmEngine:
    """One model under vLLM on the devices that placement chose."""

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        self.max_model_len = card.max_model_len or 0
        self._card = card
        self._resources = resources
        self._llm: AsyncLLM | None = None
        self._loading: asyncio.Future[None] | None = None
        self._defaults: Mapping[str, Any] = {}
        self._chat: ChatParsing | None = None
        self._children = vllm_children.Children()

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the model. Takes seconds to minutes, in a thread. Raises LoadFailed."""
        loop = asyncio.get_running_loop()
        self._loading = loop.run_in_executor(None, self._load)
        try:
            # A cancelled start leaves the thread at work: `stop` waits for it.
            await asyncio.shield(self._loading)
        except Exception as error:  # vLLM raises whatever its parts raise
            logger.debug("%s did not load", self._card.id, exc_info=True)
            # What broke in a child stands in its log; here vLLM only says that it broke.
            cause = child.last_error(self._resources.log) or _in_words(error)
            raise LoadFailed(cause[:500]) from error
        finally:
            if self._loading.done():
                self._loading = None
        llm = self._alive()
        self.max_model_len = llm.model_config.max_model_len
        self._defaults = llm.model_config.get_diff_sampling_param()
        if llm.tokenizer is not None:
            card = self._card
            self._chat = ChatParsing(llm, card.tool_parser, card.reasoning_parser)

    def _load(self) -> None:
        _quiet_environment(self._resources.kind)
        child.announce(self._resources.log)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        args = AsyncEngineArgs(**self._engine_args())
        with self._children.recorded():
            # Not returned: a frame of the thread would keep the engine alive after its stop.
            self._llm = AsyncLLM.from_engine_args(args)

    def _engine_args(self) -> dict[str, Any]:
        card, resources = self._card, self._resources
        args: dict[str, Any] = {
            "model": resources.source,
            "revision": card.revision or None,
            "dtype": card.dtype,
            "max_model_len": card.max_model_len,
            "max_num_seqs": card.max_num_seqs,
            "quantization": card.quantization or None,
            "trust_remote_code": card.trust_remote_code,
            "load_format": "safetensors",
            "kv_cache_memory_bytes": resources.kv_cache_bytes,
            "disable_log_stats": True,
            "enable_log_requests": False,
            "use_tqdm_on_load": False,
            "logprobs_mode": "raw_logprobs",
        }
        if resources.kind == "cpu":
            args["enforce_eager"] = True
        else:
            args["device_ids"] = [int(device) for device in resources.devices]
            share = resources.bytes_per_device / resources.total_bytes_per_device
            args["gpu_memory_utilization"] = min(0.95, share)
        return {**args, **card.engine_args}

    async def died(self) -> str:
        """Return once the EngineCore is gone."""
        while self._llm is not None and not self._llm.errored:
            await asyncio.sleep(DEATH_POLL_SECONDS)
        return "its process ended"

    async def stop(self) -> None:
        """Shut the engine down and wait until its processes are gone."""
        if self._loading is not None:
            self._children.kill()
            await asyncio.wait([self._loading])
        if self._llm is not None:
            llm, self._llm = self._llm, None
            if llm.output_handler is not None:
                # Else it takes the orderly end for a crash and logs a traceback.
                llm.output_handler.cancel()
            await asyncio.to_thread(llm.shutdown, STOP_SECONDS)
            del llm
            # It sits in reference cycles, and its finaliser fails at the interpreter's end.
            await asyncio.to_thread(gc.collect)
        await asyncio.to_thread(self._children.end, STOP_SECONDS)

    # --- one request -----------------------------------------------------------------------------

    async def prepare(self, request: GenerateRequest) -> Prepared:
        """Render, tokenise and check. vLLM does the slow parts on its own threads."""
        from vllm.exceptions import VLLMClientError

        llm = self._alive()
        chat = self._chat.for_request(request) if self._chat else None
        field = "messages" if request.messages is not None else "prompt"
        try:
            engine_input = await self._render(llm, request)
        except VLLMClientError as error:
            raise _client_error(error, field) from error
        except (ValueError, TypeError, KeyError) as error:  # a template that rejects the messages
            raise InvalidRequest(_in_words(error), field) from error
        except Exception as error:
            if type(error).__module__.startswith("jinja2"):
                raise InvalidRequest(_in_words(error), field) from error
            raise
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
            raise _client_error(error, None) from error
        return Prepared(request, len(prompt_ids), max_tokens, (engine_input, params, chat))

    async def _render(self, llm: AsyncLLM, request: GenerateRequest) -> Any:
        from vllm.renderers import ChatParams
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        if request.messages is None:
            prompt = request.prompt
            if not isinstance(prompt, str):
                self._check_ids(llm, prompt or ())
            said = prompt if isinstance(prompt, str) else list(prompt or ())
            parsed = parse_model_prompt(llm.model_config, said)
            rendered = await llm.renderer.render_cmpl_async([parsed])
            return rendered[0]
        kwargs: dict[str, Any] = {"add_generation_prompt": True, **request.chat_template_kwargs}
        if request.tools and request.tool_choice != "none":
            kwargs["tools"] = [dict(tool) for tool in request.tools]
        messages: list[Any] = [message.as_dict() for message in request.messages]
        params = ChatParams(chat_template_kwargs=kwargs)
        _, rendered = await llm.renderer.render_chat_async([messages], params)
        return rendered[0]

    @staticmethod
    def _check_ids(llm: AsyncLLM, prompt: Sequence[int]) -> None:
        size = llm.model_config.get_vocab_size()
        bad = next((i for i in prompt if not 0 <= i < size), None)
        if bad is not None:
            raise InvalidRequest(f"Token id {bad} is not in the vocabulary.", "prompt")
        if not prompt:
            raise InvalidRequest("A prompt has at least one token.", "prompt")

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

    @staticmethod
    async def _verify(llm: AsyncLLM, params: Any) -> None:
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
        try:
            async with asyncio.timeout(GRAMMAR_SECONDS):
                await asyncio.to_thread(params.verify, *checks)
        except TimeoutError:
            raise InvalidRequest(
                f"This structure took longer than {GRAMMAR_SECONDS:g} s to compile.",
                "response_format",
            ) from None

    async def generate(self, prepared: Prepared) -> AsyncGenerator[Output, None]:
        """vLLM's deltas as Outputs. Closing it aborts the request in the engine."""
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

    def _alive(self) -> AsyncLLM:
        if self._llm is None or self._llm.errored:
            raise EngineCrashed(f"The engine of `{self._card.id}` is gone.")
        return self._llm


class _Answer:
    """Turns vLLM's results of one request into Outputs, and counts."""

    def __init__(
        self, prepared: Prepared, chat: ChatRequest | None, prompt_ids: Sequence[int]
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
        if reason in ("abort", "error"):
            raise EngineCrashed("The engine gave the request up.")
        logprobs = None
        if self._wanted is not None and piece.logprobs is not None:
            logprobs = [
                _logprob(chosen, entry, self._wanted)
                for chosen, entry in zip(piece.token_ids, piece.logprobs, strict=False)
            ]
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


def _client_error(error: Exception, field: str | None) -> InvalidRequest | ContextLengthExceeded:
    # vLLM appends "(parameter=…, value=…)", which `param` says already.
    message = _in_words(error).partition(" (parameter=")[0]
    if "maximum context length" in message or "longer than the maximum model length" in message:
        return ContextLengthExceeded(message, field)
    param = getattr(error, "parameter", None) or field
    if "not support" in message:
        return UnsupportedParameter(message, param)
    return InvalidRequest(message, param)


def _in_words(error: BaseException) -> str:
    """The innermost cause that says something, on one line of at most 500 characters."""
    said = str(error).strip() or type(error).__name__
    return " ".join(said.split())[:500]


def _quiet_environment(kind: str) -> None:
    """Before vLLM is imported: no telemetry, few words, children that import afresh."""
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if kind == "cpu":
        defaults["VLLM_TARGET_DEVICE"] = "cpu"
        # The first request for logprobs would start a C++ compiler, and without one end the engine.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
