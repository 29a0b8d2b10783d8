"""Text under transformers: every knob does what it says, alone and beside other requests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.inference.said import said
from tests.inference.text_engine import ASKED

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real engine said, by case; "resumed" is a list of all its runs."""
    lines = said("text_engine", tmp_path_factory.mktemp("text"))
    cases = {name: what for name, what in lines}
    return {**cases, "resumed": [what for name, what in lines if name == "resumed"]}


def test_answers_are_what_the_model_knows(found: dict[str, Any]) -> None:
    assert found["limits"] == [2048, True]
    assert found["plain"]["text"] == " Paris."
    assert found["plain"]["tokens"] == [5, 5]
    assert found["plain"]["said"] == "The capital of France is"
    assert found["one"]["texts"] == ["The capital of Peru is Lima."]
    assert found["one"]["reasons"] == ["stop"]


def test_several_choices_are_drawn_apart_and_counted_together(found: dict[str, Any]) -> None:
    several = found["choices"]
    assert several["tokens"][1] == len(several["ids"])
    assert several["reasons"] == ["stop"] * 3
    assert all(text.startswith("The capital of Peru") for text in several["texts"])


def test_a_seed_makes_an_answer_repeatable(found: dict[str, Any]) -> None:
    said = [found[name]["ids"] for name in ("seed", "same seed", "other seed", "no seed")]
    assert said[0] == said[1]
    assert said[0] != said[2]
    assert said[0] != said[3]


@pytest.mark.parametrize("name", ["the best of many", "almost the best", "likely enough"])
def test_what_is_unlikely_is_left_out(found: dict[str, Any], name: str) -> None:
    assert found[name]["ids"] == found["greedy"]["ids"]


def test_bias_and_penalties_steer(found: dict[str, Any]) -> None:
    assert set(found["biased"]["ids"]) == {100}
    assert len(found["biased"]["ids"]) == 5
    assert len(set(found["unpunished"]["ids"])) < 3
    assert len(set(found["punished"]["ids"])) > 12


def test_logprobs_are_those_of_the_model(found: dict[str, Any]) -> None:
    asked = found["logprobs"]
    # The token that ends the answer has none.
    assert len(asked["logprobs"]) == len(asked["ids"]) - 1
    assert "".join(token for token, _ in asked["logprobs"]) == asked["text"]
    assert all(-0.01 < value <= 0 for _, value in asked["logprobs"])
    assert asked["prompt"][0] is None
    assert [each[0] for each in asked["prompt"][1:]] == [" capital", " of", " France", " is"]
    assert asked["prompt"][2][1] > -0.01 > asked["prompt"][1][1]


def test_answers_follow_a_structure(found: dict[str, Any]) -> None:
    said = json.loads(found["json"]["text"])
    assert said["size"] in ("small", "large") and isinstance(said["sure"], bool)
    assert re.fullmatch("[0-9]{3}-[a-f]{2}", found["regex"]["text"])
    assert found["words"]["text"] in ("yes", "no, never")


def test_answers_end_where_they_are_told_to(found: dict[str, Any]) -> None:
    assert found["stop"]["text"] == "The capital of "
    assert found["stop"]["reasons"] == ["stop"]
    assert len(found["at least"]["ids"]) >= 14
    assert found["greedy"]["reasons"] == ["length"]


def test_answers_are_the_same_beside_others(found: dict[str, Any]) -> None:
    for name, alone in ((name, found[name]) for name in ASKED if name != "no seed"):
        beside = found["together"][name]
        for same in ("texts", "reasons", "tokens", "said"):
            assert beside[same] == alone[same], name
        for key in ("logprobs", "prompt"):
            assert [each and each[0] for each in beside[key]] == [
                each and each[0] for each in alone[key]
            ]
        pairs = zip(beside["logprobs"], alone["logprobs"], strict=True)
        assert all(abs(a - b) < 1e-4 for (_, a), (_, b) in pairs), name


@pytest.mark.parametrize(
    ("name", "kind", "param"),
    [
        ("too long", "ContextLengthExceeded", "prompt"),
        ("too much", "ContextLengthExceeded", "prompt"),
        ("no such token", "InvalidRequest", "prompt"),
        ("no such bias", "InvalidRequest", "logit_bias"),
        ("no structure", "InvalidRequest", "response_format"),
        ("no regex", "InvalidRequest", "response_format"),
        ("too hot", "InvalidRequest", "temperature"),
        ("nothing", "InvalidRequest", "prompt"),
    ],
)
def test_bad_requests_are_refused_before_they_queue(
    found: dict[str, Any], name: str, kind: str, param: str
) -> None:
    assert found[name][:2] == [kind, param], found[name]
    assert ".cc:" not in found[name][2]


def test_tokens_and_back(found: dict[str, Any]) -> None:
    ids, strings = found["tokens"]
    assert len(ids) == len(strings) > 0
    assert found["text"] == "Hello"


def test_an_answer_is_the_same_wherever_it_was_stopped(found: dict[str, Any]) -> None:
    assert len({name for name, *_ in found["resumed"]}) >= 5
    for name, cuts, whole, cut in found["resumed"]:
        for same in ("ids", "text", "reasons", "tokens", "prompts"):
            assert cut[same] == whole[same], (name, cuts, same)


def test_the_end_of_the_worker_is_heard(found: dict[str, Any]) -> None:
    message, reason, alive = found["crashed"]
    assert "its process was killed" in message and reason in message
    assert not alive


def test_vectors_and_how_near_they_are(found: dict[str, Any]) -> None:
    data, tokens = found["EmbedRequest"]
    assert data[0] == pytest.approx(data[2], abs=1e-5)
    assert data[0] != pytest.approx(data[1], abs=1e-3)
    scores, _ = found["ScoreRequest"]
    assert scores[1] == pytest.approx(1, abs=1e-4) and scores[0] < 0.9999
    assert tokens == 10
    assert found["dimensions"][:2] == ["UnsupportedParameter", "dimensions"]
