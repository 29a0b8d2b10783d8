"""Cards as TOML, as `catalogue.toml` has them. Python reads TOML and does not write it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from inference.catalogue import CARD_FIELDS, CardError, ModelCard

BARE = re.compile(r"[A-Za-z0-9_-]+")
# What JSON leaves as it is in a string and TOML does not.
DELETE = "\x7f"


def to_toml(cards: Iterable[ModelCard]) -> str:
    """One `[[model]]` table for each; what has its default value is left out.

    Raises CardError for an engine argument that TOML has no word for.
    """
    return "\n".join(map(_table, cards))


def _table(card: ModelCard) -> str:
    lines = ["[[model]]"]
    for field in fields(card):
        value = getattr(card, field.name)
        if field.name not in CARD_FIELDS or value == _default(field):
            continue
        try:
            lines.append(f"{field.name} = {_value(value)}")
        except TypeError as error:
            raise CardError(field.name, f"{card.id}: {error}") from error
    return "\n".join(lines) + "\n"


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(DELETE, "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(name))} = {_value(each)}" for name, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"TOML has no word for {value!r}.")


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _value(name)
