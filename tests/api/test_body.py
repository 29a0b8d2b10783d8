"""What is read from a body, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.api.body import MAX_BRACKETS, MAX_DEPTH, MAX_VALUES, decode
from playground.errors import BadBody

TEXTS = st.text(st.sampled_from('ab"\\[]{},:\n \U0001f600é'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def deep(levels: int, start: str = "{}", bracket: str = "[]") -> str:
    """A body nested that deep."""
    inside = levels - 1
    return f'{{"x": {bracket[0] * (inside - 1)}{start}{bracket[1] * (inside - 1)}}}'


@settings(deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_what_is_json_is_read_as_json(body: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    assert decode(raw) == body


@pytest.mark.parametrize("many", ['"["', '"]"', '"}"', r'"\\"', r'"\"["', r'"\\\"{"', '""'])
def test_brackets_in_texts_are_text(many: str) -> None:
    body = '{"x": [' + ",".join([many] * 60_000) + '], "y": "[[[["}'
    assert len(decode(body.encode())["x"]) == 60_000


@pytest.mark.parametrize("start", ["{}", "[]", '"]]]["', '"\\""'])
def test_a_body_may_be_so_deep_and_no_deeper(start: str) -> None:
    fits = MAX_DEPTH if start in ("{}", "[]") else MAX_DEPTH + 1
    decode(deep(fits, start).encode())
    for levels in (fits + 1, 500, 990, 100_000):
        with pytest.raises(BadBody):
            decode(deep(levels, start).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": [' + b"[]," * MAX_BRACKETS + b"[]]}",
        b'{"x": [' + b"1," * (MAX_VALUES + 1) + b"1]}",
        b'{"x": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"x": ["\\uDBFF"]}',
        b'{"x": "\\\\\\ud800"}',
    ],
    ids=["brackets", "values", "nul", "nul key", "half a pair", "after a backslash"],
)
def test_what_could_hurt_is_no_body(body: bytes) -> None:
    with pytest.raises(BadBody):
        decode(body)


def test_a_whole_pair_is_a_character() -> None:
    assert decode(b'{"x": "\\ud83d\\ude00"}') == {"x": "\U0001f600"}
    assert decode(b'{"x": "\\\\ud800"}') == {"x": "\\ud800"}
