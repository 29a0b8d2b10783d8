"""The admin's page of switches: its rows, as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from inference.status import ModelStatus
from inference.switches import KINDS, took

SHOWN = 100
NONE = "–"


def tables(statuses: Sequence[ModelStatus]) -> dict[str, Any]:
    """What the template shows of these models: one row for each, and the last events of all."""
    switched = [status for status in statuses if status.switches]
    events = sorted((s for each in switched for s in each.switches), key=lambda s: -s.ended)
    return {
        "kinds": KINDS,
        "models": [(each.card.id, [_cell(each, kind) for kind in KINDS]) for each in switched],
        "events": [
            {
                "when": datetime.fromtimestamp(event.ended, UTC),
                "model": event.model,
                "kind": event.kind,
                "seconds": _seconds(event.seconds),
                "why": event.why,
            }
            for event in events[:SHOWN]
        ],
    }


def _cell(status: ModelStatus, kind: str) -> str:
    found = took(status.switches, kind)
    return " / ".join(map(_seconds, found)) if found else NONE


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
