"""Whatever a body says, the answer is never a 500, and the next caller is served."""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playground.api.serializers import ChatCompletionSerializer, CompletionSerializer
from playground.api.serializers.base import REFUSED
from tests.api.asking import CHAT, TEXT, text, user

CASES = int(os.environ.get("FUZZ_CASES", "300"))
MANY = int(os.environ.get("FUZZ_CASES_SLOW", "10000"))
NAMES = sorted(
    {*ChatCompletionSerializer.shared().fields, *CompletionSerializer.shared().fields, *REFUSED}
)
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
BODIES = st.tuples(st.sampled_from([CHAT, TEXT]), FIELDS, MESSAGES, st.text(max_size=30))


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
        start = {"messages": messages or user("hi")} if path == CHAT else {"prompt": prompt}
        check(http, path, start | fields)

    law()
    assert text(http).status_code == 200


def test_no_body_breaks_the_server(http: httpx.Client) -> None:
    run(http, CASES)


@pytest.mark.slow
def test_no_body_of_many_breaks_the_server(http: httpx.Client) -> None:
    run(http, MANY)
