"""Pictures under transformers: the tokens are those of transformers itself, in any company."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inference.said import said

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What programs said, by case."""
    return dict(said("seeing_programs", tmp_path_factory.mktemp("seeing")))


@pytest.mark.parametrize("name", ["blind", "red", "blue", "both"])
def test_what_is_seen_is_what_transformers_sees(found: dict[str, Any], name: str) -> None:
    expected, together, alone = found[name]
    assert together == expected
    assert alone == expected


def test_pictures_are_part_of_the_prompt(found: dict[str, Any]) -> None:
    assert found["facts"]["pictures"] is True
    blind, red, blue, both = found["lengths"]
    assert blind < red == blue < both
    assert found["red"][0] != found["blue"][0]


def test_who_leaves_before_a_picture_was_seen_leaves_nothing(found: dict[str, Any]) -> None:
    assert found["dropped"] == [True, True]


@pytest.mark.parametrize(
    ("name", "field"),
    [("cut off", "picture 1"), ("svg", "picture 1"), ("no place", "picture 0")],
)
def test_what_cannot_be_seen_is_the_callers_fault(
    found: dict[str, Any], name: str, field: str
) -> None:
    assert found[name] == ["InvalidRequest", field]


def test_a_template_says_whether_pictures_have_a_place(found: dict[str, Any]) -> None:
    assert found["template only text"] is False
    assert found["said only text"] == "Hi"
    assert found["template blind"] is True
    assert found["said blind"] == "Hi"
    assert found["blind template"] == ["InvalidRequest", "picture 0"]


def test_places_may_be_fewer_than_tokens(found: dict[str, Any]) -> None:
    expected, said, shift = found["shifted"]
    assert said == expected
    assert shift < 0
    assert len({*expected["1"]}) > 3
