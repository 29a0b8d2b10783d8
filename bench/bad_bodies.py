"""Bodies that have to be refused, and quickly: the worst of each kind that fit into 20 MB.

The ids are those of the rows I1 to I8 of the list of attacks in tests/api/test_hardening_*.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
TOOL = {"type": "function", "function": {"name": "f"}}


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def chat(**fields: Any) -> bytes:
    """A short chat with these fields."""
    return json.dumps({"messages": user("x")} | fields).encode()


def text(**fields: Any) -> bytes:
    """A short completion with these fields."""
    return json.dumps({"prompt": "x"} | fields).encode()


def heavy_tools(schemas: int, description: int) -> bytes:
    """128 tools with so many schemas each."""
    described = {"type": "string", "description": "d" * description}
    schema = {f"p{i}": described for i in range(schemas)}
    function = {"name": "f", "parameters": {"type": "object", "properties": schema}}
    return chat(tools=[{"type": "function", "function": function}] * 128)


def numbers(each: str, count: int, last: str = "-1") -> bytes:
    """A prompt of this number, so many times, and one that is no token."""
    return b'{"prompt": [' + ",".join([*[each] * count, last]).encode() + b"]}"


def names(count: int, length: int) -> bytes:
    """A bias for so many names, all different."""
    biases = {f"{i:0{length}}": 1 for i in range(count)}
    return chat(logit_bias=biases)


# Name → route and how to make the body. Made when asked for: together they are 300 MB.
BODIES: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "I1: 300 MB announced": (TEXT, lambda: b" " * (300 * 2**20)),
    "I2: 100,000 brackets": (CHAT, lambda: b'{"messages": ' + b"[" * 100_000),
    "I2: 20 MB of brackets": (CHAT, lambda: b'{"messages": ' + b"[" * 20_000_000),
    "I2: 10 MB of pairs": (CHAT, lambda: b'{"messages": [' + b"[]," * 3_300_000 + b"[]]}"),
    "I2: an array": (CHAT, lambda: b"[1, 2]"),
    "I2: NaN": (CHAT, lambda: b'{"temperature": NaN}'),
    "I2: half a surrogate pair": (CHAT, lambda: b'{"user": "\\ud800"}'),
    "I2: a NUL behind 18 MB of escapes": (
        CHAT,
        lambda: b'{"user": "' + b"\\u00e9" * 3_000_000 + b'\\u0000"}',
    ),
    "I2: 5,000 digits": (TEXT, lambda: b'{"seed": ' + b"1" * 5000 + b"}"),
    "I2: 19 MB of digits": (TEXT, lambda: b'{"seed": ' + b"1" * 19_000_000 + b"}"),
    "I2: 19 MB, the last byte is no UTF-8": (
        TEXT,
        lambda: b'{"prompt": "' + b"x" * 19_000_000 + b'\xff"}',
    ),
    "I3: n is a billion": (CHAT, lambda: chat(n=10**9)),
    "I3: n is 0, in 19 MB of text": (CHAT, lambda: chat(messages=user("x" * 19_000_000), n=0)),
    "I3: n is 0, in 19 MB of escapes": (CHAT, lambda: chat(messages=user('\n"' * 4_700_000), n=0)),
    "I3: n is 0, in 19 MB of accents": (
        CHAT,
        lambda: json.dumps({"user": "é" * 9_400_000, "n": 0}, ensure_ascii=False).encode(),
    ),
    "I4: 100,000 prompts": (TEXT, lambda: text(prompt=["x"] * 100_000)),
    "I4: a million ids": (TEXT, lambda: numbers("1", 1_000_000)),
    "I4: 900,000 long ids": (TEXT, lambda: numbers("2147483600", 900_000)),
    "I4: 240,000 ids in one of two": (TEXT, lambda: text(prompt=[[1] * 240_000, [-1]])),
    "I4: 13 million ids": (TEXT, lambda: numbers("1", 10_000_000)),
    "I4: 500,000 long decimals": (TEXT, lambda: numbers("1234567890.1234567890123456e-5", 500_000)),
    "I4: 900,000 ids to embed": (EMBEDDINGS, lambda: chat(input=[1] * 900_000)),
    "I4: 10,000 messages": (CHAT, lambda: chat(messages=user("x") * 10_000)),
    "I4: 10,000 tools": (CHAT, lambda: chat(tools=[TOOL] * 10_000)),
    "I4: 14.6 MB of tools": (CHAT, lambda: heavy_tools(380, 250)),
    "I4: 10,000 stops": (CHAT, lambda: chat(stop=["s"] * 10_000)),
    "I4: 100,000 biases": (CHAT, lambda: names(100_000, 6)),
    "I4: 900,000 biases": (CHAT, lambda: names(900_000, 6)),
    "I4: 260,000 biases with long names": (CHAT, lambda: names(260_000, 60)),
    # Just within the bounds, so that all of it is read.
    "I4: 14 MB of fewer tools": (CHAT, lambda: heavy_tools(255, 390)),
    "I4: 2.5 MB of ids": (TEXT, lambda: numbers("214748364", 249_000)),
    "I4: 2.5 MB of decimals": (TEXT, lambda: numbers("2.225e-30", 249_000)),
    "I4: 6 MB of integers of 20 digits": (TEXT, lambda: numbers("7" * 20, 298_000)),
    "I4: 7.8 MB of decimals of 157 digits": (TEXT, lambda: numbers("1.0" + "1" * 154, 49_000)),
    "I4: 129,000 texts": (EMBEDDINGS, lambda: json.dumps({"input": ["four"] * 129_000}).encode()),
    "I4: 100,900 biases": (CHAT, lambda: names(100_900, 32)),
    "I4: 19 MB with 159,000 escapes": (
        CHAT,
        lambda: chat(messages=user("x" * 18_000_000 + "\n" * 159_000), n=0),
    ),
    "I4: 690,000 texts": (EMBEDDINGS, lambda: json.dumps({"input": ["four"] * 690_000}).encode()),
    "I4: 6 MB of escapes": (CHAT, lambda: chat(messages=user('\n"' * 1_500_000), n=0)),
    "I4: 240,000 ids and what looks like a NUL": (
        TEXT,
        lambda: b'{"user": "\\\\u0000", ' + numbers("1", 240_000)[1:],
    ),
    "I5: max_tokens is 10^12": (CHAT, lambda: chat(max_tokens=10**12)),
    "I6: a million top_logprobs": (CHAT, lambda: chat(logprobs=True, top_logprobs=10**6)),
    "I7: an id of 2^31": (TEXT, lambda: text(prompt=[2**31])),
    "I7: the last of 240,000 ids is -1": (TEXT, lambda: text(prompt=[1] * 239_999 + [-1])),
    "I8: temperature is 1e308": (CHAT, lambda: chat(temperature=1e308)),
}
