"""Constraints on the answer's form: OpenAI's `response_format`, vLLM's `structured_outputs`, and
the JSON schemas in both, checked before any engine compiles them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inference.errors import UnsupportedParameter

from .. import checks

MAX_SCHEMA_DEPTH = 64
MAX_SCHEMA_NODES = 20_000
MAX_ENUM_VALUES = 1000
MAX_PATTERN = 1000
MAX_GRAMMAR = 50_000
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def response_format(value: Any, param: str) -> dict[str, Any] | None:
    """text, json_object or json_schema, as `SamplingParams.structured` wants it."""
    found = checks.mapping(value, param)
    if "type" not in found:
        checks.missing(f"{param}.type")
    wanted = checks.one_of(found["type"], f"{param}.type", ("text", "json_object", "json_schema"))
    if wanted == "text":
        return None
    return {"json_object": True} if wanted == "json_object" else _json_schema(found, param)


def _json_schema(found: Mapping[str, Any], param: str) -> dict[str, Any]:
    param = f"{param}.json_schema"
    if "json_schema" not in found:
        checks.missing(param)
    wrapped = checks.mapping(found["json_schema"], param)
    if "name" not in wrapped:
        checks.missing(f"{param}.name")
    tool_name(wrapped["name"], f"{param}.name")
    if wrapped.get("strict") is not None:
        checks.flag(wrapped["strict"], f"{param}.strict")
    if wrapped.get("schema") is None:
        return {"json_object": True}
    return {"json": schema(wrapped["schema"], f"{param}.schema")}


def structured_outputs(value: Any, param: str) -> dict[str, Any] | None:
    """vLLM's extra: exactly one kind of constraint."""
    given = {k: v for k, v in checks.mapping(value, param, 16).items() if v not in (None, False)}
    for name in given.keys() - KINDS.keys():
        shown = f"{param}.{name[:100]}"
        raise UnsupportedParameter(f"'{shown}' is not supported by this server.", shown)
    if len(given) != 1:
        checks.bad(param, f"expected exactly one of {', '.join(KINDS)}.")
    kind, constraint = next(iter(given.items()))
    return {kind: KINDS[kind](constraint, f"{param}.{kind}")}


@dataclass(slots=True)
class Parts:
    """How many parts the schemas of one request have together, so far."""

    count: int = 0


def tool_name(value: Any, param: str) -> str:
    """A name of a function or a schema."""
    found = checks.text(value, param, 64, 1)
    if not NAME.fullmatch(found):
        reason = "string does not match pattern. Expected '^[a-zA-Z0-9_-]+$'."
        checks.bad(param, reason, "string_does_not_match_pattern")
    return found


def schema(value: Any, param: str, parts: Parts | None = None) -> dict[str, Any]:
    """A JSON schema that an engine can compile: bounded, self-contained, with sane patterns."""
    root = checks.mapping(value, param)
    parts = parts or Parts()
    enums = depth = 0
    level: list[Any] = [root]
    while level:
        depth += 1
        parts.count += len(level)
        if depth > MAX_SCHEMA_DEPTH:
            _bad_schema(param, f"it is nested more than {MAX_SCHEMA_DEPTH} levels deep.")
        if parts.count > MAX_SCHEMA_NODES:
            _bad_schema(param, f"it has more than {MAX_SCHEMA_NODES} parts.")
        enums += sum(_check_node(node, root, param) for node in level if isinstance(node, dict))
        if enums > MAX_ENUM_VALUES:
            _bad_schema(param, f"it has more than {MAX_ENUM_VALUES} enum values.")
        level = [child for node in level for child in _children(node)]
    return root


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _check_node(node: Mapping[str, Any], root: Mapping[str, Any], param: str) -> int:
    """Check one object of a schema; the number of its enum values."""
    if isinstance(node.get("$ref"), str):
        _check_reference(node, root, param)
    if isinstance(node.get("pattern"), str):
        _check_pattern(node["pattern"], param)
    values = node.get("enum")
    return len(values) if isinstance(values, list) else 0


def _check_reference(node: Mapping[str, Any], root: Mapping[str, Any], param: str) -> None:
    """Follow references that lead to references. A schema may contain itself; it may not be only
    a circle, and it may not point outside."""
    seen = set()
    found: Any = node
    while isinstance(found, dict) and isinstance(found.get("$ref"), str):
        target = found["$ref"]
        if not target.startswith("#"):
            _bad_schema(param, "a '$ref' may only point into the schema itself.")
        if target in seen:
            _bad_schema(param, "a '$ref' leads in a circle.")
        seen.add(target)
        found = _resolve(target, root, param)


def _resolve(target: str, root: Mapping[str, Any], param: str) -> Any:
    found: Any = root
    for part in target[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            _bad_schema(param, "a '$ref' points to nothing.")
        found = found[key]
    return found


def _check_pattern(pattern: str, param: str) -> None:
    if len(pattern) > MAX_PATTERN:
        _bad_schema(param, f"a 'pattern' is longer than {MAX_PATTERN} characters.")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        _bad_schema(param, "a 'pattern' is not a regular expression.")


def _bad_schema(param: str, reason: str) -> None:
    checks.bad(param, reason, "invalid_json_schema")


def _regex(value: Any, param: str) -> str:
    found = checks.text(value, param, MAX_PATTERN, 1)
    _check_pattern(found, param)
    return found


def _choices(value: Any, param: str) -> list[str]:
    found = checks.array(value, param, MAX_ENUM_VALUES, 1)
    texts = [checks.text(each, f"{param}[{i}]", 4096, 1) for i, each in enumerate(found)]
    if sum(map(len, texts)) > MAX_GRAMMAR:
        checks.bad(param, f"the choices are longer than {MAX_GRAMMAR} characters together.")
    return texts


KINDS: Mapping[str, Callable[[Any, str], Any]] = {
    "json": schema,
    "json_object": checks.flag,
    "regex": _regex,
    "choice": _choices,
    "grammar": lambda value, param: checks.text(value, param, MAX_GRAMMAR, 1),
}
