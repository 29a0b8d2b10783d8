"""Sounds under transformers: the tokens are those of transformers itself, in any company."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inference.said import said

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What programs said, by case."""
    return dict(said("hearing_programs", tmp_path_factory.mktemp("hearing")))


@pytest.mark.parametrize("name", ["deaf", "high", "low", "both"])
def test_what_is_heard_is_what_transformers_hears(found: dict[str, Any], name: str) -> None:
    expected, together, alone = found[name]
    assert together == expected
    assert alone == expected


def test_sounds_are_part_of_the_prompt(found: dict[str, Any]) -> None:
    facts = found["facts"]
    assert (facts["pictures"], facts["sounds"], facts["window"]) == (False, True, 30.0)
    deaf, high, low, both = found["lengths"]
    assert deaf < low < high < both
    assert found["high"][0] != found["low"][0]


def test_other_rates_and_mp3_are_heard(found: dict[str, Any]) -> None:
    assert len(found["wav 44100"]) == len(found["mp3 16000"]) == 8


@pytest.mark.parametrize(("name", "field"), [("no place", "sound 0"), ("no sound", "sound 1")])
def test_what_cannot_be_heard_is_the_callers_fault(
    found: dict[str, Any], name: str, field: str
) -> None:
    assert found[name] == ["InvalidRequest", field]
