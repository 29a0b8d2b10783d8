"""Searching the catalogue: which cards fit what a visitor chose, and what there is to choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from inference import ModelCard

GIB = 2**30
# What weights may take, as visitors choose it: from and up to so many bytes.
SIZES: Mapping[str, tuple[str, float, float]] = {
    "small": ("up to 2 GiB", 0, 2 * GIB),
    "medium": ("2 to 20 GiB", 2 * GIB, 20 * GIB),
    "large": ("20 to 80 GiB", 20 * GIB, 80 * GIB),
    "huge": ("above 80 GiB", 80 * GIB, float("inf")),
}
UNKNOWN_SIZE = "unknown"
TIERS = {"S": "always loaded", "A": "loaded on demand", "C": "custom code"}
# What a visitor makes of a state: those in which something is under way are one.
STATES: Mapping[str, tuple[str, frozenset[str]]] = {
    "ready": ("ready now", frozenset({"ready"})),
    "soon": ("coming or going", frozenset({"loading", "downloading", "draining", "stopping"})),
    "unloaded": ("loads when asked", frozenset({"unloaded", "sleeping"})),
    "failed": ("not available", frozenset({"failed", "closed"})),
}
NO_LICENCE = "not stated"


@dataclass(frozen=True, slots=True)
class Entry:
    """A card as the list shows it. `size` is a word of SIZES, or that it is not known."""

    card: ModelCard
    state: str
    weight_bytes: int | None

    @property
    def size(self) -> str:
        known = self.weight_bytes
        if known is None:
            return UNKNOWN_SIZE
        return next(name for name, (_, low, high) in SIZES.items() if low <= known < high)

    @property
    def licence(self) -> str:
        return self.card.licence or NO_LICENCE

    @property
    def stage(self) -> str:
        """Its state, as visitors choose it."""
        return next(name for name, (_, states) in STATES.items() if self.state in states)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a visitor looks for; empty for anything. An unknown word of a filter finds nothing."""

    text: str = ""
    task: str = ""
    tier: str = ""
    size: str = ""
    licence: str = ""
    state: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Chosen:
        """What the address says."""
        names = ("task", "tier", "size", "licence", "state")
        return cls(query.get("q", "").strip(), *(query.get(name, "") for name in names))

    def __bool__(self) -> bool:
        return self != Chosen()

    def finds(self, entry: Entry) -> bool:
        """Whether this is one of them; each word of the text stands somewhere in its card."""
        card = entry.card
        return (
            (not self.task or card.task == self.task)
            and (not self.tier or card.tier == self.tier)
            and (not self.state or entry.stage == self.state)
            and (not self.licence or entry.licence == self.licence)
            and (not self.size or entry.size == self.size)
            and self._named(card)
        )

    def _named(self, card: ModelCard) -> bool:
        if not self.text:
            return True
        text = " ".join((card.id, *card.aliases, card.task, card.notes, card.source)).lower()
        return all(word in text for word in self.text.lower().split())


def choices(entries: Sequence[Entry], chosen: Chosen) -> list[dict[str, Any]]:
    """A filter each, with what there is of it in all entries, and what is chosen."""
    sizes = {name: words for name, (words, *_) in SIZES.items()} | {UNKNOWN_SIZE: "not measured"}
    stages = {name: words for name, (words, _) in STATES.items()}
    tiers = {name: f"{name}, {words}" for name, words in TIERS.items()}
    return [
        _filter("task", "Task", _there(each.card.task for each in entries), {}, chosen.task),
        _filter("state", "State", _there(each.stage for each in entries), stages, chosen.state),
        _filter("size", "Size", _there(each.size for each in entries), sizes, chosen.size),
        _filter("tier", "Tier", _there(each.card.tier for each in entries), tiers, chosen.tier),
        _filter("licence", "Licence", _there(each.licence for each in entries), {}, chosen.licence),
    ]


def _there(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def _filter(
    name: str, label: str, there: Mapping[str, int], words: Mapping[str, str], chosen: str
) -> dict[str, Any]:
    order = [word for word in words if word in there] or sorted(there)
    options = [(word, words.get(word, word), there[word], word == chosen) for word in order]
    return {"name": name, "label": label, "options": options}
