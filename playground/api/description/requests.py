"""JSON Schemas of request bodies, made from the serializers' own fields and bounds.

Every check that a field may carry has a row in `SCHEMAS`; a new check without one fails
`tests/api/test_description.py`. What is valid here is not refused for its shape. What no schema
can say (values that must agree with each other) is left to the checks and told in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings

from .. import checks, pictures
from ..fields import Anything, StrictField
from ..serializers import (
    BodySerializer,
    base,
    chat,
    completion,
    embeddings,
    messages,
    ranking,
    structured,
    tools,
)
from .words import WORDS

Schema = dict[str, Any]

NAME: Schema = {"type": "string", "pattern": f"^{structured.NAME.pattern}$"}
FREE: Schema = {"type": "object", "description": "A JSON Schema, bounded and self-contained."}
TOKEN_ID: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}


def body_schema(serializer: BodySerializer, required: Sequence[Iterable[str]]) -> Schema:
    """The whole body of a request; `required` are the ways to say enough."""
    bodies = [_body(serializer, set(names)) for names in required]
    return bodies[0] if len(bodies) == 1 else {"anyOf": bodies}


def _body(serializer: BodySerializer, required: set[str]) -> Schema:
    fields: Mapping[str, Any] = serializer.fields
    return {
        "type": "object",
        "properties": {
            name: field_schema(field, name in required, name in serializer.ignored) | _said(name)
            for name, field in fields.items()
        },
        "required": sorted(required),
        "propertyNames": {"not": {"enum": sorted(serializer.refused - set(fields))}},
    }


def field_schema(field: StrictField, required: bool = False, ignored: bool = False) -> Schema:
    """One field. `null` means left out, which only a required one cannot be."""
    if isinstance(field, Anything):
        found: Schema = {}
    else:
        found = SCHEMAS[field.check](**field.bounds)
        found = found if required else nullable(found)
    return found | {"description": "Accepted without effect."} if ignored else found


def _said(name: str) -> Schema:
    return {"description": WORDS[name]} if name in WORDS else {}


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Mapping[str, Schema], required: Iterable[str] = (), **more: Any) -> Schema:
    found: Schema = {"type": "object", "properties": dict(properties)}
    wanted = list(required)
    return found | ({"required": wanted} if wanted else {}) | more


def _text(longest: int | None = None, shortest: int = 0) -> Schema:
    found: Schema = {"type": "string"}
    if shortest:
        found["minLength"] = shortest
    return found if longest is None else found | {"maxLength": longest}


def _array(items: Schema, longest: int, shortest: int = 0) -> Schema:
    found: Schema = {"type": "array", "items": items, "maxItems": longest}
    return found | {"minItems": shortest} if shortest else found


# --- plain fields --------------------------------------------------------------------------------


def _flag() -> Schema:
    return {"type": "boolean"}


def _integer(low: int = -checks.INT64, high: int = checks.INT64 - 1) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _number(low: float, high: float, above: float | None = None) -> Schema:
    least = {"minimum": low} if above is None else {"exclusiveMinimum": above}
    return {"type": "number", **least, "maximum": high}


def _one_of(allowed: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(allowed)}


def _nothing() -> Schema:
    return {"type": "null", "description": "Not supported: anything else is refused."}


# --- both endpoints ------------------------------------------------------------------------------


def _stop() -> Schema:
    each = _text(1024, 1)
    return {"anyOf": [each, _array(each, base.MAX_STOPS)]}


def _logit_bias() -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": "^[01]?[0-9]{1,9}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        "maxProperties": base.MAX_BIASES,
    }


def _stream_options() -> Schema:
    return _object(
        {"include_usage": nullable(_flag())},
        maxProperties=16,
    )


def _metadata() -> Schema:
    return {
        "type": "object",
        "propertyNames": {"maxLength": 64},
        "additionalProperties": _text(512),
        "maxProperties": 16,
    }


def _response_format() -> Schema:
    wrapped = _object(
        {"name": NAME, "schema": nullable(FREE), "strict": nullable(_flag())}, ["name"]
    )
    return {
        "anyOf": [
            _object({"type": {"enum": ["text", "json_object"]}}, ["type"]),
            _object(
                {"type": {"const": "json_schema"}, "json_schema": wrapped}, ["type", "json_schema"]
            ),
        ]
    }


def _structured_outputs() -> Schema:
    kinds: dict[str, Schema] = {
        "json": FREE,
        "json_object": {"const": True},
        "regex": _text(structured.MAX_PATTERN, 1),
        "choice": _array(_text(4096, 1), structured.MAX_ENUM_VALUES, 1),
        "grammar": _text(structured.MAX_GRAMMAR, 1),
    }
    return {
        "anyOf": [
            _object({kind: schema}, [kind], additionalProperties=False)
            for kind, schema in kinds.items()
        ],
    }


# --- completions ---------------------------------------------------------------------------------


def _ids() -> Schema:
    return _array(TOKEN_ID, completion.MAX_PROMPT_IDS, 1)


def _texts_or_ids(most: int, shortest: int = 0) -> Schema:
    text, ids = _text(shortest=shortest), _ids()
    return {"anyOf": [text, _array({"anyOf": [text, ids]}, most, 1), ids]}


def _prompt() -> Schema:
    return _texts_or_ids(completion.MAX_PROMPTS)


def _suffix() -> Schema:
    return _text(0) | {"description": "No model of this server fills gaps."}


# --- chat ----------------------------------------------------------------------------------------


def _messages() -> Schema:
    return _array(ref("Message"), messages.MAX_MESSAGES, 1)


def _tools() -> Schema:
    tool = _object({"type": {"const": "function"}, "function": ref("Function")},
                   ["type", "function"], maxProperties=16)  # fmt: skip
    return _array(tool, tools.MAX_TOOLS)


def _functions() -> Schema:
    return _array(ref("Function"), tools.MAX_TOOLS, 1)


def _tool_choice() -> Schema:
    named = ref("NamedTool")
    mode = {"enum": ["auto", "required"]}
    allowed = _object({"mode": mode, "tools": _array(named, tools.MAX_TOOLS, 1)},
                      ["mode", "tools"], maxProperties=8)  # fmt: skip
    some = _object({"type": {"const": "allowed_tools"}, "allowed_tools": allowed},
                   ["type", "allowed_tools"])  # fmt: skip
    return {"anyOf": [_one_of(("none", "auto", "required")), named, some]}


def _function_call() -> Schema:
    return {
        "anyOf": [_one_of(("none", "auto")), _object({"name": NAME}, ["name"], maxProperties=4)]
    }


def _template_kwargs() -> Schema:
    word = {"type": "string", "maxLength": 64, "pattern": "^[^{]*$"}
    return {
        "type": "object",
        "propertyNames": {"not": {"enum": sorted(chat.TEMPLATE_OWN)}},
        "additionalProperties": {"anyOf": [{"type": ["null", "boolean", "number"]}, word]},
        "maxProperties": 16,
    }


def _modalities() -> Schema:
    return _array({"const": "text"}, 4, 1)


# --- vectors and rankings ------------------------------------------------------------------------


def _inputs() -> Schema:
    return _texts_or_ids(embeddings.MAX_INPUTS, 1)


def _truncation() -> Schema:
    some = {"type": "integer", "minimum": 1, "maximum": embeddings.MAX_TRUNCATED}
    return {
        "anyOf": [{"const": -1}, some],
    }


def _ranked_text() -> Schema:
    text = _text(shortest=1)
    return {"anyOf": [text, _object({"text": text}, ["text"])]}


def _ranked_texts() -> Schema:
    return {"anyOf": [*_ranked_text()["anyOf"], _documents()]}


def _documents() -> Schema:
    return _array(_ranked_text(), embeddings.MAX_INPUTS, 1)


SCHEMAS: Mapping[Callable[..., Any], Callable[..., Schema]] = {
    checks.flag: _flag,
    checks.integer: _integer,
    checks.number: _number,
    checks.text: _text,
    checks.one_of: _one_of,
    base.stop_strings: _stop,
    base.logit_bias: _logit_bias,
    base.stream_options: _stream_options,
    base.metadata: _metadata,
    structured.response_format: _response_format,
    structured.structured_outputs: _structured_outputs,
    completion.prompts: _prompt,
    completion.suffix: _suffix,
    completion.token_ids: _ids,
    embeddings.inputs: _inputs,
    embeddings.truncation: _truncation,
    messages.messages: _messages,
    ranking.documents: _documents,
    ranking.text: _ranked_text,
    ranking.texts: _ranked_texts,
    tools.tools: _tools,
    tools.functions: _functions,
    tools.tool_choice: _tool_choice,
    tools.function_call: _function_call,
    chat.template_kwargs: _template_kwargs,
    chat.modalities: _modalities,
    chat.refused: _nothing,
}


# --- parts with names of their own ---------------------------------------------------------------


def _part(kind: str, said: Schema) -> Schema:
    return _object({"type": {"const": kind}, kind: said}, ["type", kind], maxProperties=16)


def _message(roles: tuple[str, ...], properties: Mapping[str, Schema], *required: str) -> Schema:
    known = {"role": {"enum": list(roles)}, "name": nullable(_text(64)), **properties}
    return _object(known, ["role", *required], maxProperties=32)


def _assistant() -> list[Schema]:
    """Something has to be said: a text, a call in either spelling, or a refusal."""
    said = {"anyOf": [{"type": "string"}, _array(ref("TextPart"), messages.MAX_PARTS, 1)]}
    calls = _array(ref("ToolCall"), messages.MAX_CALLS)
    may: dict[str, Schema] = {
        "content": nullable(said),
        "refusal": nullable(_text()),
        "reasoning_content": nullable(_text()),
        "tool_calls": nullable(calls),
        "function_call": nullable(ref("CalledFunction")),
    }
    must: dict[str, Schema] = {
        "content": said,
        "tool_calls": calls | {"minItems": 1},
        "function_call": ref("CalledFunction"),
        "refusal": _text(),
    }
    return [_message(("assistant",), may | {name: schema}, name) for name, schema in must.items()]


def parts() -> dict[str, Schema]:
    """The components that bodies refer to."""
    detail = {"enum": ["auto", "low", "high", "original", None]}
    address: Schema = {"type": "string", "pattern": f"^{messages.PICTURE.pattern}$"}
    if settings.REMOTE_MEDIA:
        remote = _text(pictures.MAX_ADDRESS) | {"pattern": "^https?://"}
        address = {"anyOf": [address, remote]}
    picture = _object({"url": address, "detail": detail}, ["url"], maxProperties=8)
    text = {"anyOf": [{"type": "string"}, _array(ref("TextPart"), messages.MAX_PARTS, 1)]}
    base64: Schema = {"type": "string", "pattern": f"^{messages.SOUND.pattern}$"}
    sound: dict[str, Schema] = {"data": base64, "format": {"enum": list(messages.SOUND_FORMATS)}}
    mixed = {"anyOf": [ref("TextPart"), ref("ImagePart"), ref("AudioPart")]}
    shown = {"anyOf": [{"type": "string"}, _array(mixed, messages.MAX_PARTS, 1)]}
    called = _object({"name": NAME, "arguments": _text()}, ["name", "arguments"], maxProperties=8)
    function = {
        "name": NAME,
        "description": nullable(_text(16_384)),
        "parameters": nullable(FREE),
        "strict": nullable(_flag()),
    }
    return {
        "Message": {
            "anyOf": [
                _message(("system", "developer"), {"content": text}, "content"),
                _message(("user",), {"content": shown}, "content"),
                *_assistant(),
                _message(
                    ("tool",), {"content": text, "tool_call_id": _text(256)},
                    "content", "tool_call_id",
                ),
                _message(("function",), {"content": text, "name": _text(64)}, "content", "name"),
            ]
        },
        "TextPart": {"anyOf": [_part("text", _text()), _part("refusal", _text())]},
        "ImagePart": _part("image_url", picture)
        | {"description": "A picture inside the request, or its address where the server fetches."},
        "AudioPart": _part("input_audio", _object(sound, list(sound), maxProperties=8)),
        "ToolCall": _object(
            {"id": _text(256), "type": {"const": "function"}, "function": ref("CalledFunction")},
            ["id", "function"],
            maxProperties=16,
        ),
        "CalledFunction": called,
        "Function": _object(function, ["name"], maxProperties=16),
        "NamedTool": _object(
            {
                "type": {"const": "function"},
                "function": _object({"name": NAME}, ["name"], maxProperties=8),
            },
            ["type", "function"],
            maxProperties=8,
        ),
    }  # fmt: skip
