"""The form of a model's page: what to ask the model with, from the schemas that describe the API.

Those of the Hub's tasks are `/hf/openapi.json`'s, those of custom code its type hints'. A form has
a control for each value, `path` saying where in the body of `POST /hf/models/{id}` it goes.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from inference import ModelCard

from . import examples
from .schemas import Schema, task_schema

Path = tuple[str | int, ...]

# What models are asked for that are not for a task of the Hub's: nothing for those that chat.
ASKED: Mapping[str, tuple[str, ...]] = {
    "embedding": ("sentence-similarity", "feature-extraction"),
    "rerank": ("sentence-similarity",),
    "text-generation": (),
}
# How an answer of each task is drawn; what is not here is drawn by what it holds.
DRAWN: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "audio-classification",
            "image-classification",
            "text-classification",
            "video-classification",
            "zero-shot-audio-classification",
            "zero-shot-classification",
            "zero-shot-image-classification",
        ),
        "labels",
    ),
    **dict.fromkeys(("object-detection", "zero-shot-object-detection"), "boxes"),
    **dict.fromkeys(("image-segmentation", "mask-generation"), "masks"),
    **dict.fromkeys(("feature-extraction", "image-feature-extraction"), "vectors"),
    **dict.fromkeys(("document-question-answering", "visual-question-answering"), "answers"),
    "automatic-speech-recognition": "speech",
    "depth-estimation": "depth",
    "fill-mask": "words",
    "keypoint-matching": "points",
    "question-answering": "answers",
    "sentence-similarity": "similarity",
    "table-question-answering": "cells",
    "token-classification": "spans",
}
# Tasks whose answer is one medium; what a program would call the file.
FILES: Mapping[str, str] = {
    "image-to-image": "answer.png",
    "text-to-audio": "answer.wav",
    "text-to-speech": "answer.wav",
}
MEDIA: Mapping[str, str] = {"image/*": "picture", "audio/*": "sound", "video/*": "film"}
ENDINGS: Mapping[str, str] = {"image/*": "png", "audio/*": "wav"}
# Texts of several lines; others have one.
LONG = ("context", "text")
NAMES: Mapping[str, str] = {
    "inputs": "Text",
    "image": "Picture",
    "query": "Question",
    "sentences": "Compare it with",
    "source_sentence": "Sentence",
}
MEDIA_NAMES = {"picture": "Picture", "sound": "Sound", "film": "Video", "file": "File"}
# Parts of a message, by the tasks that take messages.
PARTS: Mapping[str, tuple[str, ...]] = {
    "any-to-any": ("image", "audio", "text"),
    "image-text-to-text": ("image", "text"),
}
# Methods of the Hub's client that are not called as their task is.
METHODS: Mapping[str, str] = {"text-to-audio": "text_to_speech"}
ARGUMENTS: Mapping[str, str] = {
    "source_sentence": "sentence",
    "sentences": "other_sentences",
}


@dataclass(frozen=True, slots=True)
class Control:
    """One value. `default` is what holds where nothing is given, `example` what the page begins
    with; `part` says which part of a message it is."""

    # text, line, lines, integer, number, choice, picture, sound, film, file, table, json, any.
    path: Path
    kind: str
    label: str
    required: bool = False
    note: str = ""
    options: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    default: Any = None
    example: Any = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """What to ask for one task. `file` names the answer where it is a medium, `method` is the
    Hub's client's, and `arguments` its names for paths of the body."""

    task: str
    title: str
    controls: tuple[Control, ...]
    drawn: str = ""
    file: str = ""
    method: str = ""
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As the page reads it."""
        return dataclasses.asdict(self)


def forms(card: ModelCard) -> tuple[Form, ...]:
    """The forms of a model: none for one that chats."""
    if card.task == "custom":
        return (of_code(card.engine_args.get("run") or {}),)
    return tuple(_asked(card.task, each) for each in ASKED.get(card.task, (card.task,)))


def _asked(task: str, asked: str) -> Form:
    """The form of a task, in the words of what its model is for."""
    form = of_task(asked)
    if task != "rerank":
        return form
    words = {"source_sentence": "Query", "sentences": "Documents"}
    renamed = (dataclasses.replace(each, label=words[str(each.path[-1])]) for each in form.controls)
    return dataclasses.replace(form, title="Ranking", controls=tuple(renamed))


@cache
def of_task(task: str) -> Form:
    """The form of one of the Hub's tasks."""
    properties = task_schema(task)["properties"]
    parts = PARTS.get(task)
    inputs = _parts(parts) if parts else _controls(("inputs",), properties["inputs"], True)
    controls = (
        *(_with_example(each, examples.of(task)) for each in inputs),
        *(_with_example(each, examples.of(task)) for each in _parameters(properties)),
    )
    method, arguments = _client(task, controls)
    return Form(
        task=task,
        title=task.replace("-", " ").capitalize(),
        controls=controls,
        drawn=DRAWN.get(task, ""),
        file=FILES.get(task, ""),
        method=method,
        arguments=arguments,
    )


def of_code(run: Mapping[str, Any]) -> Form:
    """The form of somebody's own code, whose first parameter is called `inputs` in the API."""
    controls: list[Control] = []
    for i, each in enumerate(run.get("parameters", ())):
        path: Path = ("parameters", each["name"]) if i else ("inputs",)
        control = _control(path, each["schema"], bool(each["required"]), str(each["name"]))
        controls.append(dataclasses.replace(control, label=_label(str(each["name"]))))
    ending = ENDINGS.get((run.get("output") or {}).get("contentMediaType", ""), "")
    return Form("custom", "Ask it", tuple(controls), file=ending and f"answer.{ending}")


def _parameters(properties: Mapping[str, Schema]) -> Iterator[Control]:
    """Controls of a task's parameters; those that must be given first."""
    schema = properties["parameters"]
    required = set(schema.get("required", ()))
    own = schema.get("properties", {})
    for name in sorted(own, key=lambda name: name not in required):
        value = own[name]
        if "properties" in value:
            # What may stand beside the rest as well stands there: once is enough.
            left = {key: each for key, each in value["properties"].items() if key not in own}
            value = value | {"properties": left}
        yield from _controls(("parameters", name), value, name in required)


def _controls(path: Path, schema: Schema, required: bool) -> Iterator[Control]:
    """The controls of a value: an object has one for each of its fields."""
    if "properties" in schema:
        needed = set(schema.get("required", ()))
        for name, inner in schema["properties"].items():
            yield from _controls((*path, name), inner, required and name in needed)
    elif schema.get("minItems") == schema.get("maxItems") == 2:
        for i, which in enumerate(("First", "Second")):
            found = _control((*path, i), schema["items"], required, str(path[-1]))
            yield dataclasses.replace(found, label=f"{which} {found.label.lower()}")
    else:
        yield _control(path, schema, required, str(path[-1]))


def _control(path: Path, schema: Schema, required: bool, name: str) -> Control:
    """The control of one value by its schema."""
    kind, more = _kind(_plain(schema), name, path[0] == "inputs")
    label = MEDIA_NAMES.get(kind, "") if name == "inputs" else ""
    return Control(
        path=path,
        kind=kind,
        label=label or NAMES.get(name) or _label(name),
        required=required,
        note=schema.get("description", "" if kind != "lines" else "One in each line."),
        default=schema.get("default"),
        **more,
    )


def _plain(schema: Schema) -> Schema:
    """A schema without null, which is to leave the value out; one text for one or several."""
    kinds_of = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    texts = [each for each in kinds_of if each.get("type") == "string"]
    several = any(each.get("items", {}).get("type") == "string" for each in kinds_of)
    if texts and several and len(kinds_of) == 2:
        return texts[0]
    return kinds_of[0] if len(kinds_of) == 1 else schema


def _kind(schema: Schema, name: str, is_input: bool) -> tuple[str, dict[str, Any]]:
    """Which kind of control, and what else that needs to know."""
    if "contentMediaType" in schema:
        return MEDIA.get(schema["contentMediaType"], "file"), {}
    if options := _options(schema):
        return "choice", {"options": options}
    match schema.get("type"):
        case "integer" | "number" as kind:
            return kind, {"low": schema.get("minimum"), "high": schema.get("maximum")}
        case "string":
            long = name in LONG or (is_input and name == "inputs")
            return ("text" if long else "line"), {}
        case "array" if schema.get("items", {}).get("type") == "string" and not (
            schema["items"].keys() - {"type", "minLength"}
        ):
            return "lines", {}
        case "object" if name == "table":
            return "table", {}
    said = {*schema} - {"default", "description"}
    return ("json" if said else "any"), {}


def _options(schema: Schema) -> tuple[Any, ...]:
    """The values of one that has few."""
    if schema.get("type") == "boolean":
        return (True, False)
    found: list[Any] = []
    for each in schema.get("anyOf", [schema]):
        inner = each.get("enum") or ((True, False) if each.get("type") == "boolean" else None)
        if inner is None:
            return ()
        found += inner
    return tuple(found)


def _parts(parts: tuple[str, ...]) -> Iterator[Control]:
    """The parts of one message."""
    media = {"image": "picture", "audio": "sound"}
    for part in parts:
        kind = media.get(part, "text")
        label = MEDIA_NAMES.get(kind, "Text")
        yield Control(("inputs",), kind, label, required=part == "text", part=part)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _with_example(control: Control, known: Mapping[str, Any]) -> Control:
    medium = control.kind in MEDIA.values()
    example = None if medium else known.get(str(control.path[-1]))
    return dataclasses.replace(control, example=example)


def _client(task: str, controls: tuple[Control, ...]) -> tuple[str, dict[str, str]]:
    """The method of the Hub's client for a task, if any, and its arguments by paths of the body."""
    from huggingface_hub import InferenceClient

    name = METHODS.get(task, task.replace("-", "_"))
    method = getattr(InferenceClient, name, None)
    if method is None:
        return "", {}
    taken = list(inspect.signature(method).parameters)[1:]
    found = {}
    for each in controls:
        key = str(each.path[-1])
        argument = taken[0] if each.path == ("inputs",) else ARGUMENTS.get(key, key)
        if argument in taken and len(each.path) < 3:
            found[".".join(map(str, each.path))] = argument
    # A method that cannot be told what must be said is of no use.
    needed = {".".join(map(str, each.path)) for each in controls if each.required}
    return (name, found) if needed <= found.keys() else ("", {})
