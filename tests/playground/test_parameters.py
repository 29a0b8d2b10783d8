"""What a model's page says of its parameters: words, values and defaults, for this very model."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import pytest

from inference import ModelCard, ModelStatus
from inference.abilities import abilities
from inference.catalogue import PIPELINE_TASKS
from inference.tasks import capabilities
from playground.api.hf.defaults import DEFAULTS
from playground.api.parameters import described_parameters, supported_parameters
from playground.catalogue.parameters import default_words, rows, values_words

RUN = {
    "parameters": [
        {"name": "text", "schema": {"type": "string"}, "required": True},
        {"name": "bits", "schema": {"type": "integer", "default": 2}, "required": False},
        {"name": "<b>", "schema": {}, "required": True},
    ]
}


def status(
    context: int | None = None, defaults: Mapping[str, float] | None = None, **card: Any
) -> ModelStatus:
    """A model that is not loaded."""
    own = ModelCard("lab/model", "owner/model", **card)
    return ModelStatus(
        card=own,
        state="unloaded",
        detail="",
        tier="A",
        max_model_len=context,
        abilities=abilities(own),
        running=0,
        waiting=0,
        is_default=False,
        load_seconds=None,
        capabilities=capabilities(own),
        defaults=defaults or {},
    )


def test_ranges_and_defaults_are_those_of_the_model() -> None:
    plain, own = (
        described_parameters(each)
        for each in (status(), status(4096, {"temperature": 0.6, "top_k": 20}))
    )
    assert (plain["temperature"]["default"], own["temperature"]["default"]) == (1, 0.6)
    assert own["temperature"]["maximum"] == 2 and own["top_k"]["default"] == 20
    assert (plain["max_tokens"]["maximum"], own["max_tokens"]["maximum"]) == (2**31 - 1, 4096)
    assert own["temperature"]["routes"] == ["chat.completions", "completions"]
    # The same name is a switch on one route, and a number on the other.
    assert own["logprobs"]["type"] == ["boolean", "integer"] and own["logprobs"]["maximum"] == 20


@pytest.mark.parametrize("engine", ["vllm", "transformers", "echo"])
@pytest.mark.parametrize("task", ["text-generation", "embedding", "rerank"])
def test_every_parameter_with_an_effect_is_described(engine: str, task: str) -> None:
    found = status(engine=engine, task=task)
    described = described_parameters(found)
    assert sorted(described) == supported_parameters(found.capabilities, found.abilities)
    assert all(each["description"] and each["type"] for each in described.values())


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_parameters_of_tasks_are_described_and_typed(task: str) -> None:
    described = described_parameters(status(engine="transformers", task=task))
    for name, each in described.items():
        assert each["description"] and each["routes"], name
        assert "type" in each or "enum" in each, name
    heard = "audio.transcriptions" in capabilities(ModelCard("a", "a", task=task))
    assert ("language" in described) == heard


def test_defaults_of_tasks_are_told() -> None:
    told = described_parameters(status(engine="transformers", task="zero-shot-classification"))
    assert told["candidate_labels"]["required"] is True
    assert told["hypothesis_template"]["default"] == "This example is {}."
    assert told["multi_label"] == told["multi_label"] | {"type": "boolean", "default": False}
    told = described_parameters(status(engine="transformers", task="image-to-text"))
    assert told["generation_parameters.num_beams"]["maximum"] == 16


# What the engine of this server, as Hugging Face's API, does otherwise than the pipelines.
OTHERWISE = {
    ("text-classification", "top_k"),
    ("token-classification", "aggregation_strategy"),
}


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_defaults_of_tasks_are_those_of_transformers() -> None:
    from transformers.pipelines import SUPPORTED_TASKS

    compared = set()
    for task, told in DEFAULTS.items():
        pipeline = SUPPORTED_TASKS[task]["impl"] if task in SUPPORTED_TASKS else None
        for step in ("preprocess", "_forward", "postprocess") if pipeline else ():
            for name, each in signature(getattr(pipeline, step)).parameters.items():
                if name in told and each.default is not Parameter.empty:
                    # A switch that is None is one that is off.
                    default = False if each.default is None else each.default
                    same = told[name] == default
                    assert same or (task, name) in OTHERWISE, (task, name)
                    compared.add((task, name))
    assert len(compared) > 20 and compared >= OTHERWISE


def test_parameters_of_somebodys_code_are_those_of_its_hints() -> None:
    code = status(engine="custom", task="custom", engine_args={"run": RUN})
    assert [(each.name, each.values, each.default) for each in rows(code)] == [
        ("bits", "whole number", "2"),
        ("<b>", "anything", "must be given"),
    ]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "number", "minimum": 0, "maximum": 2}, "number, 0 to 2"),
        ({"type": "number", "minimum": 0, "maximum": 0.9}, "number, 0 to 0.9"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 10}, "number, above 0, at most 10"),
        ({"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, "whole number, 1 or more"),
        ({"type": "integer", "minimum": 1, "maximum": 40960}, "whole number, 1 to 40,960"),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, "whole number"),
        ({"type": ["boolean", "integer"], "minimum": 0, "maximum": 20},
         "true or false or whole number, 0 to 20"),
        ({"type": ["string", "array"], "maxItems": 16}, "text or list, at most 16"),
        ({"type": "string", "enum": ["float", "base64"]}, "float, base64"),
        ({}, "anything"),
    ],
)  # fmt: skip
def test_values_are_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert values_words(schema) == words


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"default": 0.6}, "0.6"),
        ({"default": False}, "false"),
        ({"default": "float"}, "float"),
        ({"default": 0}, "0"),
        ({"required": True}, "must be given"),
        ({}, ""),
    ],
)
def test_defaults_are_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert default_words(schema) == words
