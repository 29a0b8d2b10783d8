"""GPUs, models and queues. Knows no HTTP and no users.

This is the front door: import `get_service`, `requests` and `errors` from here and nothing else
from inside. A request goes `service.generate` → `scheduler` (its turn) → `engines` (its tokens).
"""

from inference import errors, requests
from inference.answer import Answer
from inference.catalogue import ModelCard
from inference.service import InferenceService, get_service
from inference.status import ModelStatus, Overview, Queued, Waiting

__all__ = [
    "Answer",
    "InferenceService",
    "ModelCard",
    "ModelStatus",
    "Overview",
    "Queued",
    "Waiting",
    "errors",
    "get_service",
    "requests",
]
