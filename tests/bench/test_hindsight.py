"""What the best policy of each cell would reach, worked out by hand on two cells."""

from __future__ import annotations

from bench.scheduling.cells import NO_SWITCH, OURS, PEERS
from bench.scheduling.hindsight import report
from bench.scheduling.metrics import Figures
from bench.scheduling.workload import Cell

ONE, TWO = Cell("campus", 1, 3.0, 0), Cell("campus", 2, 3.0, 0)


def row(wait: float, response: float, jain: float) -> Figures:
    return {"wait_p99": wait, "wait_max": wait, "response_max": response, "jain": jain}


def lines(**policies: tuple[Figures, Figures]) -> dict[str, list[str]]:
    """The columns of each line of the table; who is not named has long waits and is unfair."""
    plain = row(100, 100, 0.5)
    names = {name.replace("-", "_"): name for name in (OURS, *PEERS, NO_SWITCH)}
    rows: dict[Cell, dict[str, Figures]] = {ONE: {}, TWO: {}}
    for key, name in names.items():
        rows[ONE][name], rows[TWO][name] = policies.get(key, (plain, plain))
    cut = [line.strip("| ").split(" | ") for line in report(rows).splitlines()]
    return {name: found for name, *found in cut}


def test_the_best_is_chosen_for_each_cell_and_figure() -> None:
    found = lines(
        ours=(row(25, 100, 0.75), row(100, 120, 0.5)), vtc=(row(100, 50, 0.5), row(25, 100, 0.75))
    )
    assert found["ours"] == ["0.5", "0.5", "2", "0.625"]
    assert found["vtc"] == ["0.5", "0.5", "0", "0.625"]
    # Waits of a quarter, in one cell ours and in the other the peer's.
    assert found["the best of each cell"] == ["0.25", "0.25", "–", "0.75"]


def test_waits_are_compared_with_the_best_server_of_each_cell() -> None:
    found = lines(fifo=(row(50, 100, 0.5), row(200, 100, 0.5)), ours=(row(50, 100, 0.5),) * 2)
    # 50 of 50, and 50 of 100.
    assert found["ours"][0] == "0.707"


def test_it_tells_what_those_who_are_fairer_wait_for_it() -> None:
    dearer = lines(vtc=(row(300, 100, 0.9),) * 2, ours=(row(50, 100, 0.8),) * 2)
    assert dearer["campus/1/3"] == ["vtc", "0.8", "0.9", "0.5", "50", "300"]
    assert any(
        name.startswith("A peer has a higher Jain index than ours in 2 of 2 cells")
        and "a lower p99 wait besides in 0. In 2 of the 2 it has a higher one than a machine"
        in name
        for name in dearer
    )
    better = lines(vtc=(row(30, 100, 0.9), row(60, 100, 0.9)), ours=(row(50, 100, 0.8),) * 2)
    assert any("besides in 1: campus/1/3. " in name for name in better)


def test_it_tells_where_nobody_could_be_so_much_fairer() -> None:
    found = lines(vtc=(row(100, 100, 0.95), row(100, 100, 0.85)))
    assert any(name.startswith("In 1 of 2 runs the best peer") for name in found)
    assert any("In 2 runs ours is neither 0.95 nor 0.1 above" in name for name in found)
    ideal = lines(no_switch=(row(1, 1, 0.96), row(1, 1, 0.55)))
    assert any("in 1 of them that of a machine" in name for name in ideal)
