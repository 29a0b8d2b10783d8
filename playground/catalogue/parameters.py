"""What a model's parameters do, as its page tells it: a row each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference import ModelStatus
from playground.api.parameters import described_parameters

KINDS: Mapping[str, str] = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "object": "object",
    "string": "text",
}
# Bounds that are only those of a computer's numbers say nothing to people.
HUGE = 2**31 - 1
# The one that every route has, and of which the page's own heading tells.
ITSELF = "model"


@dataclass(frozen=True, slots=True)
class Row:
    """`words` say what it does, every other piece of them code; `values` is what it may be,
    `default` what holds where it is left out."""

    name: str
    words: tuple[str, ...]
    values: str
    default: str
    routes: str


def rows(status: ModelStatus) -> list[Row]:
    """One for each parameter of the model."""
    return [
        Row(
            name,
            tuple(each["description"].split("`")),
            values_words(each),
            default_words(each),
            ", ".join(each["routes"]),
        )
        for name, each in described_parameters(status).items()
        if name != ITSELF
    ]


def values_words(schema: Mapping[str, Any]) -> str:
    """What a value may be: `number, 0 to 2`."""
    if "enum" in schema:
        return ", ".join(str(each) for each in schema["enum"])
    said = schema.get("type", [])
    kinds = [KINDS[each] for each in (said if isinstance(said, list) else [said]) if each in KINDS]
    words = " or ".join(kinds) or "anything"
    bounds = _bounds(schema)
    return f"{words}, {bounds}" if bounds else words


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "maxItems" in schema and high is None:
        return f"at most {schema['maxItems']:,}"
    above = schema.get("exclusiveMinimum")
    least = "" if low is None or low <= -HUGE else _figure(low)
    most = "" if high is None or high >= HUGE else _figure(high)
    if above is not None:
        return f"above {above:g}" + (f", at most {most}" if most else "")
    if least and most:
        return f"{least} to {most}"
    return f"{least} or more" if least else f"at most {most}" if most else ""


def _figure(value: float) -> str:
    return f"{value:g}" if value % 1 else f"{value:,.0f}"


def default_words(schema: Mapping[str, Any]) -> str:
    """What holds where it is left out; empty where the description says so, or the model."""
    if schema.get("required"):
        return "must be given"
    default = schema.get("default")
    if default is None:
        return ""
    if isinstance(default, float):
        return f"{default:g}"
    return default if isinstance(default, str) else json.dumps(default)
