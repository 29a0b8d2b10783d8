"""What the API refuses and how, from the very table that it answers by."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from playground.errors import TABLE, UNEXPECTED

# What to do about it. The same for all codes of a status.
ADVICE = {
    400: "Mend the request; asked again it fails again. The error’s param names the field.",
    401: "Send a key that is good: Authorization: Bearer sk-llms-…",
    403: "Ask the staff of this server.",
    404: "Look the name up: GET /v1/models lists what your key opens.",
    405: "Use the method that the API’s description gives.",
    413: "Send less.",
    429: "Ask again after Retry-After seconds, or fewer at a time.",
    500: "Ask again; if it stays, tell the staff the x-request-id of the answer.",
    503: "Ask again after Retry-After seconds. OpenAI’s clients do so by themselves.",
    504: "Ask again, later.",
    507: "Tell the staff.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One `code`, and what it means."""

    code: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Status:
    """An HTTP status, what to do about it, and all that it may mean."""

    code: int
    phrase: str
    advice: str
    refusals: tuple[Refusal, ...]


def statuses() -> list[Status]:
    """The whole table, by status."""
    found: dict[int, dict[tuple[str, str], list[str]]] = {}
    for status, code, kind, meaning in _rows():
        meanings = found.setdefault(status, {}).setdefault((code, kind), [])
        if meaning not in meanings:
            meanings.append(meaning)
    return [
        Status(
            status,
            HTTPStatus(status).phrase,
            ADVICE[status],
            tuple(Refusal(code, kind, " ".join(said)) for (code, kind), said in codes.items()),
        )
        for status, codes in sorted(found.items())
    ]


def _rows() -> Iterator[tuple[int, str, str, str]]:
    """What each exception means is the first sentence that its class says of itself.

    Those that only stand for others in case somebody forgets one say nothing to a caller.
    """
    for kind, row in TABLE.items():
        is_base = any(other is not kind and issubclass(other, kind) for other in TABLE)
        ours = kind.__module__.startswith(("inference", "playground"))
        if row.code and ours and not (is_base and row.code in _codes_below(kind)):
            yield row.status, row.code, row.type, _first_sentence(kind)
    yield UNEXPECTED.status, UNEXPECTED.code or "", UNEXPECTED.type, "Something broke here."


def _codes_below(kind: type[BaseException]) -> set[str | None]:
    return {
        row.code for other, row in TABLE.items() if other is not kind and issubclass(other, kind)
    }


def _first_sentence(kind: type[BaseException]) -> str:
    words = " ".join((inspect.getdoc(kind) or "").split())
    sentence, dot, _ = words.partition(". ")
    return sentence + dot.strip() if dot else sentence
