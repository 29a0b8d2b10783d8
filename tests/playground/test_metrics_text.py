"""What Prometheus reads is what its own library would write, byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from inference import Overview
from inference.status import Coming, Resident
from inference.switches import SwitchTotal
from playground.metrics.counts import Counts
from playground.metrics.figures import Figures, Snapshot
from playground.metrics.text import content_type, encode

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SECONDS = st.floats(min_value=0, max_value=1e12)
COUNTS = st.integers(0, 10**12)
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


class Fixed(Collector):
    """Families that are there already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """All of them."""
        return self._families


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    """Some models of any name, that did anything."""
    models = draw(st.sets(NAMES, max_size=4))
    counts = Counts()
    for model in models:
        row = {
            "model": model,
            "outcome": draw(st.sampled_from(["finished", "cancelled"])),
            "prompt_tokens": draw(COUNTS),
            "completion_tokens": draw(COUNTS),
            "cached_tokens": draw(COUNTS),
            "device_seconds": draw(SECONDS),
            "queue_seconds": draw(SECONDS),
        }
        counts.add(row, draw(SECONDS))
    residents = tuple(
        Resident(each, "ready", "", "A", ("cpu",), draw(COUNTS), 1, 2, None, None)
        for each in models
    )
    totals = tuple(SwitchTotal(each, "load", True, 3, draw(SECONDS)) for each in models)
    coming = tuple(Coming(each, draw(COUNTS), None) for each in models)
    overview = Overview((), residents, coming, (), (), totals)
    answers = ((200, draw(COUNTS)), (503, 1))
    return Figures(
        Snapshot(overview, draw(st.booleans()), frozenset(models), answers, 0, 9), counts
    )


@given(figures())
def test_both_formats_are_the_librarys(made: Figures) -> None:
    # The process's own figures change from one look to the next.
    without = [each for each in made.collect() if not each.name.startswith("process_")]
    for kind, library in (
        (PLAIN, exposition.generate_latest),
        (openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest),
    ):
        assert encode(Fixed(without), kind) == library(Fixed(without))


def test_what_is_kept_from_the_last_look_is_what_holds_now() -> None:
    counts = Counts()
    row = {"model": "a", "outcome": "finished", "prompt_tokens": 1, "completion_tokens": 2}
    row |= {"cached_tokens": 0, "device_seconds": 0.5, "queue_seconds": 0.5}
    models = frozenset({"a", "b"})

    def told() -> bytes:
        overview = Overview((), (), (), ())
        return encode(Figures(Snapshot(overview, True, models, (), 0, 9), counts), PLAIN)

    for count in (1, 2):
        counts.add(row, None)
        counts.add({**row, "model": "b", "outcome": "failed"}, 0.2)
        for _ in range(2):
            text = told().decode()
            assert f'llms_requests_total{{model="a",outcome="finished"}} {count}.0' in text
            assert f'llms_requests_total{{model="b",outcome="failed"}} {count}.0' in text
            assert f'llms_tokens_total{{model="a",of="completion"}} {2 * count}.0' in text
            assert f'llms_time_to_first_token_seconds_count{{model="b"}} {count}.0' in text
    models = frozenset({"b"})
    assert b'model="a"' not in told()


def test_whoever_asks_gets_what_it_reads() -> None:
    prometheus = (
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
    )
    assert content_type(prometheus).startswith("application/openmetrics-text; version=1.0.0")
    assert content_type("*/*").startswith("text/plain; version=")
