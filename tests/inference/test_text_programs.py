"""A text program loads by every rung, refuses what could do harm, and keeps its answers apart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inference.said import said

pytestmark = pytest.mark.engine
ENDLESS = ["LoadFailed", "Its chat template does not come to an end."]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What programs said, by case."""
    return dict(said("text_programs", tmp_path_factory.mktemp("programs")))


def test_pickles_are_refused(found: dict[str, Any]) -> None:
    """M1."""
    kind, message = found["pickle"]
    assert kind == "LoadFailed"
    assert message.startswith("unsafe_format") and "pytorch_model.bin" in message


@pytest.mark.parametrize("name", ["code", "code of the tokenizer"])
def test_code_of_a_repository_is_refused(found: dict[str, Any], name: str) -> None:
    """M2."""
    assert found[name][0] == "LoadFailed" and "`auto_map`" in found[name][1]


def test_a_template_that_does_not_end_is_stopped(found: dict[str, Any]) -> None:
    """M3: at load, and one that waits for its prompt."""
    assert found["endless"] == ENDLESS
    assert found["growing"] == ["LoadFailed", "Its chat template grows without bound."]
    assert found["late, well"] == "well"
    assert found["late, loop"] == ENDLESS


def test_every_rung_answers(found: dict[str, Any]) -> None:
    full, eight, four, disk = (found[rung] for rung in ("full", "8bit", "4bit", "disk_offload"))
    # Bytes of weights: what is not in a linear layer stays as it was.
    assert full[2] == disk[2] > eight[2] > four[2]
    assert eight[0][0][:4] == full[0][0][:4]
    assert [len(tokens) for tokens in four[0]] == [12] * 4


def test_weights_on_disk_change_no_token(found: dict[str, Any]) -> None:
    full, disk = found["full"], found["disk_offload"]
    assert set(disk[1]) == {"cpu", "disk"}
    assert disk[0] == full[0]


@pytest.mark.parametrize(
    "family",
    [
        "llama",
        "gpt2",
        "windows",
        "some windows",
        "no positions",
        "experts",
        "recurrent",
        "half recurrent",
    ],
)
def test_answers_side_by_side_are_those_of_generate(found: dict[str, Any], family: str) -> None:
    expected, said = found[f"family {family}"]
    assert said == expected
    assert len({*expected["0"], *expected["2"]}) > 3


@pytest.mark.parametrize(("family", "lost"), [("llama", {"2"}), ("windows", {"0", "1", "2"})])
def test_memory_that_runs_out_costs_who_came_last(
    found: dict[str, Any], family: str, lost: set[str]
) -> None:
    """A window that moved on cannot be put back, so there all that ran together are lost."""
    whole, said = found[f"exhausted {family}"]
    for key in whole:
        assert said[key] == ("OutOfMemoryError" if key in lost else whole[key])
    assert found[f"after {family}"] == whole


def test_no_more_answers_than_the_cache_holds(found: dict[str, Any]) -> None:
    said, most = found["crowded"]
    assert said == found["exhausted llama"][0]
    assert most == 2


def test_vectors_are_the_same_beside_others(found: dict[str, Any]) -> None:
    for name in ("vectors mean", "vectors cls", "scores"):
        together, alone = (flat(each) for each in found[name])
        assert max(abs(a - b) for a, b in zip(together, alone, strict=True)) < 1e-5
    for vector in found["vectors mean"][0]:
        assert abs(sum(each * each for each in vector) - 1) < 1e-5
    assert found["vectors mean"][0] != found["vectors cls"][0]
    assert all(0 < score < 1 for score in found["scores"][0])
    assert len(set(found["scores"][0])) == 4


def flat(values: list[Any]) -> list[float]:
    return [x for each in values for x in (each if isinstance(each, list) else [each])]


def test_a_text_beyond_the_context_is_refused(found: dict[str, Any]) -> None:
    assert found["facts mean"] == {"max_model_len": 40}
    assert found["vectors too long"] == ["ContextLengthExceeded", "input"]
