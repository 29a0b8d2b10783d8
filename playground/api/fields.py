"""DRF fields over `checks`: one JSON type each; `null` means left out, as it does at OpenAI."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from rest_framework import serializers

from . import checks


class StrictField(serializers.Field):
    """A field of a request body. `check(value, param)` returns the value or raises BadValue."""

    def __init__(self, check: Callable[..., Any], **bounds: Any) -> None:
        super().__init__(required=False, allow_null=True)
        self.check = check
        self.bounds = bounds

    def to_internal_value(self, data: Any) -> Any:
        return self.check(data, self.field_name, **self.bounds)

    def to_representation(self, value: Any) -> Any:
        return value


class Flag(StrictField):
    """true or false."""

    def __init__(self) -> None:
        super().__init__(checks.flag)


class Integer(StrictField):
    """A whole number in a range."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(checks.integer, low=low, high=high)


class Number(StrictField):
    """A number in a range."""

    def __init__(self, low: float, high: float, above: float | None = None) -> None:
        super().__init__(checks.number, low=low, high=high, above=above)


class Text(StrictField):
    """A string of bounded length."""

    def __init__(self, longest: int | None = None) -> None:
        super().__init__(checks.text, longest=longest)


class Choice(StrictField):
    """A word of a list."""

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__(checks.one_of, allowed=allowed)


class Anything(StrictField):
    """A field that is accepted, has no effect and is named in `x-llms-ignored`."""

    def __init__(self) -> None:
        super().__init__(lambda value, param: value)
