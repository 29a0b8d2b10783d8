"""Cards as TOML: what is written is read again, whatever stands in it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from inference.catalogue import CardError, ModelCard, card_of, read_cards, tables_of
from inference.toml import to_toml

# TOML has no half of a surrogate pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = TEXTS | st.integers(-(2**60), 2**60) | st.booleans() | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8
)


@given(TEXTS, st.lists(TEXTS), st.dictionaries(TEXTS, VALUES))
def test_whatever_is_written_is_read_again(
    notes: str, aliases: list[str], overrides: dict[str, Any]
) -> None:
    card = ModelCard(
        "a/b",
        "a/b",
        aliases=tuple(aliases),
        notes=notes,
        engine_args={"hf_overrides": overrides},
        max_model_len=64,
        slice=1.5,
    )
    coded = ModelCard("c", "c", engine="transformers", trust_remote_code=True)
    assert [card_of(table) for table in tables_of(to_toml([card, coded]))] == [card, coded]


def test_shipped_cards_come_back_as_they_were() -> None:
    cards = read_cards(settings.BASE_DIR / "inference" / "catalogue.toml")
    assert [card_of(table) for table in tables_of(to_toml(cards))] == cards
    # What nobody would write is left out.
    assert "wish" not in to_toml(cards) and "replicas" not in to_toml(cards)


def test_what_toml_has_no_word_for_is_named() -> None:
    card = ModelCard("a", "b", engine_args={"hf_overrides": {"x": None}})
    with pytest.raises(CardError, match="no word for None") as caught:
        to_toml([card])
    assert caught.value.field == "engine_args"


@pytest.mark.parametrize("text", ["model = 3", "model = [1]", "[[model"])
def test_a_file_that_is_no_catalogue_is_refused(text: str) -> None:
    with pytest.raises((CardError, tomllib.TOMLDecodeError)):
        tables_of(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_num_seqs", "many"),
        ("max_num_seqs", True),
        ("aliases", "gpt-4"),
        ("aliases", [1]),
        ("engine_args", [1]),
        ("notes", 7),
        ("slice", 0),
        ("slice", float("inf")),
        ("dtype", "float7"),
        ("trust_remote_code", "yes"),
        ("engine_args", {"tensor_parallel_size": "two"}),
        ("engine_args", {"tensor_parallel_size": 0}),
        ("engine_args", {"load_in_8bit": 1}),
        ("engine_args", {"hf_overrides": "x"}),
    ],
)
def test_a_value_of_a_wrong_kind_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(CardError) as caught:
        card_of({"id": "a", "source": "b", field: value})
    assert caught.value.field == field
