"""Whatever a body says, the answer is never a 500, and the next caller is served."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playground.api import serializers
from playground.api.serializers.base import REFUSED
from tests.api.asking import CHAT, TEXT, text, user

CASES = int(os.environ.get("FUZZ_CASES", "300"))
MANY = int(os.environ.get("FUZZ_CASES_SLOW", "10000"))
KINDS = [getattr(serializers, name) for name in serializers.__all__ if name.endswith("Serializer")]
NAMES = sorted({*REFUSED}.union(*(kind.shared().fields for kind in KINDS)))
EDGES = st.sampled_from(
    [0, -1, 1, 2, 16, 20, 128, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, -1e308, 1e-320]
)
SCALARS = st.none() | st.booleans() | EDGES | st.integers() | st.floats() | st.text(max_size=20)
WORDS = st.sampled_from(
    ["role", "content", "type", "text", "function", "name", "parameters", "json_schema", "schema",
     "tool_calls", "id", "arguments", "image_url", "url", "include_usage", "regex", "choice"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "x"])
CONTENTS = st.text(max_size=20) | VALUES
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": ROLES, "content": CONTENTS},
        optional={"name": VALUES, "tool_calls": VALUES, "tool_call_id": VALUES},
    ),
    max_size=4,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=6)
# What each route needs, made of a conversation and a text.
STARTS: dict[str, Callable[[list[Any], str], dict[str, Any]]] = {
    CHAT: lambda messages, said: {"messages": messages or user("hi")},
    TEXT: lambda messages, said: {"prompt": said},
    "/v1/embeddings": lambda messages, said: {"model": "echo-embed", "input": said},
    "/v1/rerank": lambda messages, said: {
        "model": "echo-rerank",
        "query": said,
        "documents": [said, "x"],
    },
    "/v1/score": lambda messages, said: {"model": "echo-embed", "text_1": said, "text_2": [said]},
    "/tokenize": lambda messages, said: {"messages": messages} if messages else {"prompt": said},
    "/detokenize": lambda messages, said: {"tokens": list(said.encode()) or [0]},
}
PATHS = st.sampled_from([*STARTS, CHAT, TEXT])
BODIES = st.tuples(PATHS, FIELDS, MESSAGES, st.text(max_size=30))


def check(http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """An answer, or a refusal that says why."""
    # NaN and lone surrogates go out as they are: refusing them is the server's work.
    response = http.post(path, content=json.dumps(body).encode())
    assert response.status_code in (200, 400, 404), (response.text, body)
    if response.status_code != 200:
        assert response.json()["error"]["message"]
    elif "text/event-stream" in response.headers["content-type"]:
        assert response.text.endswith("data: [DONE]\n\n")
        assert '{"error"' not in response.text


def run(http: httpx.Client, cases: int) -> None:
    """Many bodies, and a good one at the end."""

    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    @given(BODIES)
    def law(case: tuple[str, dict[str, Any], list[Any], str]) -> None:
        path, fields, messages, prompt = case
        check(http, path, STARTS[path](messages, prompt) | fields)

    law()
    assert text(http).status_code == 200


def test_no_body_breaks_the_server(http: httpx.Client) -> None:
    run(http, CASES)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_body_of_many_breaks_the_server(http: httpx.Client) -> None:
    run(http, MANY)
