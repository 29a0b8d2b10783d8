"""Checks on values of a body: strict types, and messages in OpenAI's words with `param` and `code`.

DRF's own fields turn "5" and true into numbers; a clone of this API has to refuse them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NoReturn

from playground.errors import BadValue

INT64 = 2**63


def kind(value: Any) -> str:
    """A JSON type with its article."""
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names[type(value)]


def wrong_type(param: str, expected: str, value: Any) -> NoReturn:
    """Refuse a value of another JSON type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {kind(value)} instead."
    raise BadValue(message, param, "invalid_type")


def bad(param: str, reason: str, code: str = "invalid_value") -> NoReturn:
    """Refuse a value of the right type."""
    raise BadValue(f"Invalid '{param}': {reason}", param, code)


def missing(param: str) -> NoReturn:
    """Refuse a body that lacks what it cannot lack."""
    message = f"Missing required parameter: '{param}'."
    raise BadValue(message, param, "missing_required_parameter")


def flag(value: Any, param: str) -> bool:
    """true or false, and no number or word for it."""
    if not isinstance(value, bool):
        wrong_type(param, "a boolean", value)
    return value


def integer(value: Any, param: str, low: int = -INT64, high: int = INT64 - 1) -> int:
    """A whole number in a range; 5.0 counts, as it does in JSON Schema. What has more than 64 bits
    was read as a decimal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        wrong_type(param, "an integer", value)
    _within(value, param, low, high, "integer")
    return int(value)


def number(value: Any, param: str, low: float, high: float, above: float | None = None) -> float:
    """A number in a range; `above` is a lower bound that itself is not allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        wrong_type(param, "a decimal", value)
    _within(value, param, low, high, "decimal")
    if above is not None and value <= above:
        bad(param, f"expected a value > {above}, but got {value} instead.")
    return float(value)


def text(value: Any, param: str, longest: int | None = None, shortest: int = 0) -> str:
    """A string of bounded length."""
    if not isinstance(value, str):
        wrong_type(param, "a string", value)
    if len(value) < shortest:
        bad(param, "empty string. Expected a longer one.", "empty_string")
    if longest is not None and len(value) > longest:
        reason = f"string too long. Expected a string with maximum length {longest}, "
        bad(param, f"{reason}but got a string with length {len(value)} instead.", "string_too_long")
    return value


def one_of(value: Any, param: str, allowed: Collection[str]) -> str:
    """A word of a list."""
    found = text(value, param)
    if found not in allowed:
        words = ", ".join(f"'{each}'" for each in allowed)
        reason = f"Invalid value: '{found[:100]}'. Supported values are: {words}."
        raise BadValue(reason, param, "invalid_value")
    return found


def array(value: Any, param: str, longest: int, shortest: int = 0) -> list[Any]:
    """An array of bounded length; the length is looked at before the items are."""
    if not isinstance(value, list):
        wrong_type(param, "an array", value)
    size = f"but got an array with length {len(value)} instead."
    if len(value) > longest:
        reason = f"array too long. Expected an array with maximum length {longest}, {size}"
        bad(param, reason, "array_above_max_length")
    if len(value) < shortest:
        reason = f"array too short. Expected an array with minimum length {shortest}, {size}"
        bad(param, reason, "empty_array" if not value else "array_below_min_length")
    return value


def mapping(value: Any, param: str, longest: int | None = None) -> dict[str, Any]:
    """An object with a bounded number of keys."""
    if not isinstance(value, dict):
        wrong_type(param, "an object", value)
    if longest is not None and len(value) > longest:
        reason = f"too many properties. Expected at most {longest}, but got {len(value)} instead."
        bad(param, reason, "object_above_max_properties")
    return value


def _within(value: float, param: str, low: float, high: float, what: str) -> None:
    if value < low:
        reason = f"{what} below minimum value. Expected a value >= {low}, but got {_brief(value)}"
        bad(param, f"{reason} instead.", f"{what}_below_min_value")
    if value > high:
        reason = f"{what} above maximum value. Expected a value <= {high}, but got {_brief(value)}"
        bad(param, f"{reason} instead.", f"{what}_above_max_value")


def _brief(value: float) -> str:
    shown = str(value)
    return shown if len(shown) <= 24 else f"{shown[:20]}…"
