"""The description of the API as tests use it: read by schemathesis, and closed to find drift."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import schemathesis
from schemathesis.schemas import BaseSchema

from playground.api.description.document import document

# Refusals of a value's type or size: what the document calls valid must never meet one.
SHAPE = (
    "invalid_type",
    "missing_required_parameter",
    "empty_string",
    "string_too_long",
    "string_does_not_match_pattern",
    "empty_array",
    "invalid_key",
    "_min_value",
    "_max_value",
    "_max_length",
    "_min_length",
    "_max_properties",
)
SCHEMAS_OF_CALLERS: list[Any] = [
    {},
    {"type": "string"},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"enum": [1, "x", None]}, "maxItems": 3},
]


def closed(node: Any) -> Any:
    """A schema in which objects hold what is named and nothing more."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and "type" in node:
        found.setdefault("additionalProperties", False)
    return found


def quick(node: Any) -> Any:
    """A closed schema whose values are made quickly: free objects are chosen from a few."""
    if isinstance(node, list):
        return [quick(each) for each in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("description", "")).startswith("A JSON Schema"):
        return {"enum": SCHEMAS_OF_CALLERS}
    found = {key: quick(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and "type" in node:
        found["additionalProperties"] = False
        # Implied now, and each costs a look at every value made.
        for key in ("propertyNames", "maxProperties"):
            found.pop(key, None)
    return found


@cache
def whole() -> dict[str, Any]:
    """The document as it is served."""
    return document()


@cache
def api(fast: bool = False) -> BaseSchema:
    """The document as schemathesis reads it."""
    # A copy of its own: schemathesis writes into what it reads.
    found = copy.deepcopy(whole())
    if fast:
        parts = found["components"]
        found["components"] = {**parts, "schemas": quick(parts["schemas"])}
    return schemathesis.openapi.from_dict(found)


def component(name: str) -> dict[str, Any]:
    """A closed schema of one component, with what it refers to."""
    return {
        "$ref": f"#/components/schemas/{name}",
        "components": {"schemas": closed(whole()["components"]["schemas"])},
    }
