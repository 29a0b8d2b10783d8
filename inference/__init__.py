"""GPUs, models and queues. Knows no HTTP and no users.

This is the front door: import `get_service`, `requests` and `errors` from here and nothing else
from inside. A request goes `service.generate` → `scheduler` (its turn) → `engines` (its tokens).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference import checkup, custom, errors, requests
    from inference.answer import Answer
    from inference.catalogue import CardError, ModelCard, card_of, table_of
    from inference.examining import Fit, Verdict
    from inference.service import InferenceService, get_service
    from inference.status import ModelStatus, Overview, Queued, Waiting, in_figures

# Opened when somebody enters: the children of engines live in this package too, and have no use for
# the service, nor time to import it.
_ROOMS = {
    "Answer": "answer",
    "CardError": "catalogue",
    "Fit": "examining",
    "InferenceService": "service",
    "ModelCard": "catalogue",
    "ModelStatus": "status",
    "Overview": "status",
    "Queued": "status",
    "Verdict": "examining",
    "Waiting": "status",
    "card_of": "catalogue",
    "get_service": "service",
    "in_figures": "status",
    "table_of": "catalogue",
}

__all__ = [
    "Answer",
    "CardError",
    "Fit",
    "InferenceService",
    "ModelCard",
    "ModelStatus",
    "Overview",
    "Queued",
    "Verdict",
    "Waiting",
    "card_of",
    "checkup",
    "custom",
    "errors",
    "get_service",
    "in_figures",
    "requests",
    "table_of",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(importlib.import_module(f"inference.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
