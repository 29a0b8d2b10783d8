"""What a worker and its parent say to each other, and how that travels.

A message is four bytes of length and MessagePack. It carries values only, never objects: what runs
in the child may be anybody's code, and pickle would let it run in the parent.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from inference.errors import (
    ContextLengthExceeded,
    InferenceError,
    InvalidRequest,
    LoadFailed,
    OutOfMemory,
    ProgramFailed,
    RequestError,
    UnsupportedParameter,
)
from inference.requests import Media

LENGTH: Final = struct.Struct(">I")
# One picture of the largest size that the API takes, several times over.
MAX_BYTES: Final = 256 * 2**20
MEDIA, FLOATS = 1, 2


class Load(msgspec.Struct, tag=True, frozen=True):
    """To the child, first of all: make `program` ("module:Class") from these arguments, load it."""

    program: str
    arguments: dict[str, Any]
    max_batch_size: int = 1
    max_wait: float = 0.0


class Ask(msgspec.Struct, tag=True, frozen=True):
    """To the child: one call. `way` is run, stream or prepare."""

    key: int
    way: str
    task: str
    inputs: Any
    parameters: dict[str, Any]


class Drop(msgspec.Struct, tag=True, frozen=True):
    """To the child: nobody waits for this call any more.

    A last piece tells that it was let go. What is prepared cannot be taken back.
    """

    key: int


class Ping(msgspec.Struct, tag=True, frozen=True):
    """To the child: are you there? From it, in answer: yes."""


class Loaded(msgspec.Struct, tag=True, frozen=True):
    """From the child: the program is loaded."""

    facts: dict[str, Any]


class Piece(msgspec.Struct, tag=True, frozen=True):
    """From the child: an answer, or the next piece of one; the last piece says so."""

    key: int
    value: Any
    last: bool


class Failed(msgspec.Struct, tag=True, frozen=True):
    """From the child: a call failed, or (key 0) the load did.

    `kind` is a key of KINDS, memory, program (its code raised), or fatal (it cannot go on).
    """

    key: int
    kind: str
    message: str
    param: str | None = None
    trace: str = ""


ToChild = Load | Ask | Drop | Ping
FromChild = Loaded | Piece | Failed | Ping
KINDS: Mapping[str, type[RequestError]] = {
    "context": ContextLengthExceeded,
    "unsupported": UnsupportedParameter,
    "invalid": InvalidRequest,
    "request": RequestError,
}


def failure(key: int, error: BaseException, trace: str = "") -> Failed:
    """An exception as it travels."""
    message = " ".join(str(error).split())[:1000] or type(error).__name__
    for kind, cls in KINDS.items():
        if isinstance(error, cls):
            return Failed(key, kind, message, error.param)
    if is_out_of_memory(error):
        return Failed(key, "memory", message)
    if isinstance(error, LoadFailed):
        return Failed(key, "fatal", message)
    if not isinstance(error, InferenceError):
        message = f"{type(error).__name__}: {message}"
    return Failed(key, "program", message, None, trace)


def error_of(failed: Failed) -> InferenceError:
    """The exception that the parent raises for it."""
    if failed.kind in KINDS:
        return KINDS[failed.kind](failed.message, failed.param)
    if failed.kind == "memory":
        return OutOfMemory("There is not enough memory for this request.", 30)
    return ProgramFailed(f"The model's code failed: {failed.message}", failed.trace)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, the GPU's, or torch's on the CPU."""
    if isinstance(error, MemoryError | OutOfMemory) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)


# --- how it travels -------------------------------------------------------------------------------


def packed(message: ToChild | FromChild) -> bytes:
    """The message as bytes, length first. Raises TypeError for what is no plain value."""
    body = _ENCODER.encode(message)
    if len(body) > MAX_BYTES:
        raise ValueError(f"A message of {len(body):,} bytes is too long.")
    return LENGTH.pack(len(body)) + body


def to_child(body: bytes | bytearray) -> ToChild:
    """A message of the parent."""
    return _TO_CHILD.decode(body)


def from_child(body: bytes) -> FromChild:
    """A message of the child. Raises msgspec.MsgspecError for anything else."""
    return _FROM_CHILD.decode(body)


def plain(value: Any) -> Any:
    """The value with its media, tuples and arrays as they travel; they come back as they were.

    Tuples become lists, mappings dicts.
    """
    if isinstance(value, Media):
        kind = value.content_type.encode()
        return msgspec.msgpack.Ext(MEDIA, LENGTH.pack(len(kind)) + kind + value.data)
    if isinstance(value, array.array):
        return msgspec.msgpack.Ext(FLOATS, value.tobytes())
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _from_ext(code: int, data: memoryview) -> Any:
    if code == FLOATS:
        found = array.array("f")
        found.frombytes(data)
        return found
    if code != MEDIA or len(data) < LENGTH.size:
        raise ValueError("There is no such value.")
    start = LENGTH.size + LENGTH.unpack_from(data)[0]
    return Media(bytes(data[start:]), str(data[LENGTH.size : start], "utf-8", "replace"))


_ENCODER = msgspec.msgpack.Encoder()
_TO_CHILD = msgspec.msgpack.Decoder(ToChild, ext_hook=_from_ext)
_FROM_CHILD = msgspec.msgpack.Decoder(FromChild, ext_hook=_from_ext)
