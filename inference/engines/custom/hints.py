"""In the jail: what the type hints of `run` say, as a signature."""

from __future__ import annotations

import collections.abc
import inspect
import json
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

from inference.errors import LoadFailed
from inference.signature import BYTES, PICTURE, SOUND

PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    inspect.Parameter.empty: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
    bytes: {"type": "string", "contentMediaType": BYTES},
}
# Told by name: whoever does not use them need not have them.
NAMED = {
    ("PIL.Image", "Image"): {"type": "string", "contentMediaType": PICTURE},
    ("numpy", "ndarray"): {"type": "string", "contentMediaType": SOUND},
}
STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.Iterable,
)
TAKEN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def signature_of(run: Callable[..., Any]) -> dict[str, Any]:
    """The signature, as JSON has it. Raises LoadFailed for a `run` that cannot be offered."""
    if inspect.iscoroutinefunction(run) or inspect.isasyncgenfunction(run):
        raise LoadFailed(
            "`run` is async. Write it as a plain function: it has a process to itself."
        )
    try:
        hints = typing.get_type_hints(run)
        parameters = list(inspect.signature(run).parameters.values())
    except (NameError, TypeError, ValueError) as error:
        raise LoadFailed(f"The type hints of `run` cannot be read: {error}") from error
    if not parameters or parameters[0].kind not in (*TAKEN[:1], inspect.Parameter.POSITIONAL_ONLY):
        raise LoadFailed(
            "`run` has to take the model, which `load` returned, as its first argument."
        )
    taken = [_parameter(each, hints) for each in parameters[1:]]
    returned = hints.get("return", inspect.Parameter.empty)
    if _streams(run, returned):
        return {"parameters": taken, "output": {"type": "string"}, "takes": _takes(taken)}
    return {"parameters": taken, "output": schema_of(returned, "what it returns"), "takes": ""}


def _parameter(found: inspect.Parameter, hints: dict[str, Any]) -> dict[str, Any]:
    if found.kind not in TAKEN:
        raise LoadFailed(f"`run` may not have `{found}`: every parameter needs a name of its own.")
    schema = schema_of(hints.get(found.name, inspect.Parameter.empty), f"parameter `{found.name}`")
    required = found.default is inspect.Parameter.empty
    if not required and _is_json(found.default):
        schema = {**schema, "default": found.default}
    return {"name": found.name, "schema": schema, "required": required}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _streams(run: Callable[..., Any], returned: Any) -> bool:
    if typing.get_origin(returned) in STREAMS or returned in STREAMS:
        arguments = typing.get_args(returned)
        if arguments and arguments[0] is not str:
            raise LoadFailed(
                "`run` may return an iterator of strings (a chat), and of nothing else."
            )
        return True
    return inspect.isgeneratorfunction(run)


def _takes(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        raise LoadFailed(
            "A chat's `run` takes the model and what was said: `run(model, messages)`."
        )
    kind = parameters[0]["schema"].get("type")
    if kind == "array" or (kind is None and parameters[0]["name"] == "messages"):
        return "messages"
    if kind in (None, "string"):
        return "prompt"
    raise LoadFailed("A chat's `run` takes a list of messages, or the prompt as a string.")


def schema_of(hint: Any, what: str) -> dict[str, Any]:
    """One hint. Raises LoadFailed, saying of what."""
    if isinstance(hint, collections.abc.Hashable) and hint in PLAIN:
        return dict(PLAIN[hint])
    named = NAMED.get((getattr(hint, "__module__", ""), getattr(hint, "__name__", "")))
    if named is not None:
        return dict(named)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal and all(isinstance(each, str | int | bool | None) for each in arguments):
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(each, what) for each in arguments]}
    if origin in (list, collections.abc.Sequence) and len(arguments) == 1:
        return {"type": "array", "items": schema_of(arguments[0], what)}
    if origin is tuple:
        return {"type": "array"}
    if origin in (dict, collections.abc.Mapping) and arguments and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], what)}
    if typing.is_typeddict(hint):
        return {"type": "object"}
    if origin is typing.Annotated or hasattr(hint, "__metadata__"):
        return schema_of(arguments[0], what)
    raise LoadFailed(
        f"The type of {what} is {str(hint)[:100]}. It may be str, int, float, bool, bytes, list, "
        "dict, Literal, Optional, PIL.Image.Image or numpy.ndarray (a sound)."
    )
