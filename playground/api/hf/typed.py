"""Values of a body, held against the types of the Hub's dataclasses.

Types are strict, as on `/v1`: "5" is no number, and neither is true. What no type says, how large a
number may be, stands in `BOUNDS`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from playground.errors import BadValue

from .. import checks
from . import kinds

MAX_TEXT = 1_000_000
MAX_LABELS = 1000
MAX_LABEL = 1000
MAX_ITEMS = 10_000
MAX_NEW_TOKENS = 4096
# Least and most, by the name of a field.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "best_of": (1, 1),
    "crop_n_points_downscale_factor": (1, 8),
    "crop_overlap_ratio": (0, 0.9),
    "crops_n_layers": (0, 2),
    "doc_stride": (1, 4096),
    "frame_sampling_rate": (1, 1000),
    "max_answer_len": (1, 1000),
    "max_length": (1, MAX_NEW_TOKENS),
    "max_new_tokens": (1, MAX_NEW_TOKENS),
    "max_question_len": (1, 1000),
    "max_seq_len": (16, 8192),
    "min_length": (0, MAX_NEW_TOKENS),
    "min_new_tokens": (0, MAX_NEW_TOKENS),
    "num_beam_groups": (1, 1),
    "num_beams": (1, 16),
    "num_frames": (1, 256),
    "penalty_alpha": (0, 1),
    "points_per_batch": (1, 1024),
    "points_per_crop": (1, 64),
    "repetition_penalty": (0.01, 10),
    "seed": (0, checks.INT64 - 1),
    "stride": (1, 4096),
    "temperature": (0, 100),
    "threshold": (0, 1),
    "mask_threshold": (0, 1),
    "overlap_mask_area_threshold": (0, 1),
    "top_k": (1, 1000),
    "top_n_tokens": (0, 20),
    "top_p": (0, 1),
    "truncate": (1, 1_000_000),
    "typical_p": (0, 1),
    "epsilon_cutoff": (0, 1),
    "eta_cutoff": (0, 1),
}
INTEGERS = (0, 2**31 - 1)
NUMBERS = (-1e6, 1e6)


def parameters(task: str, given: Any) -> dict[str, Any]:
    """The checked parameters of a task; null means left out."""
    return _fields(kinds.parameters_of(task), given, "parameters")


def _fields(known: Mapping[str, tuple[Any, bool]], given: Any, param: str) -> dict[str, Any]:
    found = {}
    for name, value in checks.mapping(given, param, 100).items():
        path = f"{param}.{name[:100]}"
        if name not in known:
            message = f"Unknown parameter: '{path}'. Known are: {', '.join(sorted(known)) or '-'}."
            raise BadValue(message, path, "unknown_parameter")
        if value is not None:
            found[name] = typed(value, known[name][0], path)
    for name, (_, required) in known.items():
        if required and name not in found:
            checks.missing(f"{param}.{name}")
    return found


def typed(value: Any, annotation: Any, param: str) -> Any:
    """The value, if it is of this type; raises BadValue."""
    name = param.rpartition(".")[2].partition("[")[0]
    origin = typing.get_origin(annotation)
    if name == "word_boxes":
        # Its type says a list of words and boxes in turn; the world sends pairs.
        return checks.array(value, param, MAX_ITEMS, 1)
    if name in ("generate_parameters", "generation_parameters") and origin is not Union:
        return _fields(kinds.fields_of(kinds.GENERATION), value, param)
    if origin in (Union, types.UnionType):
        return _one_of(value, typing.get_args(annotation), param)
    if origin is Literal:
        return checks.one_of(value, param, typing.get_args(annotation))
    if origin is list:
        return _list(value, typing.get_args(annotation)[0], param, name)
    if origin is dict or annotation is dict:
        return checks.mapping(value, param, 1000)
    if dataclasses.is_dataclass(annotation):
        return _fields(kinds.fields_of(annotation.__name__), value, param)  # type: ignore[union-attr]
    return _plain(value, annotation, param, name)


def _one_of(value: Any, annotations: tuple[Any, ...], param: str) -> Any:
    """The first type that fits; where none does, what the first says."""
    wanted = [each for each in annotations if each is not type(None)]
    for each in wanted[1:]:
        try:
            return typed(value, each, param)
        except BadValue:
            continue
    return typed(value, wanted[0], param)


def _list(value: Any, inside: Any, param: str, name: str) -> list[Any]:
    few = name in ("candidate_labels", "targets", "ignore_labels", "stop")
    least = 1 if name == "candidate_labels" else 0
    found = checks.array(value, param, MAX_LABELS if few else MAX_ITEMS, least)
    if inside is str:
        return [
            checks.text(each, f"{param}[{i}]", MAX_LABEL, 1 if few else 0)
            for i, each in enumerate(found)
        ]
    return [typed(each, inside, f"{param}[{i}]") for i, each in enumerate(found)]


def _plain(value: Any, annotation: Any, param: str, name: str) -> Any:
    if annotation is bool:
        return checks.flag(value, param)
    if annotation is int:
        low, high = BOUNDS.get(name, INTEGERS)
        return checks.integer(value, param, int(low), int(high))
    if annotation is float:
        low, high = BOUNDS.get(name, NUMBERS)
        return checks.number(value, param, low, high)
    if annotation is str:
        return checks.text(value, param, MAX_TEXT)
    return value
