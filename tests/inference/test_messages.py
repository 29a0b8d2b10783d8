"""What a worker and its parent say to each other arrives as it was said, and nothing else does."""

from __future__ import annotations

import pickle
from array import array
from typing import Any

import msgspec
import pytest

from inference.engines.messages import (
    LENGTH,
    Ask,
    Failed,
    Piece,
    error_of,
    failure,
    from_child,
    packed,
    plain,
    to_child,
)
from inference.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    OutOfMemory,
    ProgramFailed,
    UnsupportedParameter,
)
from inference.requests import Media


def body(frame: bytes) -> bytes:
    assert LENGTH.unpack(frame[:4])[0] == len(frame) - 4
    return frame[4:]


def test_values_and_media_arrive() -> None:
    value: dict[str, Any] = {
        "picture": Media(b"\x00\xff" * 9, "image/png"),
        "scores": array("f", [0.5, -1.0]),
        "list": [1, 2.5, None, True, "ä", {"deep": (Media(b"", ""), 2)}],
    }
    asked = to_child(body(packed(Ask(3, "run", "task", plain(value), {}))))
    assert isinstance(asked, Ask)
    assert asked.inputs == {
        **value,
        "list": [1, 2.5, None, True, "ä", {"deep": [Media(b"", ""), 2]}],
    }


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("bad", "inputs"),
        UnsupportedParameter("not here", "parameters.top_k"),
        ContextLengthExceeded("too long", "prompt"),
    ],
)
def test_the_callers_errors_arrive_as_they_were(error: Any) -> None:
    found = error_of(failure(1, error))
    assert type(found) is type(error)
    assert (found.message, getattr(found, "param", None)) == (error.message, error.param)


def test_other_errors_are_told_apart() -> None:
    lost = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
    for error in (MemoryError(), lost):
        assert isinstance(error_of(failure(1, error)), OutOfMemory)
    found = error_of(failure(1, KeyError("x"), "the traceback"))
    assert isinstance(found, ProgramFailed)
    assert found.message == "The model's code failed: KeyError: 'x'"
    assert found.trace == "the traceback"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        pickle.dumps({"key": 1}),
        msgspec.msgpack.encode({"type": "Piece", "key": "one", "value": 1, "last": True}),
        msgspec.msgpack.encode({"type": "Ask", "key": 1}),
        msgspec.msgpack.encode({"type": "Piece", "key": 1, "value": None}),
        msgspec.msgpack.encode([[]] * 3),
        b"\x91" * 5000,
    ],
)
def test_nothing_else_is_read(said: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        from_child(said)


def test_what_is_no_plain_value_is_not_sent() -> None:
    with pytest.raises(TypeError):
        packed(Piece(1, object(), True))
    assert from_child(body(packed(Failed(1, "memory", "…")))) == Failed(1, "memory", "…")
