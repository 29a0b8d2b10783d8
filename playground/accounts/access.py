"""Who asks, what they may use and how much of it: frozen, made by the directory, read by all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

ALL: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much somebody may use; None: no limit.

    A minute and a day are the last 60 seconds and the last 24 hours.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    device_seconds_per_day: int | None = None
    concurrent_requests: int | None = None
    queue_places: int | None = None

    def over(self, others: Limits) -> Limits:
        """These limits, and those of `others` where there are none here."""
        found: dict[str, Any] = {}
        for field in fields(self):
            own = getattr(self, field.name)
            found[field.name] = getattr(others, field.name) if own is None else own
        return Limits(**found)


FREE = Limits()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a group lets its members do.

    `models` are the ids that they may use (none: all), `each` the limits of every member,
    `together` those of all of them. `weight` is their share of busy devices, beside others' 1.
    """

    group_id: int | None = None
    name: str = ""
    weight: float = 1.0
    models: frozenset[str] = ALL
    each: Limits = FREE
    together: Limits = FREE

    def allows(self, model: str) -> bool:
        """Whether members may use a model."""
        return not self.models or model in self.models


UNBOUND = Terms()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks. `terms` are those of its groups, the heaviest first; `models` is the key's
    scope (none: all), `own` the limits that staff gave to this very person; `staff` are those who
    may use the admin.
    """

    account: str
    user_id: int | None = None
    key_id: int | None = None
    models: frozenset[str] = ALL
    terms: tuple[Terms, ...] = (UNBOUND,)
    own: Limits = FREE
    expires: datetime | None = None
    staff: bool = False

    def terms_for(self, model: str) -> Terms | None:
        """Under which group's terms this model is used: of those that allow it, the heaviest.

        None: it may not be used.
        """
        if self.models and model not in self.models:
            return None
        for each in self.terms:
            if each.allows(model):
                return each
        return None

    def weight_for(self, model: str) -> float:
        """The share of busy devices with which it is asked."""
        terms = self.terms_for(model)
        return terms.weight if terms else 1.0

    def queue_places(self, model: str) -> int | None:
        """How many requests may wait for it at a time; None: as many as anybody's."""
        terms = self.terms_for(model)
        return self.limits_under(terms).queue_places if terms else None

    def limits_under(self, terms: Terms) -> Limits:
        """This caller's own limits. A class key stands for all members: it has none of its own."""
        if self.user_id is None and self.key_id is not None:
            return FREE
        return terms.each if self.own is FREE else self.own.over(terms.each)
