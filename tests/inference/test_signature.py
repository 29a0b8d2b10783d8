"""Type hints of `run` become the types of an API, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Optional

import numpy
import pytest
from PIL import Image

from inference.engines.custom.hints import signature_of
from inference.errors import InvalidRequest, LoadFailed
from inference.requests import Media
from inference.signature import Signature, is_plain


def classify(
    model: object,
    text: str,
    top_k: int = 3,
    scale: float = 1.0,
    mode: Literal["fast", "good"] = "fast",
    labels: Optional[list[str]] = None,  # noqa: UP045  (both ways to write it are read)
) -> dict[str, float]:
    return {}


def picture(
    model: object, image: Image.Image, sound: numpy.ndarray, raw: bytes | None = None
) -> Any:
    return None


def chat(model: object, messages: list[dict[str, Any]], temperature: float = 1.0) -> Iterator[str]:
    yield ""


def signature(run: Callable[..., Any]) -> Signature:
    return Signature.of(signature_of(run))


def test_hints_are_read() -> None:
    found = signature(classify)
    assert [each.name for each in found.parameters] == ["text", "top_k", "scale", "mode", "labels"]
    assert [each.required for each in found.parameters] == [True, False, False, False, False]
    assert found.parameters[3].schema == {"enum": ["fast", "good"], "default": "fast"}
    assert found.output == {"type": "object", "additionalProperties": {"type": "number"}}
    assert found.takes == "" and signature(chat).takes == "messages"
    assert signature(lambda model, anything: None).parameters[0].schema == {}
    assert Signature.of(found.as_dict()) == found


def test_inputs_become_arguments() -> None:
    found = signature(classify)
    assert found.arguments("hi", {"top_k": 2.0, "scale": 1}) == {
        "text": "hi",
        "top_k": 2,
        "scale": 1.0,
    }
    assert found.arguments({"text": "hi", "labels": None}, {}) == {"text": "hi", "labels": None}
    media = signature(picture)
    given = media.arguments("iVBO", {"sound": Media(b"RIFF", "audio/wav")})
    assert given["image"] == Media(b"\x89PN\x0e"[:3], "image/*")
    assert given["sound"].data == b"RIFF"


@pytest.mark.parametrize(
    ("inputs", "parameters", "param"),
    [
        (5, {}, "inputs"),
        (None, {}, "inputs"),
        ({"text": 5}, {}, "inputs.text"),
        ("hi", {"top_k": "3"}, "parameters.top_k"),
        ("hi", {"top_k": True}, "parameters.top_k"),
        ("hi", {"top_k": 2.5}, "parameters.top_k"),
        ("hi", {"scale": "1"}, "parameters.scale"),
        ("hi", {"mode": "slow"}, "parameters.mode"),
        ("hi", {"labels": ["a", 1]}, "parameters.labels"),
        ("hi", {"colour": 1}, "parameters.colour"),
        ("hi", {"text": "ho"}, "parameters.text"),
        ({"top_k": 1}, {}, "inputs"),
    ],
)
def test_what_does_not_fit_is_named(inputs: Any, parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        signature(classify).arguments(inputs, parameters)
    assert refused.value.param == param


async def later(model: object, text: str) -> str:
    return text


def odd(model: object, text: complex) -> str:
    return ""


def many(model: object, *texts: str) -> str:
    return ""


def numbers(model: object, text: str) -> Iterator[int]:
    yield 1


def alone() -> str:
    return ""


@pytest.mark.parametrize(
    ("run", "said"),
    [(later, "async"), (odd, "`text`"), (many, "\\*texts"), (numbers, "strings"), (alone, "model")],
)
def test_what_cannot_be_offered_is_refused_in_words(run: Callable[..., Any], said: str) -> None:
    with pytest.raises(LoadFailed, match=said):
        signature_of(run)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"parameters": [{"name": "a", "schema": {"type": "file"}}]},
        {"parameters": [{"name": "a", "schema": {"items": 5}}]},
        {"parameters": [{"name": "a" * 100_000, "schema": {}}]},
        {"takes": "everything"},
        {"evil": 1},
    ],
)
def test_what_a_jail_says_is_not_believed(value: Any) -> None:
    with pytest.raises(ValueError):
        Signature.of(value)


def test_only_what_json_has_is_plain() -> None:
    assert is_plain({"a": [1, 1.5, None, "x", Media(b"", "image/png")]})
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    for bad in (float("nan"), b"", {1: 2}, object(), deep):
        assert not is_plain(bad)
