"""Percentiles, medians over rounds, and the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]
# What a figure, or a ratio of two, should be: "≤" or "≥", and how much.
Goal = tuple[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest value at or above `percent` of all; 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Figure by figure, the median over the rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def table(
    rows: Mapping[str, str],
    columns: Mapping[str, Figures],
    ratio: tuple[str, str],
    goals: Mapping[str, Goal] | None = None,
) -> str:
    """A Markdown table of `rows` (figure → title), with the ratio of two columns where both are.

    `goals` are those of the ratios.
    """
    ours, theirs = ratio
    both = ours in columns and theirs in columns
    heads = ["", *columns, *([f"{ours} / {theirs}"] if both else [])]
    heads += ["goal"] if both and goals else []
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, title in rows.items():
        cells = [title, *(_number(each.get(name)) for each in columns.values())]
        if both:
            found = _quotient(columns[ours].get(name), columns[theirs].get(name))
            cells.append("–" if found is None else f"{found:.2f}")
            cells += [verdict(found, goals.get(name))] if goals else []
        lines.append(cells)
    width = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(_line(line, width) for line in lines)


def _line(cells: Sequence[str], width: Sequence[int]) -> str:
    first, *rest = zip(cells, width, strict=True)
    return " ".join(["|", first[0].ljust(first[1]), *(f"| {c.rjust(w)}" for c, w in rest), "|"])


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _quotient(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def verdict(found: float | None, goal: Goal | None) -> str:
    """The goal, and whether it is reached."""
    if goal is None or found is None:
        return ""
    sign, bound = goal
    reached = found <= bound if sign == "≤" else found >= bound
    return f"{sign} {bound:g} {'reached' if reached else 'missed'}"
