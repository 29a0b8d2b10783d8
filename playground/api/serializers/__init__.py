"""Bodies of requests, checked and turned into what `inference` takes."""

from .base import BodySerializer, Call, Task
from .chat import ChatCompletionSerializer
from .completion import CompletionSerializer
from .embeddings import EmbeddingSerializer
from .ranking import RerankSerializer, ScoreSerializer
from .tokens import DetokenizeSerializer, TokenizeSerializer

__all__ = [
    "BodySerializer",
    "Call",
    "ChatCompletionSerializer",
    "CompletionSerializer",
    "DetokenizeSerializer",
    "EmbeddingSerializer",
    "RerankSerializer",
    "ScoreSerializer",
    "Task",
    "TokenizeSerializer",
]
