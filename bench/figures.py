"""Percentiles, medians over rounds, and the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest value at or above `percent` of all; 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Figure by figure, the median over the rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def table(rows: Mapping[str, str], columns: Mapping[str, Figures], ratio: tuple[str, str]) -> str:
    """A Markdown table of `rows` (figure → title), with the ratio of two columns where both are."""
    ours, theirs = ratio
    both = ours in columns and theirs in columns
    heads = ["", *columns, *([f"{ours} / {theirs}"] if both else [])]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, title in rows.items():
        cells = [title, *(_number(each.get(name)) for each in columns.values())]
        if both:
            cells.append(_ratio(columns[ours].get(name), columns[theirs].get(name)))
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


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if ours is not None and theirs else "–"
