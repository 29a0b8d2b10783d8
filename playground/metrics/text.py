"""Families of figures as text, in the two formats that Prometheus reads.

The library's own encoders check names and labels of every line anew, which takes 13 µs a line:
40 ms of CPU for a hundred models, every time that somebody looks. All names here are ours; nothing
but values of labels can hold what has to be escaped. A test holds the result against the library's,
byte for byte.
"""

from __future__ import annotations

from functools import lru_cache

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

OPENMETRICS = "application/openmetrics-text"


def content_type(accept: str) -> str:
    """The type of answer that fits best what a client says that it reads."""
    _, found = choose_encoder(accept)
    return found


def encode(figures: Collector, kind: str) -> bytes:
    """All families of a collector, in the format of a content type."""
    openmetrics = kind.startswith(OPENMETRICS)
    lines = [line for family in figures.collect() for line in _lines(family, openmetrics)]
    return "".join([*lines, "# EOF\n"] if openmetrics else lines).encode()


def _lines(family: Metric, openmetrics: bool) -> list[str]:
    counts = family.type == "counter" and not openmetrics
    name = f"{family.name}_total" if counts else family.name
    lines = [f"# HELP {name} {family.documentation}\n# TYPE {name} {family.type}\n"]
    for sample in family.samples:
        labels = ",".join([f'{k}="{_escaped(v)}"' for k, v in sorted(sample.labels.items())])
        shown = f"{sample.name}{{{labels}}}" if labels else sample.name
        lines.append(f"{shown} {floatToGoString(sample.value)}\n")
    return lines


@lru_cache(maxsize=16_384)
def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
