"""What each route does: one row for each view. A view without a row is not described, and
`tests/api/test_description.py` fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import views
from .view import DocumentView


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one view. `answer` and `chunk` name schemas of `answers`, `required` fields
    of the body; each of `examples` is a body that runs. Without `public`, key mode asks for a key.
    """

    id: str
    tag: str
    summary: str
    answer: str = ""
    chunk: str = ""
    required: tuple[str, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    public: bool = False


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
GENERATE = (400, 404, 413, 429, 500, 503, 504)

OPERATIONS: Mapping[type, Operation] = {
    views.ChatCompletionsView: Operation(
        id="create_chat_completion",
        tag="Chat",
        summary="Answer a conversation, whole or streamed",
        answer="ChatAnswer",
        chunk="ChatChunk",
        required=("messages",),
        examples={
            "whole": {"messages": QUESTION, "max_tokens": 30},
            "streamed": {"messages": QUESTION, "max_tokens": 30, "stream": True},
            "two choices, with logprobs": {
                "messages": [
                    {"role": "system", "content": "Answer in one word."},
                    {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
                ],
                "max_completion_tokens": 5,
                "n": 2,
                "seed": 7,
                "temperature": 0.5,
                "logprobs": True,
                "top_logprobs": 2,
            },
        },
        refusals=GENERATE,
    ),
    views.CompletionsView: Operation(
        id="create_completion",
        tag="Completions",
        summary="Go on with a text, whole or streamed",
        answer="CompletionAnswer",
        chunk="CompletionChunk",
        required=("prompt",),
        examples={
            "whole": {"prompt": "What is the capital of France?", "max_tokens": 30, "echo": True},
            "streamed": {"prompt": "What is the largest planet?", "stream": True},
            "several prompts": {"prompt": ["One", "Two"], "max_tokens": 5, "logprobs": 1},
        },
        refusals=GENERATE,
    ),
    views.ModelsView: Operation(
        id="list_models",
        tag="Models",
        summary="Every model that may be asked for, loaded or not",
        answer="ModelList",
    ),
    views.ModelView: Operation(
        id="retrieve_model",
        tag="Models",
        summary="One model: state, context length, capabilities, parameters that work",
        answer="ModelDetail",
        refusals=(404,),
    ),
    views.EnginesView: Operation(
        id="list_engines",
        tag="Engines",
        summary="Models in the words of openai 0.28",
        answer="EngineList",
    ),
    views.EngineView: Operation(
        id="retrieve_engine",
        tag="Engines",
        summary="One model in the words of openai 0.28",
        answer="Engine",
        refusals=(404,),
    ),
    DocumentView: Operation(
        id="describe",
        tag="Description",
        summary="This document",
        public=True,
    ),
}
