"""The admin's page of switches: its rows, as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from inference.switches import KINDS, Switch, took

SHOWN = 100
NONE = "–"


def tables(switches: Sequence[Switch]) -> dict[str, Any]:
    """What the template shows of them: one row for each model, and the last events of all."""
    own: dict[str, list[Switch]] = {}
    for switch in switches:
        own.setdefault(switch.model, []).append(switch)
    events = switches[::-1]
    return {
        "kinds": KINDS,
        "models": [(name, [_cell(each, kind) for kind in KINDS]) for name, each in own.items()],
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


def _cell(switches: Sequence[Switch], kind: str) -> str:
    found = took(switches, kind)
    return " / ".join(map(_seconds, found)) if found else NONE


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
