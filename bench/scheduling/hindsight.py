"""What could be had from the policies that there are, if one knew afterwards which was best where.

For each cell and figure the best of all policies is chosen, ours among them, once the cell is over.
No policy does that, so this is a line beyond which only something new can go.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.scheduling.__main__ import cells
from bench.scheduling.cells import NO_SWITCH, OURS, PEERS, POLICIES, Setup
from bench.scheduling.peers_servers import SERVERS
from bench.scheduling.store import Rows, Store, rows_of
from bench.scheduling.summary import FAIR, FAIRER, MOST_LONGER, Summary, by_place, fair
from bench.scheduling.tables import geometric, number, publish, table
from bench.scheduling.workload import Cell


def report(rows: Rows) -> str:
    """A Markdown table: what each policy reaches, and the best of each cell."""
    head = [
        "policy",
        "p99 wait / best of the servers",
        "longest wait / best of the servers",
        f"runs whose longest response is above {MOST_LONGER:g} of the best of the other peers",
        "Jain",
    ]
    summary = Summary(rows)
    everybody = [OURS, *PEERS]
    lines = [_line(summary, name, [name]) for name in everybody]
    lines.append(_line(summary, "the best of each cell", everybody))
    lines.append(_line(summary, NO_SWITCH, [NO_SWITCH]))
    return f"{table(head, lines)}\n\n{_scale(summary.rows)}\n\n{_fairer(summary.rows)}"


def _line(summary: Summary, title: str, names: Sequence[str]) -> list[str]:
    rows = summary.rows
    waits = [
        number(
            geometric([_least(rows, cell, names, figure) for cell in summary.contested])
            / geometric([_least(rows, cell, list(SERVERS), figure) for cell in summary.contested])
        )
        for figure in ("wait_p99", "wait_max")
    ]
    # Of the best of each cell that would say nothing.
    above = number(_above(rows, names[0])) if len(names) == 1 else "–"
    jain = statistics.fmean(max(row[name]["jain"] for name in names) for row in rows.values())
    return [title, *waits, above, number(jain)]


def _above(rows: Rows, name: str) -> int:
    others = [peer for peer in PEERS if peer != name]
    return sum(
        row[name]["response_max"] > MOST_LONGER * _least(rows, cell, others, "response_max")
        for cell, row in rows.items()
    )


def _least(rows: Rows, cell: Cell, names: Iterable[str], figure: str) -> float:
    return min(rows[cell][name][figure] for name in names)


def _scale(rows: Rows) -> str:
    """How often nobody could be so much fairer than the best peer."""
    best = [max(row[name]["jain"] for name in PEERS) for row in rows.values()]
    full = sum(value + FAIRER > 1 for value in best)
    missed = [cell for cell, row in rows.items() if not fair(row, OURS)]
    nobody = sum(not fair(rows[cell], NO_SWITCH) for cell in missed)
    return (
        f"In {full} of {len(best)} runs the best peer's Jain index is above {1 - FAIRER:g}, so "
        f"that none can be {FAIRER:g} higher. In {len(missed)} runs ours is neither {FAIR:g} nor "
        f"{FAIRER:g} above the best peer's, and in {nobody} of them that of a machine which never "
        "switches, where nobody waits for a model, is not either."
    )


def _fairer(rows: Rows) -> str:
    """Where a peer has a higher Jain index than ours, and what its users wait for it."""
    places = by_place(rows)
    lines, both, beyond = [], set(), 0
    for place, same in places.items():

        def mean(name: str, figure: str, same: list[Cell] = same) -> float:
            return statistics.fmean(rows[cell][name][figure] for cell in same)

        fairer = [peer for peer in PEERS if mean(peer, "jain") > mean(OURS, "jain")]
        if not fairer:
            continue
        if any(mean(peer, "wait_p99") < mean(OURS, "wait_p99") for peer in fairer):
            both.add(place)
        best = max(fairer, key=lambda peer: mean(peer, "jain"))
        jains = [mean(name, "jain") for name in (OURS, best, NO_SWITCH)]
        waits = [mean(name, "wait_p99") for name in (OURS, best)]
        lines.append([place, best, *map(number, [*jains, *waits])])
        beyond += jains[2] < jains[1]
    head = ["cell", "fairest peer", "our Jain", "its Jain", "Jain if nothing is ever switched"]
    head += ["our p99 wait, s", "its p99 wait, s"]
    said = (
        f"A peer has a higher Jain index than ours in {len(lines)} of {len(places)} cells (means "
        f"over seeds), and a lower p99 wait besides in {len(both)}"
    )
    named = ": " + ", ".join(sorted(both)) if both else ""
    ideal = (
        f"In {beyond} of the {len(lines)} it has a higher one than a machine that never switches: "
        "what the index counts there are the loads that each user would have had alone."
    )
    return f"{said}{named}. {ideal}\n\n{table(head, lines)}"


def main() -> None:
    """Read what a bench has found, write the table."""
    parser = argparse.ArgumentParser("python -m bench.scheduling.hindsight", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="what bench.scheduling keeps")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    rows = rows_of(cells("*/*/*", options.seeds), POLICIES, Setup(), Store(options.out))
    text = report(rows)
    publish(text, options.report)


if __name__ == "__main__":
    main()
