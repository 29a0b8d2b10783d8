"""Bodies of requests, checked and turned into what `inference` takes."""

from .base import Call
from .chat import ChatCompletionSerializer
from .completion import CompletionSerializer

__all__ = ["Call", "ChatCompletionSerializer", "CompletionSerializer"]
