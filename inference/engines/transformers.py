"""Models under transformers: one worker process each, whatever the task."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, replace
from typing import Any

from inference.catalogue import ModelCard
from inference.engines.base import Engine, Prepared, Resources
from inference.engines.loading import Loading
from inference.engines.messages import Load
from inference.engines.program import Call
from inference.engines.supervisor import Supervisor
from inference.engines.walls import WalledWorker
from inference.errors import UnsupportedParameter
from inference.requests import Output, Question, TaskRequest, Usage

logger = logging.getLogger(__name__)

PIPELINES = "inference.engines.pipelines.program:PipelineProgram"
# Seconds that a batch waits for more calls, once the model is idle.
MAX_WAIT = 0.005


class WorkerEngine(Engine):
    """One model in a worker. What it answers is the heirs'."""

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        self.max_model_len = card.max_model_len or 0
        self._card = card
        self._max_wait = float(card.engine_args.get("max_wait", MAX_WAIT))
        # So long it may wait for more calls before it begins.
        hang_seconds = resources.hang_seconds + self._max_wait
        self._resources = resources = replace(resources, hang_seconds=hang_seconds)
        self._walled = WalledWorker(card, resources) if card.trust_remote_code else None
        self._worker = self._walled or Supervisor(
            card.id, resources.log, resources.kind, hang_seconds=hang_seconds
        )

    def _program(self) -> tuple[str, dict[str, Any]]:
        """The program that runs in the worker, and what it is made from."""
        raise NotImplementedError

    async def start(self) -> None:
        """Load the model. Raises LoadFailed or OutOfMemory."""
        if self._walled is not None:
            await asyncio.to_thread(self._walled.check)
            self._walled.watch()
        program, arguments = self._program()
        most = self._card.max_num_seqs
        facts = await self._worker.start(Load(program, arguments, most, self._max_wait))
        await self._loaded(facts)

    async def _loaded(self, facts: Mapping[str, Any]) -> None:
        """What an engine learns of its model once that is loaded. Raises LoadFailed."""
        self.max_model_len = int(facts.get("max_model_len") or self.max_model_len)

    @property
    def alive(self) -> bool:
        """Whether its worker runs."""
        return self._worker.alive

    async def died(self) -> str:
        """Return once the worker is gone."""
        return await self._worker.died()

    async def stop(self) -> None:
        """End the worker; its memory is free then, and what it put on the disk is gone."""
        await self._worker.stop()
        if self._resources.offload is not None:
            await asyncio.to_thread(shutil.rmtree, self._resources.offload, ignore_errors=True)

    def _loading(self) -> dict[str, Any]:
        card, resources = self._card, self._resources
        loading = Loading(
            resources.source,
            card.revision,
            card.dtype,
            resources.kind,
            len(resources.devices),
            resources.rung,
            resources.weights_per_device,
            resources.host_bytes,
            str(resources.offload or ""),
            card.trust_remote_code,
        )
        return asdict(loading)


class TransformersEngine(WorkerEngine):
    """Any task but text: one call, one answer; calls that wait together run together."""

    def _program(self) -> tuple[str, dict[str, Any]]:
        return PIPELINES, {"task": self._card.task, **self._loading()}

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Nothing is read before its turn: pictures and sounds are large."""
        if not isinstance(request, TaskRequest):
            raise UnsupportedParameter(f"This model is for {self._card.task} only.", "model")
        return Prepared(request, 0, payload=Call(request.task, request.inputs, request.parameters))

    async def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """One Output with the result."""
        answer = await self._worker.ask(prepared.payload)
        yield Output(data=answer, usage=Usage())
