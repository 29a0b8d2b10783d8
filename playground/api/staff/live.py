"""How everything is doing, as JSON for the pages of staff."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from inference import Fit, InferenceService, ModelStatus
from inference.errors import ModelNotFound

from ..queue import seconds, status_body

# Of the switches of all models, so many are told.
SHOWN_SWITCHES = 200


def live_body(service: InferenceService) -> dict[str, Any]:
    """The board, the models of which there is news, and what brought them in and out.

    A catalogue may have thousands of cards: those that are only there are left out.
    """
    return {
        **status_body(service.overview(), service.accepting),
        "now": time.time(),
        "models": [model_body(status) for status in service.live()],
        "events": [
            {
                "model": switch.model,
                "kind": switch.kind,
                "began": switch.ended - switch.seconds,
                "ended": switch.ended,
                "why": switch.why,
            }
            for switch in service.switches()[-SHOWN_SWITCHES:]
        ],
    }


def model_body(status: ModelStatus) -> dict[str, Any]:
    """One model as staff see it."""
    place = status.place
    return {
        "id": status.card.id,
        "state": status.state,
        "detail": status.detail,
        "wish": status.card.wish,
        "tier": status.tier,
        "running": status.running,
        "waiting": status.waiting,
        "progress": None if status.progress is None else round(status.progress, 3),
        "ready_in": seconds(status.ready_in),
        "load_seconds": seconds(status.load_seconds),
        "tokens_per_second": seconds(status.tokens_per_second),
        "answer_seconds": seconds(status.answer_seconds),
        "placement": asdict(place) if place else None,
    }


def one_body(service: InferenceService, model: str) -> dict[str, Any] | None:
    """One model, whether there is news of it or not; None for one that this server has not read."""
    try:
        return model_body(service.model_status(model))
    except ModelNotFound:
        return None


def fit_body(fit: Fit) -> dict[str, Any]:
    """What became of a look at a card."""
    card = fit.card
    return {
        "id": card.id,
        "task": card.task,
        "engine": card.engine,
        "revision": card.revision,
        "licence": card.licence,
        "max_model_len": card.max_model_len,
        "weight_bytes": fit.weight_bytes,
        "fetch_bytes": fit.fetch_bytes,
        "card": fit.toml(),
        "ways": [asdict(way) for way in fit.ways],
    }
