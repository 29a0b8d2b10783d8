"""JSON Schemas of what each task takes and gives, from the dataclasses themselves."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, Union

from . import kinds, typed
from .defaults import DEFAULTS

Schema = dict[str, Any]
BYTES: Schema = {"type": "string", "contentEncoding": "base64"}
TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
FIELDS: dict[str, Schema] = {
    "image": BYTES | {"contentMediaType": "image/*"},
    "sentences": {"type": "array", "items": TEXT, "minItems": 1},
    "table": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    },
}
PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}
MEDIA_TYPES = {"picture": "image/*", "sound": "audio/*", "film": "video/*"}


def task_schema(task: str) -> Schema:
    """The JSON body for a model of this task."""
    kind = kinds.KINDS[task]
    parameters = _object(kinds.parameters_of(task), kinds.parameter_notes_of(task))
    known = parameters["properties"]
    for name, default in DEFAULTS.get(task, {}).items():
        known[name] = known[name] | {"default": default}
    found: Schema = {
        "type": "object",
        "title": task,
        "properties": {"inputs": _inputs(kind), "parameters": parameters},
        "required": ["inputs", *(["parameters"] if parameters.get("required") else [])],
    }
    if kind.output:
        found["x-output"] = {"$ref": f"#/components/schemas/{kind.output}"}
    return found


def _inputs(kind: kinds.Kind) -> Schema:
    if kind.inputs == "text":
        return TEXTS
    if kind.inputs in MEDIA_TYPES:
        return BYTES | {"contentMediaType": MEDIA_TYPES[kind.inputs]}
    if kind.inputs == "pictures":
        return {"type": "array", "items": FIELDS["image"], "minItems": 2, "maxItems": 2}
    if kind.inputs == "messages":
        return {"anyOf": [TEXT, {"type": "object"}, {"type": "array", "items": {"type": "object"}}]}
    properties = {name: FIELDS.get(name, TEXT) for name in kind.fields}
    return {"type": "object", "properties": properties, "required": list(kind.fields)}


def of_class(name: str) -> Schema:
    """The schema of a dataclass."""
    return _object(kinds.fields_of(name), kinds.notes_of(name)) | {"title": name}


def _object(
    fields: typing.Mapping[str, tuple[Any, bool]], notes: typing.Mapping[str, str]
) -> Schema:
    found: Schema = {
        "type": "object",
        "properties": {
            name: _value(each, name) | ({"description": notes[name]} if name in notes else {})
            for name, (each, _) in fields.items()
        },
    }
    required = [name for name, (_, needed) in fields.items() if needed]
    return found | ({"required": required} if required else {})


def _value(annotation: Any, name: str) -> Schema:
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        wanted = [_value(x, name) for x in typing.get_args(annotation) if x is not type(None)]
        return wanted[0] if len(wanted) == 1 else {"anyOf": wanted}
    if origin is Literal:
        return {"enum": list(typing.get_args(annotation))}
    if origin is list:
        return {"type": "array", "items": _value(typing.get_args(annotation)[0], name)}
    if name in ("generate_parameters", "generation_parameters"):
        return of_class(kinds.GENERATION)
    if origin is dict or annotation is dict:
        return {"type": "object"}
    if dataclasses.is_dataclass(annotation):
        return of_class(annotation.__name__)  # type: ignore[union-attr]
    found = PLAIN.get(annotation, {})
    if annotation in (int, float) and name in typed.BOUNDS:
        low, high = typed.BOUNDS[name]
        return found | {"minimum": low, "maximum": high}
    return found
