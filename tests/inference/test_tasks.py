"""What each task answers, by the one door, with the echo engine."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import PIPELINE_TASKS, TASKS, CardError, ModelCard, check_card
from inference.errors import ContextLengthExceeded, UnsupportedParameter
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    Output,
    Question,
    ScoreRequest,
    TaskRequest,
    TokenizeRequest,
)
from inference.service import InferenceService
from inference.tasks import ANSWERS, capabilities, check, probe


def card(task: str, **more: Any) -> ModelCard:
    return ModelCard(task, task, engine="echo", task=task, **more)


QUESTIONS: list[Any] = [
    (GenerateRequest, {"prompt": "one two"}),
    (EmbedRequest, {"inputs": ("one two", (1, 2))}),
    (ScoreRequest, {"queries": ("one",), "documents": ("one", "two", "three")}),
    (TokenizeRequest, {"prompt": "1 2"}),
    (DetokenizeRequest, {"tokens": (1, 2)}),
]


@pytest.fixture
async def service(settings: LazySettings) -> AsyncIterator[InferenceService]:
    settings.CPU_MEMORY_BYTES = 8 * 2**30
    made = InferenceService()
    await made.start()
    await made.set_cards([card(task) for task in TASKS])
    yield made
    await made.shutdown(0.2)


async def said(service: InferenceService, request: Question) -> list[Output]:
    async with aclosing(await service.generate(request)) as outputs:
        return [output async for output in outputs]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("kind", "fields"), QUESTIONS)
async def test_a_model_answers_what_its_task_says_and_nothing_else(
    service: InferenceService, task: str, kind: type[Question], fields: dict[str, Any]
) -> None:
    request = kind(model=task, **fields)
    if kind in ANSWERS[task]:
        outputs = await said(service, request)
        assert outputs[-1].usage is not None
        return
    with pytest.raises(UnsupportedParameter) as caught:
        await service.generate(request)
    assert caught.value.param == "model"
    # To say no, nothing is loaded.
    assert service.model_status(task).state == "unloaded"


async def test_vectors_are_floats_in_the_order_of_their_index(service: InferenceService) -> None:
    outputs = await said(service, EmbedRequest(model="embedding", inputs=("a", "b c")))
    assert [output.index for output in outputs] == [0, 1]
    assert all(isinstance(output.data, array) for output in outputs)
    assert [output.usage is None for output in outputs] == [True, False]
    assert outputs[-1].usage is not None and outputs[-1].usage.prompt_tokens == 3


async def test_a_text_beyond_the_context_is_refused_before_the_stream(
    service: InferenceService,
) -> None:
    with pytest.raises(ContextLengthExceeded):
        await service.generate(EmbedRequest(model="embedding", inputs=("fine", "w " * 3000)))
    assert service.model_status("embedding").running == 0


async def test_leaving_many_vectors_frees_the_place(service: InferenceService) -> None:
    answer = await service.generate(EmbedRequest(model="embedding", inputs=("a",) * 100))
    await anext(aiter(answer))
    await answer.aclose()
    assert service.model_status("embedding").running == 0
    await asyncio.sleep(0)


@pytest.mark.parametrize("task", TASKS + PIPELINE_TASKS)
def test_every_task_has_a_probe_that_it_answers(task: str) -> None:
    asked = probe(card(task))
    # What somebody's own code can be asked, only that code knows.
    assert (asked is None) == (task == "custom")
    if asked is not None:
        check(card(task), asked)
    assert capabilities(card(task))


def test_a_model_is_asked_for_its_own_task_only() -> None:
    asked = TaskRequest(model="translation", task="summarization", inputs="a")
    with pytest.raises(UnsupportedParameter, match="cannot be asked for summarization"):
        check(card("translation"), asked)


def test_other_tasks_are_for_transformers_only() -> None:
    with pytest.raises(CardError):
        check_card(card("translation"))
    check_card(replace(card("translation"), engine="transformers"))


def test_an_unknown_task_is_no_card() -> None:
    with pytest.raises(CardError) as caught:
        check_card(card("dreaming"))
    assert caught.value.field == "task"
