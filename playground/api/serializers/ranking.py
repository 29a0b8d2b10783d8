"""The bodies of `/v1/rerank` (as at Jina and Cohere) and `/v1/score` (as at vLLM)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from inference.requests import ScoreRequest

from .. import checks
from ..fields import Flag, Integer, StrictField
from .base import REFUSED, BodySerializer
from .embeddings import MAX_INPUTS, truncation

MEANINGFUL = frozenset(
    {
        "chat_template_kwargs",
        "instruction",
        "max_chunks_per_doc",
        "max_tokens_per_doc",
        "max_tokens_per_query",
        "rank_fields",
        "truncation_side",
        "use_activation",
    }
)
# Names of the two sides, as vLLM took them over the years.
SIDES = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))


def text(value: Any, param: str) -> str:
    """A text, bare or as `{"text": …}`."""
    if isinstance(value, dict):
        if "text" not in value:
            checks.missing(f"{param}.text")
        value, param = value["text"], f"{param}.text"
    return checks.text(value, param, shortest=1)


def texts(value: Any, param: str) -> tuple[str, ...]:
    """One text or an array of them."""
    if isinstance(value, list):
        return documents(value, param)
    return (text(value, param),)


def documents(value: Any, param: str) -> tuple[str, ...]:
    """An array of texts."""
    found = checks.array(value, param, MAX_INPUTS, 1)
    return tuple(text(each, f"{param}[{i}]") for i, each in enumerate(found))


class RerankSerializer(BodySerializer):
    """Which of the documents fit the query best."""

    query = StrictField(text)
    documents = StrictField(documents)
    top_n = Integer(0, 2**31 - 1)
    return_documents = Flag()
    truncate_prompt_tokens = StrictField(truncation)

    refused: ClassVar[frozenset[str]] = REFUSED | MEANINGFUL

    def question(self, values: Mapping[str, Any]) -> ScoreRequest:
        for name in ("query", "documents"):
            if name not in values:
                checks.missing(name)
        return ScoreRequest(
            model=values.get("model", ""),
            queries=(values["query"],),
            documents=values["documents"],
            truncate=values.get("truncate_prompt_tokens"),
        )


class ScoreSerializer(BodySerializer):
    """How well two texts go together: one against many, or pair by pair."""

    text_1 = StrictField(texts)
    text_2 = StrictField(texts)
    queries = StrictField(texts)
    documents = StrictField(texts)
    items = StrictField(texts)
    data_1 = StrictField(texts)
    data_2 = StrictField(texts)
    truncate_prompt_tokens = StrictField(truncation)

    refused: ClassVar[frozenset[str]] = REFUSED | MEANINGFUL

    def question(self, values: Mapping[str, Any]) -> ScoreRequest:
        first, second = next((s for s in SIDES if s[0] in values and s[1] in values), SIDES[0])
        for name in (first, second):
            if name not in values:
                checks.missing(name)
        queries, found = values[first], values[second]
        if len(queries) not in (1, len(found)):
            reason = f"expected one text or as many as in '{second}', which has {len(found)}."
            checks.bad(first, reason)
        return ScoreRequest(
            model=values.get("model", ""),
            queries=queries,
            documents=found,
            truncate=values.get("truncate_prompt_tokens"),
        )
