"""Families of figures as text, in the two formats that Prometheus reads.

The library's own encoders check names and labels of every line anew, which takes 13 µs a line:
40 ms of CPU for a hundred models, every time that somebody looks. All names here are ours; nothing
but values of labels can hold what has to be escaped. A test holds the result against the library's,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

OPENMETRICS = "application/openmetrics-text"


def content_type(accept: str) -> str:
    """The type of answer that fits best what a client says that it reads."""
    _, found = choose_encoder(accept)
    return found


def encode(figures: Collector, kind: str) -> bytes:
    """All families of a collector, in the format of a content type."""
    openmetrics = kind.startswith(OPENMETRICS)
    text = "".join([_head(each, openmetrics) + _body(each) for each in figures.collect()])
    return (f"{text}# EOF\n" if openmetrics else text).encode()


Piece = tuple[tuple[Sample, ...], str]


class Family(Metric):
    """A family put together of pieces that have been written already; `like` says of what kind."""

    def __init__(self, like: Metric) -> None:
        super().__init__(like.name, like.documentation, like.type)
        self.texts: list[str] = []

    def add(self, samples: Iterable[Sample], text: str) -> None:
        """One more of them, and what `lines` makes of it."""
        self.samples += samples
        self.texts.append(text)


def lines(samples: Iterable[Sample]) -> str:
    """A line each."""
    return "".join([_line(each) for each in samples])


def _head(family: Metric, openmetrics: bool) -> str:
    counts = family.type == "counter" and not openmetrics
    name = f"{family.name}_total" if counts else family.name
    return f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"


def _body(family: Metric) -> str:
    return "".join(family.texts) if isinstance(family, Family) else lines(family.samples)


def _line(sample: Sample) -> str:
    labels = ",".join([f'{k}="{_escaped(v)}"' for k, v in sorted(sample.labels.items())])
    shown = f"{sample.name}{{{labels}}}" if labels else sample.name
    return f"{shown} {floatToGoString(sample.value)}\n"


@lru_cache(maxsize=16_384)
def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
