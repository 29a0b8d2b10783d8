"""What a custom model's `run` takes and gives, as its type hints say: read once, in the jail.

Types are a small part of JSON Schema: `type`, `enum`, `anyOf`, `items`, `additionalProperties`, and
`contentMediaType` for bytes. It travels from the jail, so nothing in it is believed unchecked.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from inference.errors import InvalidRequest
from inference.requests import Media

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20
PICTURE, SOUND, BYTES = "image/*", "audio/*", "application/octet-stream"
WORDS: Mapping[str, str] = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
MEDIA_WORDS = {PICTURE: "a picture", SOUND: "a sound", BYTES: "bytes"}
Schema = dict[str, Any]


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One parameter of `run` after the model. `schema` {} is anything."""

    name: str
    schema: Schema
    required: bool = True


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`takes` is what a chat gives to the first parameter; "" for a model that is no chat.

    `task` is the Hub's name of what the model does, where the code says so.
    """

    parameters: tuple[Parameter, ...] = ()
    output: Schema = {}
    takes: Literal["", "messages", "prompt"] = ""
    task: str = ""

    @classmethod
    def of(cls, value: Any) -> Signature:
        """Read one that came from a jail or a database. Raises ValueError."""
        if len(json.dumps(value, allow_nan=False)) > MAX_BYTES:
            raise ValueError("It has too many parameters.")
        try:
            found = msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"It is no signature: {error}") from error
        for schema in (found.output, *(each.schema for each in found.parameters)):
            _check_schema(schema, 0)
        return found

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def arguments(self, inputs: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of one call by name. Raises InvalidRequest, naming what is wrong.

        `inputs` is the first parameter; an object is several by their names, unless the first is
        one itself, or may be and the names are others.
        """
        given = dict(_named(parameters, "parameters"))
        several = isinstance(inputs, dict) and self._are_several(inputs)
        found = _named(inputs, "inputs") if several else self._first(inputs)
        for name in found:
            if name in given:
                raise InvalidRequest(f"`{name}` was given twice.", f"parameters.{name}")
        given |= found
        return self._checked(
            given, {name: ("inputs" if not several else f"inputs.{name}") for name in found}
        )

    def _first(self, inputs: Any) -> dict[str, Any]:
        if inputs is None and not (self.parameters and self.parameters[0].required):
            return {}
        if not self.parameters:
            raise InvalidRequest("This model takes no inputs.", "inputs")
        return {self.parameters[0].name: inputs}

    def _are_several(self, inputs: Mapping[str, Any]) -> bool:
        if not self.parameters:
            return False
        schema = self.parameters[0].schema
        if not {*schema} - {"default"}:
            return bool(inputs) and {*inputs} <= {each.name for each in self.parameters}
        return all(each.get("type") != "object" for each in schema.get("anyOf", [schema]))

    def _checked(self, given: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
        known = {each.name: each for each in self.parameters}
        found = {}
        for name, value in given.items():
            place = places.get(name, f"parameters.{name}")
            if name not in known:
                names = ", ".join(known) or "none"
                raise InvalidRequest(f"There is no parameter `{name}`; there are: {names}.", place)
            found[name] = fit(known[name].schema, value, place)
        for each in self.parameters:
            if each.required and each.name not in found:
                first = each is self.parameters[0]
                place = "inputs" if first else f"parameters.{each.name}"
                raise InvalidRequest(f"`{each.name}` is missing.", place)
        return found


def _named(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidRequest(f"Expected an object for `{place}`.", place)
    return dict(value)


def _check_schema(schema: Any, depth: int) -> None:
    """Raise ValueError for what `fit` could not follow."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        raise ValueError("A type of it cannot be read.")
    kind = schema.get("type")
    if kind is not None and kind not in WORDS:
        raise ValueError("A type of it is not known.")
    if not isinstance(schema.get("enum", []), list):
        raise ValueError("A type of it lists no values.")
    if schema.get("contentMediaType", BYTES) not in MEDIA_WORDS:
        raise ValueError("Media of it are of no kind.")
    inner = schema.get("anyOf", [])
    if not isinstance(inner, list):
        raise ValueError("A type of it cannot be read.")
    for each in (
        *inner,
        *(schema[key] for key in ("items", "additionalProperties") if key in schema),
    ):
        _check_schema(each, depth + 1)


def fit(schema: Mapping[str, Any], value: Any, place: str) -> Any:
    """The value as this type has it: 1 is a number, base64 is bytes. Raises InvalidRequest."""
    if "anyOf" in schema:
        return _any_of(schema["anyOf"], value, place)
    if "enum" in schema:
        same = [each for each in schema["enum"] if each == value and type(each) is type(value)]
        if not same:
            raise InvalidRequest(f"`{place}` must be one of {schema['enum']}.", place)
        return value
    if "contentMediaType" in schema:
        return _media(schema["contentMediaType"], value, place)
    kind = schema.get("type")
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is not None and not _is(kind, value):
        raise InvalidRequest(f"Expected {WORDS[kind]} for `{place}`, not {_kind(value)}.", place)
    if kind == "array" and "items" in schema:
        return [fit(schema["items"], each, f"{place}.{i}") for i, each in enumerate(value)]
    if kind == "object" and "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        return {key: fit(inner, each, f"{place}.{key}") for key, each in value.items()}
    return value


def _any_of(kinds: Sequence[Mapping[str, Any]], value: Any, place: str) -> Any:
    refusals = []
    for kind in kinds:
        try:
            return fit(kind, value, place)
        except InvalidRequest as error:
            refusals.append(error)
    said = {error.message for error in refusals}
    raise InvalidRequest(" ".join(sorted(said)) or "Nothing fits here.", place)


def _media(kind: str, value: Any, place: str) -> Media:
    if isinstance(value, Media):
        return value
    if isinstance(value, str):
        head, comma, body = value.partition(",")
        text = body if comma and head.startswith("data:") else value
        try:
            return Media(base64.b64decode(text, validate=True), kind)
        except binascii.Error:
            pass
    raise InvalidRequest(f"Expected {MEDIA_WORDS[kind]} for `{place}`: bytes or base64.", place)


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, float) and math.isfinite(value)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list)
    return isinstance(value, dict)


def _kind(value: Any) -> str:
    found = next((kind for kind in WORDS if kind != "number" and _is(kind, value)), "number")
    return WORDS[found] if not isinstance(value, Media) else "bytes"


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is what JSON has, with `Media` where there are bytes."""
    if depth > 100:
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(is_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        keys = all(isinstance(key, str) for key in value)
        return keys and all(is_plain(each, depth + 1) for each in value.values())
    return value is None or isinstance(value, str | bool | int | Media)
