"""What is read from a body, without a server."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.bad_bodies import BODIES, CHAT, EMBEDDINGS, TEXT
from inference.errors import UnsupportedParameter
from playground.api.body import MAX_DEPTH, decode
from playground.api.serializers import (
    ChatCompletionSerializer,
    CompletionSerializer,
    EmbeddingSerializer,
)
from playground.errors import BadBody, BadValue
from tests.pace import slowness

TEXTS = st.text(st.sampled_from('ab"\\[]{},:\n \U0001f600é'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)

CHECKS: dict[str, Any] = {
    CHAT: ChatCompletionSerializer.shared().to_call,
    TEXT: CompletionSerializer.shared().to_call,
    EMBEDDINGS: EmbeddingSerializer.shared().to_task,
}


def deep(levels: int, start: str = "{}", bracket: str = "[]") -> str:
    """A body nested that deep."""
    inside = levels - 1
    return f'{{"x": {bracket[0] * (inside - 1)}{start}{bracket[1] * (inside - 1)}}}'


@settings(deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=4), st.booleans())
def test_what_is_json_is_read_as_json(body: dict[str, Any], ascii_only: bool) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    assert decode(raw) == body


@pytest.mark.parametrize("text", ['"["', '"]"', '"}"', r'"\\"', r'"\"["', r'"\\\"{"', '""'])
def test_brackets_in_texts_are_text(text: str) -> None:
    body = '{"x": [' + ",".join([text] * 60_000) + '], "y": "[[[["}'
    assert len(decode(body.encode())["x"]) == 60_000


def test_signs_in_texts_are_no_values_and_no_names() -> None:
    texts = ["1,2:3[4{" * 100_000, '\\",\\":[{' * 10_000] + ['a,b:"'] * 100_000
    assert decode(json.dumps({"x": texts}).encode()) == {"x": texts}


@pytest.mark.parametrize("start", ["{}", "[]", '"]]]["', '"\\""'])
def test_a_body_may_be_so_deep_and_no_deeper(start: str) -> None:
    fits = MAX_DEPTH if start in ("{}", "[]") else MAX_DEPTH + 1
    decode(deep(fits, start).encode())
    for levels in (fits + 1, 500, 990, 100_000):
        with pytest.raises(BadBody):
            decode(deep(levels, start).encode())


@pytest.mark.parametrize("wide", ["", "[1], " * 200, '{"b": {"c": 1}}, ' * 200])
def test_objects_and_arrays_make_one_depth(wide: str) -> None:
    fits = 1
    for _ in range((MAX_DEPTH - 4) // 2):
        fits = {"a": [fits]}  # type: ignore[assignment]
    inside = json.dumps(fits)
    decode(f'{{"x": [{wide} {inside}]}}'.encode())
    with pytest.raises(BadBody, match="levels"):
        decode(f'{{"x": [{wide} {{"a": [{{"a": [{inside}]}}]}}]}}'.encode())


def test_a_large_body_holds_pictures_or_one_text() -> None:
    """Above 6 MiB signs count wherever they stand: a picture has none, and a text few."""
    picture, text = "ab/+" * 2_000_000, "A sentence of some words, and no more. " * 20_000
    assert decode(json.dumps({"x": [picture, text]}).encode())["x"] == [picture, text]
    with pytest.raises(BadBody):
        decode(json.dumps({"x": "a,b" * 3_000_000}).encode())


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b'{"x": [18446744073709551615, -9223372036854775808], "\\\\u0000": 1', ""),
        (b'{"x": [18446744073709551616]', "A number is out of range."),
        (b'{"x": {"y": [[-9223372036854775809]]}', "A number is out of range."),
        (b'{"x": 1e999', "A number is out of range."),
        (b'{"x": ' + b"1" * 5000, "A number is out of range."),
        (b'{"x": NaN', "Invalid character (byte 6)."),
        (b'{"x": "\\ud800a"', "surrogate"),
        (b'{"x": "\xff"', "It is not valid UTF-8."),
        (b'{"x": "\x00"', "Invalid character (byte 7)."),
        (b'{"x": "\\u0000"', "NUL"),
        (b'{"x": [{"\\u0000": 1}]', "NUL"),
        (b'{"x": ' + b"[" * 200 + b"]" * 200, "levels deep"),
        (b'{"x": ' + b"[" * 3000 + b"]" * 3000, "levels deep"),
    ],
)
def test_a_large_body_is_read_as_strictly_as_a_small_one(start: bytes, said: str) -> None:
    raw = start + b', "y": "' + b"a" * (7 * 2**20) + b'", "z": 1}'
    if not said:
        assert decode(raw)["x"] == [2**64 - 1, -(2**63)]
        return
    with pytest.raises(BadBody) as caught:
        decode(raw)
    assert said in caught.value.message


def many(each: str, count: int) -> str:
    """An array."""
    return f"[{','.join([each] * count)}]"


@pytest.mark.parametrize(
    "body",
    [
        f'{{"prompt": {many("1", 650_002)}}}',
        f'{{"model": "echo", "prompt": {many("1", 650_002)}, "n": 1}}',
        f'{{"n": 1, "prompt": {many(many("1", 1000), 651)}}}',
        f'{{"prompt": {many("2147483647", 900_000)}}}',
        f'{{"prompt": {many("2.2250738585072011e-308", 600_000)}}}',
    ],
    ids=["values", "among others", "arrays of values", "long ids", "slow decimals"],
)
def test_an_array_that_is_too_long_is_named(body: str) -> None:
    with pytest.raises(BadValue) as caught:
        decode(body.encode())
    assert caught.value.param == "prompt"


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": [' + b"[]," * 35_000 + b"[]]}",
        b'{"x": {' + b",".join(b'"%d": 1' % i for i in range(120_001)) + b"}}",
        b'{"x": [' + b'"",' * 200_001 + b'""]}',
        b'{"x": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"x": ["\\uDBFF"]}',
        b'{"x": "\\\\\\ud800"}',
        b'{"x": "\\\\", "y": [{"z": "\\u0000"}]}',
    ],
    ids=[
        "arrays",
        "names",
        "texts",
        "nul",
        "nul key",
        "half a pair",
        "after a backslash",
        "inside",
    ],
)
def test_what_could_hurt_is_no_body(body: bytes) -> None:
    with pytest.raises(BadBody):
        decode(body)


def test_an_escaped_backslash_hides_no_nul() -> None:
    assert decode(b'{"x": "\\\\u0000"}') == {"x": "\\u0000"}


def test_the_last_of_two_values_counts_and_integers_stay_integers() -> None:
    found = decode(b'{"a": 1, "a": 2, "b": 18446744073709551615, "c": -9223372036854775808}')
    assert found == {"a": 2, "b": 2**64 - 1, "c": -(2**63)}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1,\n "b": tru}', "line 2"),
        (b"", "empty"),
        (b'{"a": "\xff"}', "It is not valid UTF-8."),
        (b'{"a": 1e999}', "A number is out of range."),
        (b"[" * 2000, "levels deep"),
        (b"5", "must be an object"),
    ],
)
def test_a_refusal_says_what_is_wrong(body: bytes, said: str) -> None:
    with pytest.raises(BadBody, match="We could not parse") as caught:
        decode(body)
    assert said in caught.value.message


def test_a_whole_pair_is_a_character() -> None:
    assert decode(b'{"x": "\\ud83d\\ude00"}') == {"x": "\U0001f600"}
    assert decode(b'{"x": "\\\\ud800"}') == {"x": "\\ud800"}


# The worst of each kind; receiving and answering come to a millisecond a megabyte on top.
DEAR = [name for name in BODIES if not name.startswith("I1")]


@pytest.mark.parametrize("name", DEAR)
def test_a_refusal_takes_less_than_50_ms_of_cpu(name: str) -> None:
    path, make = BODIES[name]
    raw = make()
    # A machine that others use counts what they make it wait for as ours: the best of some.
    assert any(refused_in(path, raw) < 0.05 * slowness() for _ in range(20))


def refused_in(path: str, raw: bytes) -> float:
    """Seconds of this thread's CPU until the body is refused and gone."""
    began = time.thread_time()
    with pytest.raises((BadBody, BadValue, UnsupportedParameter)):
        CHECKS[path](decode(raw))
    return time.thread_time() - began
