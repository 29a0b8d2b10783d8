"""The filters of /models: each finds what it says, and offers what there is."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict

from inference import ModelCard
from playground.catalogue.filters import GIB, Chosen, Entry, choices


def entry(name: str, state: str = "unloaded", size: float | None = None, **card: Any) -> Entry:
    made = ModelCard(f"lab/{name}", f"owner/{name}", **card)
    return Entry(made, state, None if size is None else int(size * GIB))


ENTRIES = [
    entry("chat", "ready", 1, wish="pin", licence="mit", notes="Good at Latin."),
    entry("large", "loading", 30, licence="apache-2.0", aliases=("gpt-9",)),
    entry("vast", "failed", 200, licence="mit"),
    entry("near", "sleeping", 2, task="embedding"),
    entry("eyes", "downloading", task="image-classification", engine="transformers"),
    entry("own", "closed", 0.1, task="custom", engine="custom"),
]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "chat large vast near eyes own"),
        ("task=embedding", "near"),
        ("tier=S", "chat"),
        ("tier=C", "own"),
        ("tier=A", "large vast near eyes"),
        ("size=small", "chat own"),
        ("size=medium", "near"),
        ("size=large", "large"),
        ("size=huge", "vast"),
        ("size=unknown", "eyes"),
        ("licence=mit", "chat vast"),
        ("licence=not+stated", "near eyes own"),
        ("state=ready", "chat"),
        ("state=soon", "large eyes"),
        ("state=unloaded", "near"),
        ("state=failed", "vast own"),
        ("q=LATIN+good", "chat"),
        ("q=gpt-9", "large"),
        ("q=owner/vast", "vast"),
        ("q=latin+large", ""),
        ("licence=mit&state=failed", "vast"),
        ("task=dreaming", ""),
        ("page=2&colour=red", "chat large vast near eyes own"),
    ],
)
def test_each_filter_finds_what_it_says(query: str, names: str) -> None:
    chosen = Chosen.of(QueryDict(query))
    found = [each.card.id.removeprefix("lab/") for each in ENTRIES if chosen.finds(each)]
    assert found == names.split()
    assert bool(chosen) == (query not in ("", "page=2&colour=red"))


def test_filters_offer_what_there_is_and_how_much_of_it() -> None:
    filters = {each["name"]: each["options"] for each in choices(ENTRIES, Chosen(size="large"))}
    assert filters["licence"] == [
        ("apache-2.0", "apache-2.0", 1, False),
        ("mit", "mit", 2, False),
        ("not stated", "not stated", 3, False),
    ]
    assert [(name, count) for name, _, count, _ in filters["state"]] == [
        ("ready", 1), ("soon", 2), ("unloaded", 1), ("failed", 2),
    ]  # fmt: skip
    assert ("large", "20 to 80 GiB", 1, True) in filters["size"]
    assert ("unknown", "not measured", 1, False) in filters["size"]
    assert [name for name, *_ in filters["tier"]] == ["S", "A", "C"]
