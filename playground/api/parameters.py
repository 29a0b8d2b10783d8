"""Which parameters of the API work for a model, and what each of them does there: the fields of its
routes, held against what its engine can do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Any

from inference import ModelCard, ModelStatus

from .audio.forms import IGNORED
from .description import sounds
from .description.requests import Schema, field_schema
from .description.words import DEFAULTS, WORDS
from .fields import Anything
from .hf.kinds import KINDS
from .hf.schemas import task_schema
from .serializers import (
    BodySerializer,
    ChatCompletionSerializer,
    CompletionSerializer,
    DetokenizeSerializer,
    EmbeddingSerializer,
    RerankSerializer,
    ScoreSerializer,
    TokenizeSerializer,
)
from .serializers.chat import refused
from .serializers.completion import suffix

# What each of a model's capabilities takes.
ENDPOINTS: Mapping[str, type[BodySerializer]] = {
    "chat.completions": ChatCompletionSerializer,
    "completions": CompletionSerializer,
    "detokenize": DetokenizeSerializer,
    "embeddings": EmbeddingSerializer,
    "rerank": RerankSerializer,
    "score": ScoreSerializer,
    "tokenize": TokenizeSerializer,
}
# Fields that the engine knows by another name.
KNOWN_AS: Mapping[str, str] = {
    "add_generation_prompt": "chat_template_kwargs",
    "add_special_tokens": "special",
    "best_of": "logprobs",
    "data_1": "queries",
    "data_2": "documents",
    "function_call": "tools",
    "functions": "tools",
    "input": "inputs",
    "items": "documents",
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "tools",
    "query": "queries",
    "reasoning_effort": "chat_template_kwargs",
    "response_format": "structured",
    "return_token_strs": "strings",
    "structured_outputs": "structured",
    "text_1": "queries",
    "text_2": "documents",
    "tool_choice": "tools",
    "top_logprobs": "logprobs",
    "truncate_prompt_tokens": "truncate",
}
# What this side does by itself.
OURS = frozenset(
    {
        "echo",
        "encoding_format",
        "modalities",
        "model",
        "return_documents",
        "stream",
        "stream_options",
        "top_n",
    }
)


# Of a schema, what can be said in a line; its inside stands in `/v1/openapi.json`.
TOLD = (
    "type",
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "maxLength",
    "maxItems",
    "default",
    "description",
)
BOUNDS: Mapping[str, Callable[[float, float], float]] = {
    "minimum": min,
    "maximum": max,
    "maxLength": max,
    "maxItems": max,
}
# Parameters that count tokens of the context.
LENGTHS = ("max_completion_tokens", "max_tokens", "min_tokens", "truncate_prompt_tokens")
OF_CODE = "A parameter of this model's own code."


def supported_parameters(capabilities: Collection[str], abilities: frozenset[str]) -> list[str]:
    """The names, in order of the alphabet, of what has an effect on a route that it answers."""
    return sorted({name for _, name, _ in _with_effect(capabilities, abilities)})


def described_parameters(status: ModelStatus) -> dict[str, Schema]:
    """What each parameter of a model does: a description, its type, bounds and default as JSON
    Schemas have them, the `routes` that take it, and `required` where one cannot do without."""
    found: dict[str, Schema] = {}
    for route, name, schema in (*_of_routes(status), *_of_sounds(status), *_of_hub(status.card)):
        known = found.get(name)
        routes = [*(known["routes"] if known else []), route]
        found[name] = (_either(known, schema) if known else schema) | {"routes": routes}
    places = {name: place for place, name in enumerate(WORDS)}
    return dict(sorted(found.items(), key=lambda item: places.get(item[0], len(places))))


def _of_routes(status: ModelStatus) -> Iterator[tuple[str, str, Schema]]:
    for route, name, field in _with_effect(status.capabilities, status.abilities):
        schema = _brief(field_schema(field, required=True)) | {"description": WORDS[name]}
        if name in DEFAULTS:
            schema["default"] = status.defaults.get(name, DEFAULTS[name])
        if name in LENGTHS and status.max_model_len:
            schema["maximum"] = status.max_model_len
        yield route, name, schema


def _of_sounds(status: ModelStatus) -> Iterator[tuple[str, str, Schema]]:
    bodies = {
        "audio.transcriptions": sounds.form(languages=True),
        "audio.translations": sounds.form(languages=False),
        "audio.speech": sounds.speech(),
    }
    for route in (each for each in status.capabilities if each in bodies):
        for name, schema in bodies[route]["properties"].items():
            # There is nothing to choose where only one value is taken.
            if name not in IGNORED and "const" not in schema:
                yield route, name, _brief(schema)


def _of_hub(card: ModelCard) -> Iterator[tuple[str, str, Schema]]:
    """Those that stand under `parameters` at /hf."""
    if card.task == "custom":
        for each in (card.engine_args.get("run") or {}).get("parameters", ())[1:]:
            required = {"required": True} if each["required"] else {}
            yield "hf", each["name"], _brief(each["schema"]) | {"description": OF_CODE} | required
    elif card.task in KINDS:
        yield from (("hf", name, schema) for name, schema in _of_task(card.task))


@cache
def _of_task(task: str) -> list[tuple[str, Schema]]:
    return list(_inside(task_schema(task)["properties"]["parameters"]))


def _inside(schema: Schema, before: str = "") -> Iterator[tuple[str, Schema]]:
    """The fields of an object, with those of the objects inside of it that stand nowhere else."""
    known = schema.get("properties", {})
    for name, each in known.items():
        required = {"required": True} if name in schema.get("required", ()) else {}
        yield f"{before}{name}", _brief(each) | required
        inner = each.get("properties", {})
        left = {key: value for key, value in inner.items() if key not in known}
        yield from _inside({"properties": left}, f"{before}{name}.")


def _brief(schema: Schema) -> Schema:
    """What can be said in a line of a value."""
    found = {key: schema[key] for key in TOLD if key in schema}
    if "$ref" in schema or "properties" in schema:
        found["type"] = "object"
    if isinstance(schema.get("const"), int):
        found |= {"type": "integer", "minimum": schema["const"], "maximum": schema["const"]}
    if all(isinstance(each, str) for each in schema.get("enum", (None,))):
        found["type"] = "string"
    for each in schema.get("anyOf", ()):
        inner = _brief(each)
        found = _either(found, inner) if "type" in found else inner | found
    return found


def _either(one: Schema, other: Schema) -> Schema:
    """What holds for values of the one kind or of the other."""
    kinds = [*dict.fromkeys((*_kinds(one), *_kinds(other)))]
    found = {**other, **one, "type": kinds[0] if len(kinds) == 1 else kinds}
    if set(_kinds(one)) & set(_kinds(other)):
        for bound, wider in BOUNDS.items():
            # Where only one of them has a bound there is none.
            found.pop(bound, None)
            if bound in one and bound in other:
                found[bound] = wider(one[bound], other[bound])
    if one.get("enum") != other.get("enum"):
        found.pop("enum", None)
    return found


def _kinds(schema: Schema) -> list[str]:
    said = schema.get("type", [])
    return said if isinstance(said, list) else [said]


def _with_effect(
    capabilities: Collection[str], abilities: frozenset[str]
) -> Iterator[tuple[str, str, Any]]:
    """Route, name and field of each parameter that has an effect on an engine with these
    abilities."""
    for route, serializer in ENDPOINTS.items():
        for name, field in serializer.shared().fields.items() if route in capabilities else ():
            if _has_effect(serializer, name, field) and _can(abilities, name):
                yield route, name, field


def _has_effect(serializer: type[BodySerializer], name: str, field: Any) -> bool:
    idle = name in serializer.ignored or isinstance(field, Anything)
    return not idle and field.check not in (refused, suffix)


def _can(abilities: frozenset[str], name: str) -> bool:
    return name in OURS or KNOWN_AS.get(name, name) in abilities
