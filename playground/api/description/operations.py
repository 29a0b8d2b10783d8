"""What each route does: one row for each view. A view without a row is not described, and
`tests/api/test_description.py` fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import queue, tasks, usage, views
from ..audio import views as audio
from ..serializers.ranking import SIDES
from . import sounds
from .view import DocumentView


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one view. `answer` and `chunk` name schemas of `answers`; `required` are names
    of fields that a body needs, in each way that is enough. Each of `examples` is a body that runs
    (with a model of that name). `query` are parameters of the address. `body` is for a view without
    a serializer: its content type and schema. `files` are answers of other content types than JSON.
    Without `public`, key mode asks for a key.
    """

    id: str
    tag: str
    summary: str
    answer: str = ""
    chunk: str = ""
    required: tuple[tuple[str, ...], ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()
    public: bool = False
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)


QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
DOCUMENTS = ["Tea grows on hills.", "Paris is the capital of France.", "A cat sat."]
# Placeholders: the default model is for chats.
EMBEDDER: Mapping[str, Any] = {"model": "my-embedder"}
RERANKER: Mapping[str, Any] = {"model": "my-reranker"}
FORM = "multipart/form-data"
GENERATE = (400, 404, 413, 429, 500, 503, 504)

OPERATIONS: Mapping[type, Operation] = {
    views.ChatCompletionsView: Operation(
        id="create_chat_completion",
        tag="Chat",
        summary="Answer a conversation, whole or streamed",
        answer="ChatAnswer",
        chunk="ChatChunk",
        required=(("messages",),),
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
        required=(("prompt",),),
        examples={
            "whole": {"prompt": "What is the capital of France?", "max_tokens": 30, "echo": True},
            "streamed": {"prompt": "What is the largest planet?", "stream": True},
            "several prompts": {"prompt": ["One", "Two"], "max_tokens": 5, "logprobs": 1},
        },
        refusals=GENERATE,
    ),
    tasks.EmbeddingsView: Operation(
        id="create_embeddings",
        tag="Embeddings",
        summary="Vectors of texts",
        answer="EmbeddingList",
        required=(("input",),),
        examples={
            "one text": {**EMBEDDER, "input": "The cat sat on the mat."},
            "several texts, as base64": {
                **EMBEDDER,
                "input": ["A cat", "A dog"],
                "encoding_format": "base64",
            },
            "token ids, cut": {**EMBEDDER, "input": [[1, 2, 3], [4]], "truncate_prompt_tokens": 2},
        },
        refusals=GENERATE,
    ),
    tasks.RerankView: Operation(
        id="rerank",
        tag="Rankings",
        summary="Documents in order of how well they fit a query",
        answer="RerankAnswer",
        required=(("query", "documents"),),
        examples={
            "all": {**RERANKER, "query": "Where is Paris?", "documents": DOCUMENTS},
            "the best, without its text": {
                **RERANKER,
                "query": "Where is Paris?",
                "documents": [{"text": each} for each in DOCUMENTS],
                "top_n": 1,
                "return_documents": False,
            },
        },
        refusals=GENERATE,
    ),
    tasks.ScoreView: Operation(
        id="score",
        tag="Rankings",
        summary="How well texts go together: one against many, or pair by pair",
        answer="ScoreAnswer",
        required=SIDES,
        examples={
            "one against many": {**RERANKER, "text_1": "Where is Paris?", "text_2": DOCUMENTS},
            "pair by pair": {**RERANKER, "queries": ["A", "B"], "documents": ["A", "C"]},
        },
        refusals=GENERATE,
    ),
    tasks.TokenizeView: Operation(
        id="tokenize",
        tag="Tokens",
        summary="The token ids of a text or a conversation",
        answer="Tokens",
        required=(("prompt",), ("messages",)),
        examples={
            "a text": {"prompt": "What is the capital of France?", "return_token_strs": True},
            "a conversation": {"messages": QUESTION},
        },
        refusals=GENERATE,
    ),
    tasks.DetokenizeView: Operation(
        id="detokenize",
        tag="Tokens",
        summary="The text of token ids",
        answer="Detokenized",
        required=(("tokens",),),
        examples={"three tokens": {"tokens": [1, 2, 3]}},
        refusals=GENERATE,
    ),
    audio.TranscriptionsView: Operation(
        id="create_transcription",
        tag="Audio",
        summary="What is said in a sound, in its own language",
        answer="Heard",
        required=(("file",),),
        body={FORM: sounds.form(languages=True)},
        files=sounds.heard(),
        refusals=GENERATE,
    ),
    audio.TranslationsView: Operation(
        id="create_translation",
        tag="Audio",
        summary="What is said in a sound, in English",
        answer="Heard",
        required=(("file",),),
        body={FORM: sounds.form(languages=False)},
        files=sounds.heard(),
        refusals=GENERATE,
    ),
    audio.SpeechView: Operation(
        id="create_speech",
        tag="Audio",
        summary="A text, spoken",
        required=(("input",),),
        body={"application/json": sounds.speech()},
        files=sounds.spoken(),
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
    queue.QueueView: Operation(
        id="list_queue",
        tag="Queue",
        summary="The caller's own requests that wait for their turn",
        answer="QueueList",
    ),
    usage.UsageView: Operation(
        id="retrieve_usage",
        tag="Usage",
        summary="What the key's owner has used, by key and by model",
        answer="UsageReport",
        refusals=(400, 503),
        query={"days": {"type": "integer", "minimum": 1, "maximum": usage.MOST_DAYS}},
    ),
    queue.StatusView: Operation(
        id="retrieve_status",
        tag="Queue",
        summary="What is loaded, how long its turn lasts, what comes next",
        answer="Status",
        public=True,
    ),
    DocumentView: Operation(
        id="describe",
        tag="Description",
        summary="This document",
        public=True,
    ),
}
