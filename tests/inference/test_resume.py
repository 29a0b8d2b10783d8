"""An answer that was stopped and went on is the answer that was not stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from inference.abilities import preemptable
from inference.catalogue import ModelCard
from inference.engines.echo import EchoEngine
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    Message,
    Output,
    Question,
    SamplingParams,
)
from tests.inference.resuming import CASES, TOOL, chat, completion, cut, run, told
from tests.inference.said import said

WORDS = " ".join(f"w{i}" for i in range(12))
WAYS: list[tuple[Sequence[int], bool]] = [
    *(([k], False) for k in range(1, 12)),
    ([2, 5, 9], False),
    ([3, 7], True),
]


@pytest.fixture
async def echo() -> EchoEngine:
    """An engine with words for tokens."""
    engine = EchoEngine(ModelCard("echo", "echo", engine="echo"))
    await engine.start()
    return engine


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"logprobs": 1},
        {"max_tokens": 9},
        {"max_tokens": 30, "ignore_eos": True},
        {"seed": 3, "temperature": 0},
    ],
)
@pytest.mark.parametrize(("cuts", "lost"), WAYS)
async def test_echo_goes_on_where_it_was_stopped(
    echo: EchoEngine, sampling: dict[str, Any], cuts: Sequence[int], lost: bool
) -> None:
    request = GenerateRequest(
        model="echo", messages=(Message("user", WORDS),), sampling=SamplingParams(**sampling)
    )
    whole = told(await run(echo, await echo.prepare(request), 10**9, False))
    found = told(await cut(echo, request, cuts, lost=lost, elsewhere=False))
    assert found == whole
    assert whole["prompts"] == 1
    assert whole["tokens"] == [12, len(whole["ids"])]


async def test_request_that_cannot_go_on_says_so(echo: EchoEngine) -> None:
    sampling = SamplingParams(n=2)
    prepared = await echo.prepare(GenerateRequest(model="echo", prompt="a b", sampling=sampling))
    assert not prepared.resumable
    with pytest.raises(ValueError, match="cannot go on"):
        echo.resumed(prepared, [0])


async def test_earlier_resumption_may_be_resumed_again(echo: EchoEngine) -> None:
    request = GenerateRequest(model="echo", messages=(Message("user", WORDS),))
    prepared = echo.resumed(echo.resumed(await echo.prepare(request), [0]), [0, 1, 2])
    found: list[Output] = []
    async with aclosing(echo.generate(prepared)) as outputs:
        async for output in outputs:
            found.append(output)
    assert found[0].text == "3:w3 "
    assert found[0].prompt_text is None


STRICT = {**TOOL, "function": {**TOOL["function"], "strict": True}}
PICTURE = Message("user", [{"type": "image_url", "image_url": {"url": "data:"}}])


@pytest.mark.parametrize(
    ("request_", "may"),
    [
        (completion("x"), True),
        (completion("x", stop=("a",), min_tokens=3, logprobs=2, logit_bias={1: 1.0}), True),
        (completion("x", temperature=1.0, top_p=0.5), True),
        (completion("x", temperature=0, seed=1), True),
        (completion("x", repetition_penalty=1.0, presence_penalty=0.0), True),
        (completion("x", temperature=None, seed=1), False),
        (completion("x", temperature=0.1, seed=1), False),
        (completion("x", n=2), False),
        (completion("x", prompt_logprobs=0), False),
        (completion("x", presence_penalty=0.1), False),
        (completion("x", frequency_penalty=-0.1), False),
        (completion("x", repetition_penalty=1.1), False),
        (completion("x", structured={"json_object": True}), False),
        (chat("x", tools=(TOOL,)), True),
        (chat("x", tools=(STRICT,)), False),
        (GenerateRequest(model="m", messages=(), tools=(TOOL,), tool_choice="required"), False),
        (GenerateRequest(model="m", messages=(), tools=(TOOL,), tool_choice={"name": "f"}), False),
        (GenerateRequest(model="m", messages=(), tools=(STRICT,), tool_choice="none"), True),
        (GenerateRequest(model="m", messages=(), tools=(TOOL,), parallel_tool_calls=False), False),
        (GenerateRequest(model="m", messages=(PICTURE,)), False),
        (EmbedRequest(model="m", inputs=("x",)), False),
        (DetokenizeRequest(model="m", tokens=(1,)), False),
    ],
)
def test_only_what_depends_on_nothing_but_its_tokens_is_preempted(
    request_: Question, may: bool
) -> None:
    assert preemptable(request_) is may


@pytest.fixture(scope="module", params=["4", pytest.param("1", marks=pytest.mark.slow)])
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """What a real engine said, whole and cut behind every so many tokens, by case."""
    found: dict[str, list[Any]] = {}
    for name, *rest in said("resuming", tmp_path_factory.mktemp("resuming"), request.param):
        found.setdefault(name, []).append(rest)
    return found


@pytest.mark.engine
@pytest.mark.parametrize("case", CASES)
def test_real_answer_is_the_same_wherever_it_was_stopped(
    answers: dict[str, list[Any]], case: str
) -> None:
    runs = answers[case]
    assert len(runs) > 4
    for cuts, whole, found in runs:
        for same in ("ids", "text", "calls", "reasons", "tokens", "prompts"):
            assert found[same] == whole[same], (cuts, same)
        assert [t for t, _ in found["logprobs"]] == [t for t, _ in whole["logprobs"]], cuts
        # The rest of a prompt is computed in another shape, so the last bits may differ.
        pairs = zip(found["logprobs"], whole["logprobs"], strict=True)
        assert all(abs(a - b) < 1e-3 for (_, a), (_, b) in pairs), cuts
        assert whole["tokens"][1] == len(whole["ids"])


@pytest.mark.engine
def test_cases_are_what_they_are_called(answers: dict[str, list[Any]]) -> None:
    said = {case: runs[0][1] for case, runs in answers.items()}
    assert "é" in said["halves of é"]["text"] and "\ufffd" in said["halves of é"]["text"]
    assert said["stop string"]["text"].endswith("Franc")
    assert said["a stop after a half"]["reasons"] == ["stop"]
    assert said["a call of a tool"]["calls"] == [["id", "get_weather", '{"city": "Rome"}']]
    assert said["completion to its limit"]["reasons"] == ["length"]
    assert said["logprobs"]["logprobs"]
