"""The forms of models' pages: made of the API's own schemas, so what they send is what it takes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from inference.catalogue import PIPELINE_TASKS, ModelCard
from inference.samples import film, picture, sound
from inference.signature import Signature
from playground.api.hf import kinds
from playground.api.hf.forms import Control, Form, forms, of_code, of_task
from playground.api.hf.reading import from_json

MEDIA = {"picture": picture, "sound": sound, "film": film, "file": picture}


def value(control: Control) -> Any:
    """Something that a visitor could give."""
    if control.kind in MEDIA:
        return base64.b64encode(MEDIA[control.kind]().data).decode()
    if control.example is not None:
        return control.example
    if control.options:
        return control.options[0]
    if control.kind in ("integer", "number"):
        return control.low if control.low is not None else 1
    return {"lines": ["a", "b"], "json": [["word", [0, 0, 1, 1]]], "any": "Hello"}.get(
        control.kind, "Hello"
    )


def body(form: Form, everything: bool) -> dict[str, Any]:
    """What the page sends, as its script puts it together."""
    found: dict[str, Any] = {}
    parts = []
    for each in form.controls:
        if not (everything or each.required):
            continue
        if each.part:
            parts.append({"type": each.part, each.part: value(each)})
            continue
        place: Any = found
        for step, following in zip(each.path, each.path[1:], strict=False):
            empty: Any = [None, None] if isinstance(following, int) else {}
            place = place.setdefault(step, empty)
        place[each.path[-1]] = value(each)
    return found | ({"inputs": [{"role": "user", "content": parts}]} if parts else {})


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_what_a_form_sends_is_taken(task: str, everything: bool) -> None:
    sent = body(of_task(task), everything)
    found = from_json(json.loads(json.dumps(sent)), task)
    assert found.inputs and set(found.parameters) == set(sent.get("parameters", {}))


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_each_parameter_has_a_control_once(task: str) -> None:
    form = of_task(task)
    paths = [each.path for each in form.controls if not each.part]
    assert len(set(paths)) == len(paths)
    told = {str(path[1]) for path in paths if path[0] == "parameters"}
    # Speech takes those inside of it at the top as well.
    missing = set(kinds.parameters_of(task)) - told
    assert missing == ({"generation_parameters"} if task in kinds.SPEECH else set())
    labels = [each.label for each in form.controls]
    assert all(labels) and len(set(labels)) == len(labels)


def test_what_must_be_given_is_no_hidden_parameter() -> None:
    labels = [each for each in of_task("zero-shot-classification").controls if each.required]
    assert [each.label for each in labels] == ["Text", "Candidate labels"]


def test_notes_are_the_schemas_own_without_links() -> None:
    notes = {each.path[-1]: each.note for each in of_task("text-to-speech").controls}
    assert "Language Model" in notes["eta_cutoff"] and "](" not in "".join(notes.values())
    assert notes["top_p"].startswith("If set to float < 1")


def test_models_for_vectors_and_ranks_have_the_hubs_forms() -> None:
    def titles(task: str) -> list[str]:
        card = ModelCard(id="x", source="echo", engine="echo", task=task)
        return [each.title for each in forms(card)]

    assert titles("embedding") == ["Sentence similarity", "Feature extraction"]
    assert titles("rerank") == ["Ranking"]
    assert titles("text-generation") == []


def test_the_form_of_code_follows_its_type_hints() -> None:
    run = {
        "parameters": [
            {"name": "image", "schema": {"type": "string", "contentMediaType": "image/*"}},
            {
                "name": "bits",
                "schema": {"enum": [1, 2, 3, 4], "default": 2},
                "required": False,
            },
            {
                "name": "invert",
                "schema": {"type": "boolean", "default": False},
                "required": False,
            },
            {
                "name": "seed",
                "schema": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "required": False,
            },
            {"name": "tags", "schema": {"type": "array", "items": {"type": "string"}}},
            {"name": "extra", "schema": {}},
        ],
        "output": {"type": "string", "contentMediaType": "image/*"},
    }
    form = of_code(Signature.of(run).as_dict())
    assert [(each.path, each.kind) for each in form.controls] == [
        (("inputs",), "picture"),
        (("parameters", "bits"), "choice"),
        (("parameters", "invert"), "choice"),
        (("parameters", "seed"), "integer"),
        (("parameters", "tags"), "lines"),
        (("parameters", "extra"), "any"),
    ]
    assert [each.default for each in form.controls[:3]] == [None, 2, False]
    assert form.controls[0].label == "Image" and form.file == "answer.png"


def test_methods_of_the_hubs_client_are_those_that_exist() -> None:
    from huggingface_hub import InferenceClient

    named = {task: of_task(task).method for task in PIPELINE_TASKS}
    assert all(hasattr(InferenceClient, each) for each in named.values() if each)
    assert named["text-to-audio"] == "text_to_speech" and named["mask-generation"] == ""
    assert of_task("sentence-similarity").arguments == {
        "inputs.source_sentence": "sentence",
        "inputs.sentences": "other_sentences",
    }
