"""Vectors and scores from a model under vLLM's pooling."""

from __future__ import annotations

import asyncio
import dataclasses
from array import array
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from inference.catalogue import ModelCard
from inference.engines.base import Prepared, Resources
from inference.engines.vllm_base import VllmBase, client_error, in_words
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    InvalidRequest,
    LoadFailed,
    RequestError,
    UnsupportedParameter,
)
from inference.requests import EmbedRequest, Output, Prompt, Question, ScoreRequest, Usage

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

Job = tuple[Any, Any]  # vLLM's input and its pooling parameters


class VllmPoolingEngine(VllmBase):
    """A model that makes vectors of texts, or scores of pairs of texts.

    The texts of all requests meet in vLLM, which computes together what is there together. Of one
    request, no more texts than a batch holds are there at a time, so that others find a place.
    """

    runner = "pooling"

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        super().__init__(card, resources)
        # vLLM's reader of pairs, for a model that looks at both texts at once.
        self._pairs: Any = None

    def _engine_args(self) -> dict[str, Any]:
        from vllm.config import PoolerConfig

        args = super()._engine_args()
        if isinstance(args.get("pooler_config"), dict):
            args["pooler_config"] = PoolerConfig(**args["pooler_config"])
        return args

    async def _loaded(self, llm: AsyncLLM) -> None:
        tasks = await llm.get_supported_tasks()
        if "embed" in tasks:
            return
        scores = "classify" in tasks and getattr(llm.model_config.hf_config, "num_labels", 0) == 1
        if self._card.task == "embedding" or not scores:
            able = ", ".join(tasks) or "nothing"
            raise LoadFailed(f"It cannot do {self._card.task}; vLLM finds it can do: {able}.")
        self._pairs = await asyncio.to_thread(_pair_reader, llm)

    # --- one request -----------------------------------------------------------------------------

    async def _prepare(self, request: Question) -> Prepared[Question]:
        jobs = await self._jobs(self._alive(), request)
        if any(not job["prompt_token_ids"] for job, _ in jobs):
            raise InvalidRequest("One of the texts has no tokens.", "input")
        return Prepared(request, sum(len(job["prompt_token_ids"]) for job, _ in jobs), payload=jobs)

    async def _jobs(self, llm: AsyncLLM, request: Question) -> list[Job]:
        if isinstance(request, ScoreRequest):
            if self._pairs is not None:
                return await self._pair_jobs(llm, request)
            texts = (*request.queries, *request.documents)
            return await self._text_jobs(llm, texts, request.truncate, None, "documents")
        if isinstance(request, EmbedRequest) and self._pairs is None:
            dimensions = _dimensions(llm, request.dimensions)
            return await self._text_jobs(llm, request.inputs, request.truncate, dimensions, "input")
        raise UnsupportedParameter(f"This model is for {self._card.task} only.", "model")

    async def _text_jobs(
        self,
        llm: AsyncLLM,
        texts: Sequence[Prompt],
        truncate: int | None,
        dimensions: int | None,
        field: str,
    ) -> list[Job]:
        from vllm.exceptions import VLLMClientError
        from vllm.pooling_params import PoolingParams

        params = PoolingParams(task="embed", dimensions=dimensions)
        try:
            params.verify(llm.model_config)
        except (VLLMClientError, ValueError) as error:
            raise client_error(error, "dimensions") from error
        try:
            found = await self._read(
                llm, _bounded(llm, texts, truncate, field), _reading(llm, truncate), field
            )
        except (VLLMClientError, ValueError, TypeError) as error:
            raise _text_error(error, field, truncate) from error
        return [(each, params) for each in found]

    async def _pair_jobs(self, llm: AsyncLLM, request: ScoreRequest) -> list[Job]:
        from vllm.entrypoints.pooling.typing import ScoringRenderParams
        from vllm.exceptions import VLLMClientError
        from vllm.pooling_params import PoolingParams

        params = PoolingParams(task="classify")
        params.verify(llm.model_config)
        reading = _reading(llm, request.truncate)
        queries = _bounded(llm, request.queries, request.truncate, "query")
        documents = _bounded(llm, request.documents, request.truncate, "documents")
        if len(queries) == 1:
            queries *= len(documents)
        wanted = [
            ScoringRenderParams(
                data_1=query,
                data_2=document,
                chat_template=None,
                max_tokens_per_query=0,
                max_tokens_per_doc=0,
                tok_params=reading,
                prompt_extras=None,
                skip_mm_cache=False,
                params=params,
                lora_requests=None,
                priorities=0,
            )
            for query, document in zip(queries, documents, strict=True)
        ]
        try:
            # On vLLM's thread, one by one: between two of them others are read.
            found = await asyncio.gather(*map(self._pairs.render_async, wanted))
        except (VLLMClientError, ValueError, TypeError) as error:
            raise _text_error(error, "documents", request.truncate) from error
        return [(each["prompts"], each["params"]) for each in found]

    async def _generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """One Output per vector or score, as they come."""
        request, jobs = prepared.request, prepared.payload
        results: AsyncGenerator[tuple[int, Any], None]
        if isinstance(request, EmbedRequest):
            results = self._vectors(request, jobs)
        elif self._pairs is not None:
            results = self._pair_scores(request, jobs)
        else:
            results = self._cosines(request, jobs)
        left = len(request.documents if isinstance(request, ScoreRequest) else request.inputs)
        try:
            async for index, data in results:
                left -= 1
                usage = None if left else Usage(prepared.prompt_tokens)
                yield Output(index=index, data=data, usage=usage)
        finally:
            await results.aclose()

    async def _vectors(
        self, request: EmbedRequest, jobs: Sequence[Job]
    ) -> AsyncGenerator[tuple[int, array[float]], None]:
        async for index, data in self._encoded(jobs, request.request_id):
            yield index, array("f", data.float().numpy().tobytes())

    async def _pair_scores(
        self, request: ScoreRequest, jobs: Sequence[Job]
    ) -> AsyncGenerator[tuple[int, float], None]:
        async for index, data in self._encoded(jobs, request.request_id):
            yield index, float(data.item())

    async def _cosines(
        self, request: ScoreRequest, jobs: Sequence[Job]
    ) -> AsyncGenerator[tuple[int, float], None]:
        """How near the vectors of two texts are: the queries' first, then each document's."""
        from torch.nn.functional import cosine_similarity

        count, queries = len(request.queries), {}
        async for index, data in self._encoded(jobs[:count], f"{request.request_id}-q"):
            queries[index] = data.float()
        async for index, data in self._encoded(jobs[count:], request.request_id):
            query = queries[index if count > 1 else 0]
            yield index, float(cosine_similarity(query, data.float(), dim=0))

    async def _encoded(
        self, jobs: Sequence[Job], request_id: str
    ) -> AsyncGenerator[tuple[int, Any], None]:
        """What vLLM makes of each job, with its place, as they come. Closing it aborts the rest."""
        waiting = enumerate(jobs)
        tasks = self._started(waiting, self._card.max_num_seqs, request_id)
        try:
            while tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks |= self._started(waiting, len(done), request_id)
                while done:
                    task = done.pop()
                    tasks.discard(task)
                    yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _started(
        self, waiting: Iterator[tuple[int, Job]], count: int, request_id: str
    ) -> set[asyncio.Task[tuple[int, Any]]]:
        return {
            asyncio.create_task(self._one(index, job, f"{request_id}-{index}"))
            for index, job in islice(waiting, count)
        }

    async def _one(self, index: int, job: Job, request_id: str) -> tuple[int, Any]:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            async for result in self._alive().encode(*job, request_id):
                if result.error is not None:
                    raise EngineCrashed(f"The engine gave a text up: {result.error.message}")
                return index, result.outputs.data
        except VLLMClientError as error:
            raise client_error(error, "input") from error
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineCrashed(f"The engine of `{self._card.id}` crashed.") from error
        raise EngineCrashed("The engine ended without an answer.")


def _pair_reader(llm: AsyncLLM) -> Any:
    from vllm.entrypoints.pooling.scoring.io_processor import CrossEncoderIOProcessor
    from vllm.renderers.chat_utils import ChatTemplateConfig

    return CrossEncoderIOProcessor(llm.vllm_config, llm.renderer, ChatTemplateConfig())


def _bounded(llm: AsyncLLM, texts: Sequence[Any], truncate: int | None, field: str) -> list[Any]:
    """The texts without what cannot fit: a query of megabytes would be read with each document."""
    most = llm.model_config.max_model_len * llm.renderer.get_tokenizer().max_chars_per_token
    if truncate is None and any(len(text) > most for text in texts):
        raise ContextLengthExceeded(
            f"This model's maximum context length is {llm.model_config.max_model_len} tokens. "
            f"However, a text has more than {most} characters, which cannot fit.",
            field,
        )
    return [text[:most] for text in texts]


def _reading(llm: AsyncLLM, truncate: int | None) -> Any:
    """How long a text may be, or where it is cut."""
    standard = llm.renderer.default_cmpl_tok_params
    longest = llm.model_config.max_model_len
    if truncate is None:
        return standard
    if truncate > longest:
        reason = f"This model reads {longest} tokens at most."
        raise InvalidRequest(reason, "truncate_prompt_tokens")
    return dataclasses.replace(standard, truncate_prompt_tokens=truncate)


def _text_error(error: Exception, field: str, truncate: int | None) -> RequestError:
    if truncate is not None:
        return InvalidRequest(in_words(error), "truncate_prompt_tokens")
    return client_error(error, field)


def _dimensions(llm: AsyncLLM, asked: int | None) -> int | None:
    """The length to cut vectors to. Asking for the full one asks for nothing."""
    full = llm.model_config.embedding_size
    if asked is None or asked == full:
        return None
    if not llm.model_config.is_matryoshka:
        raise UnsupportedParameter(
            f"This model does not support specifying dimensions; its vectors have {full}.",
            "dimensions",
        )
    return asked
