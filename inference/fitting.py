"""Which rung of the ladder each model is loaded on here, and what is known of its size."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from inference.catalogue import ModelCard
from inference.decisions import Model
from inference.ladder import Ladder, Machine, below, of_card
from inference.library import Library
from inference.placement import free_bytes
from inference.scheduler import Scheduler
from inference.sizing import Need, Weights

Key = tuple[object, ...]
# A context that no model is too large for that fits at all.
SHORT = 512
NOT_MEASURED = ("", "", 0)


class Fitting:
    """`disk_bytes` is what weights may take of the disk while they are loaded."""

    def __init__(self, scheduler: Scheduler, library: Library) -> None:
        self.disk_bytes = 0
        self._scheduler = scheduler
        self._library = library
        self._weights: dict[Key, Weights] = {}
        # By id: source, revision and bytes of what was measured last.
        self._sizes: dict[str, tuple[str, str, int]] = {}
        # The rung that ran out of memory last.
        self._failed: dict[Key, Need] = {}

    async def ladder(self, card: ModelCard) -> Ladder:
        """The ways in which it fits beside what is pinned. Raises what `Library.weights` does."""
        key = _key(card)
        if key not in self._weights:
            self._weights[key] = await self._library.weights(card)
        self._sizes[card.id] = card.source, card.revision, self._weights[key].bytes
        return self._ladder(card, self._weights[key])

    async def misfit(self, card: ModelCard) -> tuple[str, str]:
        """Which field of a card keeps its model from fitting, and why; empty where it fits.

        Raises what `Library.weights` does.
        """
        refusal = (await self.ladder(card)).refusal
        if not refusal:
            return "", ""
        weights = self._weights[_key(card)]
        # Whatever makes it fit when it is let go is to blame; else the model itself.
        freer: tuple[tuple[str, dict[str, Any]], ...] = (
            ("rungs", {"rungs": ()}),
            ("engine_args", {"engine_args": {}}),
            ("max_model_len", {"max_model_len": SHORT, "max_num_seqs": 1}),
        )
        for field, change in freer:
            if self._ladder(replace(card, **change), weights).steps:
                return field, refusal
        return "source", refusal

    def known(self, card: ModelCard) -> Weights | None:
        """What is known of the model's files; None before it was measured."""
        return self._weights.get(_key(card))

    def weight_bytes(self, card: ModelCard) -> int | None:
        """Bytes of the model's weights; None before it was measured. For thousands of cards."""
        source, revision, size = self._sizes.get(card.id, NOT_MEASURED)
        return size if (source, revision) == (card.source, card.revision) else None

    async def model(self, card: ModelCard) -> Model:
        """The card as the scheduler knows it. Raises what `Library.weights` does."""
        return self._model(card, await self.ladder(card))

    def put(self, model: Model) -> None:
        """The scheduler knows this model so from now on."""
        others = [each for each in self._scheduler.models.values() if each.id != model.id]
        self._scheduler.set_models([*others, model])

    def step_down(self, card: ModelCard | None) -> bool:
        """A load ran out of memory: take the next rung; False where there is none."""
        model = self._scheduler.models.get(card.id) if card else None
        if card is None or model is None or _key(card) not in self._weights:
            return False
        ladder = self._ladder(card, self._weights[_key(card)])
        if below(ladder, model.need) is None:
            # The next try begins at the top again.
            self._failed.pop(_key(card), None)
            return False
        self._failed[_key(card)] = model.need
        self.put(self._model(card, ladder))
        return True

    def _model(self, card: ModelCard, ladder: Ladder) -> Model:
        failed = self._failed.get(_key(card))
        need = below(ladder, failed) if failed else None
        need = need or next(iter(ladder.steps), ladder.least)
        return Model(
            card.id,
            need,
            card.max_num_seqs,
            card.wish,
            card.slice,
            card.replicas,
            need.sleep_bytes,
            need.asleep_bytes_per_device,
            ladder.refusal,
        )

    def _ladder(self, card: ModelCard, weights: Weights) -> Ladder:
        scheduler = self._scheduler
        pinned = [r for r in scheduler.replicas.values() if scheduler.pinned(r)]
        rooms = free_bytes(scheduler.devices, [r for r in pinned if r.model != card.id])
        machine = Machine(
            scheduler.devices[0].kind if scheduler.devices else "cpu",
            tuple(sorted((max(0, room) for room in rooms.values()), reverse=True)),
            min((device.bandwidth for device in scheduler.devices), default=0.0),
            scheduler.limits.host_bytes,
            self.disk_bytes,
            scheduler.devices[0].dtype if scheduler.devices else "",
        )
        return of_card(card, weights, machine)


def _key(card: ModelCard) -> Key:
    """What decides how large a model is."""
    args = json.dumps(dict(card.engine_args), sort_keys=True, default=str)
    return (
        card.engine,
        card.task,
        card.source,
        card.revision,
        card.quantization,
        card.max_model_len,
        card.max_num_seqs,
        card.rungs,
        args,
    )
