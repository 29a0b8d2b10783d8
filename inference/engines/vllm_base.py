"""What all engines on vLLM's AsyncLLM share: their life, and reading prompts.

AsyncLLM lives in this process; its EngineCore is a child process of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from inference.catalogue import ModelCard
from inference.engines import child, vllm_children, warm
from inference.engines.base import Engine, Prepared, Resources
from inference.engines.child import KILLED
from inference.engines.parts import has_media, unreadable
from inference.engines.plain_text import PlainText
from inference.engines.vllm_media import check_media
from inference.engines.vllm_rendering import Renderer
from inference.engines.vllm_results import Results
from inference.engines.vllm_short_chats import ShortChats
from inference.engines.watchdog import Watchdog
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    EngineError,
    InvalidRequest,
    LoadFailed,
    OutOfMemory,
    UnsupportedParameter,
)
from inference.requests import (
    DetokenizeRequest,
    GenerateRequest,
    Output,
    Prompt,
    Question,
    TokenizeRequest,
    Usage,
)

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

DEATH_POLL_SECONDS = 0.25
STOP_SECONDS = 10.0
# Weights are put into 8 bits while they are loaded, with a scale for each tensor.
EIGHT_BIT = {"8bit": "fp8_per_tensor"}
# What torch, vLLM and the system say when a load takes more than there is. A process that was
# killed (signal 9) says nothing itself: that is how the system ends what takes too much.
NO_MEMORY = re.compile(
    r"out of memory|(can't|cannot) allocate memory|No available memory for the cache"
    r"|available KV cache memory|is less than desired \w+ memory utilization|^MemoryError"
    r"|Failed core proc\(s\): \{[^}]*: -9\b",
    re.IGNORECASE,
)
SPLITS = ("tensor_parallel_size", "pipeline_parallel_size")
ONE_PROCESS = "inference.engines.vllm_one_process.OneProcess"
# Some families read pictures with torchvision, and vLLM's CPU build comes without it.
NEEDS = "No module named 'torchvision'"
WITHOUT_TORCHVISION = (
    "This family of models needs torchvision, which is not installed here: vLLM's build for CPUs "
    "comes without it. On a GPU it loads."
)


class VllmBase(Engine):
    """One model under vLLM on the devices that placement chose. What it answers is the heirs'."""

    runner: ClassVar[str]

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        self.max_model_len = card.max_model_len or 0
        self._card = card
        self._resources = resources
        self._llm: AsyncLLM | None = None
        self._loading: asyncio.Future[None] | None = None
        self._plain = PlainText(None)
        self._renderer: Renderer | None = None
        self._children = vllm_children.Children()
        self._results: Results | None = None
        self._watchdog: Watchdog | None = None

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
            cause = child.last_error(self._resources.log) or in_words(error)
            raise load_error(cause, child.worker_was_killed(self._resources.log)) from error
        finally:
            if self._loading.done():
                self._loading = None
        llm = self._alive()
        self.max_model_len = llm.model_config.max_model_len
        self.can_sleep = bool(llm.model_config.enable_sleep_mode)
        self._plain = PlainText(llm.tokenizer)
        short = await asyncio.to_thread(ShortChats.of, llm.renderer)
        self._renderer = Renderer(llm.renderer, short)
        self._results = Results.of(llm)
        self._watchdog = Watchdog(self._results, self._children, self._resources.hang_seconds)
        await self._loaded(llm)
        await asyncio.to_thread(freeze_heap)

    async def _loaded(self, llm: AsyncLLM) -> None:
        """What an engine learns of its model once that is loaded. Raises LoadFailed."""

    def _load(self) -> None:
        warm.FORK_SERVER.begin(self._resources.kind)
        child.announce(self._resources.log)
        warm.import_vllm()
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        warm.FORK_SERVER.adopt()

        args = AsyncEngineArgs(**self._engine_args())
        with self._children.recorded():
            # Not returned: a frame of the thread would keep the engine alive after its stop.
            self._llm = AsyncLLM.from_engine_args(args)

    def _engine_args(self) -> dict[str, Any]:
        card, resources = self._card, self._resources
        args: dict[str, Any] = {
            "model": resources.source,
            # Else vLLM's messages name the folder.
            "served_model_name": card.id,
            "runner": self.runner,
            "revision": card.revision or None,
            "dtype": card.dtype,
            "max_model_len": card.max_model_len,
            "max_num_seqs": card.max_num_seqs,
            "quantization": card.quantization or EIGHT_BIT.get(resources.rung),
            # Such code runs in a jail, and vLLM does not.
            "trust_remote_code": False,
            "load_format": "safetensors",
            "kv_cache_memory_bytes": resources.kv_cache_bytes,
            "disable_log_stats": True,
            "enable_log_requests": False,
            "use_tqdm_on_load": False,
        }
        if resources.kind == "cpu":
            args["enforce_eager"] = True
            args["worker_extension_cls"] = "inference.engines.vllm_cpu_worker.WorkerExtension"
            if all(card.engine_args.get(name, 1) == 1 for name in SPLITS):
                args["distributed_executor_backend"] = ONE_PROCESS
        else:
            args["device_ids"] = [int(device) for device in resources.devices]
            share = resources.bytes_per_device / resources.total_bytes_per_device
            args["gpu_memory_utilization"] = min(0.95, share)
            args["enable_sleep_mode"] = _knows_sleep()
            in_a_row = int(card.engine_args.get("pipeline_parallel_size", 1))
            args["tensor_parallel_size"] = len(resources.devices) // in_a_row
        # These choose a rung; the engine is told by it.
        own = {k: v for k, v in card.engine_args.items() if not k.startswith("load_in_")}
        return {**args, **own}

    async def died(self) -> str:
        """Return once the EngineCore is gone; one that hangs is ended for that."""
        why = ""
        while self._llm is not None and not self._llm.errored:
            await asyncio.sleep(DEATH_POLL_SECONDS)
            watchdog = self._watchdog
            if why or watchdog is None or not watchdog.uneasy:
                continue
            if why := await asyncio.to_thread(watchdog.look):
                # One that is stopped does not end by itself; vLLM notices when it has.
                self._children.kill()
        return why or await asyncio.to_thread(self._last_words)

    def _last_words(self) -> str:
        if self._children.were_killed() or child.worker_was_killed(self._resources.log):
            return KILLED
        return "its process ended"

    async def sleep(self) -> None:
        """The weights go to the machine's memory, the KV cache goes altogether."""
        if not self.can_sleep:
            await super().sleep()
        with self._moving("fall asleep"):
            await self._alive().sleep(level=1)

    async def wake(self) -> None:
        """The weights come back, and an empty KV cache."""
        with self._moving("wake up"):
            await self._alive().wake_up()

    @contextmanager
    def _moving(self, what: str) -> Iterator[None]:
        try:
            yield
        except EngineError:
            raise
        except Exception as error:  # whatever vLLM's parts raise
            cause = child.last_error(self._resources.log) or in_words(error)
            raise EngineError(f"It did not {what}: {cause}"[:500]) from error

    async def stop(self) -> None:
        """Shut the engine down and wait until its processes are gone."""
        while self._loading is not None and not self._loading.done():
            # Again and again: what it starts may be yet to come.
            self._children.kill()
            await asyncio.wait([self._loading], timeout=DEATH_POLL_SECONDS)
        if self._llm is not None:
            llm, self._llm = self._llm, None
            self._renderer = self._results = self._watchdog = None
            if llm.output_handler is not None:
                # Else it takes the orderly end for a crash and logs a traceback.
                llm.output_handler.cancel()
            await asyncio.to_thread(llm.shutdown, STOP_SECONDS)
            del llm
            # It sits in reference cycles, and its finaliser fails at the interpreter's end.
            await asyncio.to_thread(freeze_heap)
        await asyncio.to_thread(self._children.end, STOP_SECONDS)

    # --- one request -----------------------------------------------------------------------------

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Render, tokenise and check. vLLM does the slow parts on its own threads."""
        if isinstance(request, TokenizeRequest):
            return Prepared(request, 0, payload=await self._tokenized(request))
        if isinstance(request, DetokenizeRequest):
            return Prepared(request, 0, payload=await self._detokenized(request))
        return await self._prepare(request)

    def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """The answer. Closing it aborts the request in the engine."""
        if isinstance(prepared.request, TokenizeRequest | DetokenizeRequest):
            return _said(prepared.payload)
        return self._generate(prepared)

    async def _prepare(self, request: Question) -> Prepared[Question]:
        raise NotImplementedError

    def _generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        raise NotImplementedError

    async def _tokenized(self, request: TokenizeRequest) -> Output:
        llm = self._alive()
        special = request.messages is None if request.special is None else request.special
        # Longer than the context is no error here: the caller wants to know how long.
        params = dataclasses.replace(
            llm.renderer.default_cmpl_tok_params, max_total_tokens=None, add_special_tokens=special
        )
        rendered = await self._rendered(llm, request, params)
        ids: Sequence[int] = rendered["prompt_token_ids"]
        strings = None
        if request.strings:
            tokenizer = llm.renderer.get_tokenizer()
            strings = await asyncio.to_thread(tokenizer.convert_ids_to_tokens, list(ids))
        return Output(token_ids=ids, data=strings, usage=Usage())

    async def _detokenized(self, request: DetokenizeRequest) -> Output:
        llm = self._alive()
        self._check_ids(llm, request.tokens, "tokens")
        # Decoded where vLLM reads prompts: tokenizers are not made for two threads.
        params = dataclasses.replace(
            llm.renderer.default_cmpl_tok_params, max_total_tokens=None, needs_detokenization=True
        )
        prompt: Any = {"prompt_token_ids": list(request.tokens)}
        found: Any = await llm.renderer.tokenize_prompt_async(prompt, params)
        return Output(found["prompt"], usage=Usage())

    async def _rendered(
        self, llm: AsyncLLM, request: GenerateRequest | TokenizeRequest, params: Any = None
    ) -> Any:
        """A prompt or a conversation as vLLM takes it. Raises RequestError."""
        from vllm.exceptions import VLLMClientError

        field = "messages" if request.messages is not None else "prompt"
        await check_media(llm, request.messages)
        try:
            if request.messages is None:
                return (await self._read(llm, [request.prompt or ""], params, field))[0]
            return await self._render_chat(llm, request, params)
        except VLLMClientError as error:
            raise client_error(error, field) from error
        except (ValueError, TypeError, KeyError) as error:  # a template that rejects the messages
            raise InvalidRequest(in_words(error), field) from error
        except Exception as error:
            if type(error).__module__.startswith("jinja2"):
                raise InvalidRequest(in_words(error), field) from error
            if refusal := unreadable(error, request.messages):
                raise refusal from error
            raise

    async def _read(
        self, llm: AsyncLLM, prompts: Sequence[Prompt], params: Any, field: str
    ) -> Sequence[Any]:
        """Texts and token ids as vLLM takes them."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        for prompt in prompts:
            if not isinstance(prompt, str):
                self._check_ids(llm, prompt, field)
        said = [prompt if isinstance(prompt, str) else list(prompt) for prompt in prompts]
        parsed = [parse_model_prompt(llm.model_config, each) for each in said]
        rendered: Sequence[Any] = await llm.renderer.render_cmpl_async(parsed, params)
        return rendered

    async def _render_chat(
        self, llm: AsyncLLM, request: GenerateRequest | TokenizeRequest, params: Any
    ) -> Any:
        from vllm.renderers import ChatParams

        kwargs: dict[str, Any] = {"add_generation_prompt": True, **request.chat_template_kwargs}
        if request.tools and getattr(request, "tool_choice", "auto") != "none":
            kwargs["tools"] = self._plain.tools(request.tools)
        messages: list[Any] = self._plain.messages(request.messages or ())
        chat = ChatParams(chat_template_kwargs=kwargs)
        if not has_media(request.messages) and self._renderer is not None:
            return await self._renderer.prompt(messages, chat, params)
        _, rendered = await llm.renderer.render_chat_async([messages], chat, params)
        return rendered[0]

    @staticmethod
    def _check_ids(llm: AsyncLLM, prompt: Sequence[int], field: str) -> None:
        size = llm.model_config.get_vocab_size()
        bad = next((i for i in prompt if not 0 <= i < size), None)
        if bad is not None:
            raise InvalidRequest(f"Token id {bad} is not in the vocabulary.", field)
        if not prompt:
            raise InvalidRequest("A prompt has at least one token.", field)

    @property
    def alive(self) -> bool:
        """False as soon as vLLM has noticed that its process is gone."""
        return self._llm is not None and not self._llm.errored

    def _alive(self) -> AsyncLLM:
        if self._llm is None or self._llm.errored:
            raise EngineCrashed(f"The engine of `{self._card.id}` is gone.")
        return self._llm


def _knows_sleep() -> bool:
    from vllm.platforms import current_platform

    return bool(
        current_platform.is_sleep_mode_available()
        and current_platform.is_cumem_allocator_available()
    )


async def _said(output: Output) -> AsyncGenerator[Output, None]:
    """An answer that was found while the request was prepared."""
    yield output


def load_error(cause: str, killed: bool = False) -> LoadFailed | OutOfMemory:
    """Why a load failed, as an error of ours. `killed`: so was one of its workers."""
    if killed:
        return OutOfMemory(f"While it loaded, {KILLED}.")
    if NO_MEMORY.search(cause):
        return OutOfMemory(cause[:500])
    return LoadFailed(WITHOUT_TORCHVISION if NEEDS in cause else cause[:500])


def client_error(error: Exception, field: str | None) -> InvalidRequest | ContextLengthExceeded:
    """What vLLM says of a request, as an error of ours."""
    # vLLM appends "(parameter=…, value=…)", which `param` says already.
    message = in_words(error).partition(" (parameter=")[0]
    if "maximum context length" in message or "longer than the maximum model length" in message:
        return ContextLengthExceeded(message, field)
    param = getattr(error, "parameter", None) or field
    if "not support" in message:
        return UnsupportedParameter(message, param)
    return InvalidRequest(message, param)


def freeze_heap() -> None:
    """Clear away what is rubbish, and leave everything else out of later collections.

    vLLM's modules and an engine are a million objects. Each full collection would look at all of
    them, for a third of a second in which nothing else runs. What was frozen before is looked at
    once more: else a stopped engine would stay.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def in_words(error: BaseException) -> str:
    """The innermost cause that says something, on one line of at most 500 characters."""
    said = str(error).strip() or type(error).__name__
    return " ".join(said.split())[:500]
