"""What a page sends of a conversation, checked: it is shown again, to others as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from playground.api import checks
from playground.api.body import read_body
from playground.api.serializers.messages import sound
from playground.errors import BodyTooLarge

from .models import MAX_TITLE

MAX_BYTES = 4 * 2**20
MAX_NODES = 4000
MAX_SYSTEM = 100_000
ROLES = ("assistant", "tool", "user")
ROOT = ""
# All that is known of a node, and what it may be.
OBJECTS = ("stats",)
TEXTS = ("batch", "error", "model", "name", "reasoning", "tool_call_id")


def body_of(request: HttpRequest) -> dict[str, Any]:
    """The JSON object in a request. Raises WebError."""
    if len(request.body) > MAX_BYTES:
        raise BodyTooLarge(f"A conversation of more than {MAX_BYTES // 2**20} MiB is not kept.")
    return read_body(request)


def title_of(body: Mapping[str, Any]) -> str:
    """A title of one line."""
    return " ".join(checks.text(body.get("title"), "title", MAX_TITLE, 1).split()) or "Untitled"


def fields_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a conversation."""
    nodes = checks.array(body.get("nodes"), "nodes", MAX_NODES, 1)
    kept = [_node(node, f"nodes[{i}]") for i, node in enumerate(nodes)]
    return {
        "title": title_of(body),
        "system": checks.text(body.get("system", ""), "system", MAX_SYSTEM),
        "nodes": kept,
        "text": "\n".join(filter(None, map(_text, kept))),
    }


def _node(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 32)
    node_id = checks.text(given.get("id"), f"{param}.id", 64)
    chosen = given.get("chosen")
    found: dict[str, Any] = {
        "id": node_id,
        "chosen": None if chosen is None else checks.text(chosen, f"{param}.chosen", 64),
    }
    if node_id == ROOT:
        return found
    found["parent"] = checks.text(given.get("parent"), f"{param}.parent", 64)
    found["role"] = checks.one_of(given.get("role"), f"{param}.role", ROLES)
    found["content"] = _content(given.get("content"), f"{param}.content")
    for name in TEXTS:
        if given.get(name) is not None:
            found[name] = checks.text(given[name], f"{param}.{name}")
    for name in OBJECTS:
        if given.get(name) is not None:
            found[name] = dict(checks.mapping(given[name], f"{param}.{name}", 32))
    if given.get("tool_calls") is not None:
        calls = checks.array(given["tool_calls"], f"{param}.tool_calls", 128)
        found["tool_calls"] = [_call(call, f"{param}.tool_calls") for call in calls]
    return found


def _content(value: Any, param: str) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    return [_part(part, param) for part in checks.array(value, param, 64)]


def _part(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 8)
    kind = checks.one_of(given.get("type"), f"{param}.type", ("text", "image_url", "input_audio"))
    if kind == "text":
        return {"type": "text", "text": checks.text(given.get("text"), param)}
    if kind == "input_audio":
        return sound(given.get(kind), f"{param}.{kind}")
    url = checks.text(checks.mapping(given.get("image_url"), param, 8).get("url"), param)
    if not url.startswith("data:image/"):
        # Whoever opens the conversation would tell that address that they do.
        checks.bad(param, "expected a data: URL with a picture.", "invalid_image_url")
    return {"type": "image_url", "image_url": {"url": url}}


def _call(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 8)
    function = checks.mapping(given.get("function"), param, 8)
    texts = {name: checks.text(function.get(name), param) for name in ("name", "arguments")}
    return {"id": checks.text(given.get("id"), param), "type": "function", "function": texts}


def _text(node: Mapping[str, Any]) -> str:
    content = node.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def branch_of(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes of the branch that is chosen, and nothing of the others."""
    known = {node["id"]: node for node in nodes}
    found: list[dict[str, Any]] = []
    node = known.get(ROOT)
    while node is not None and len(found) <= len(nodes):
        found.append(node)
        node = known.get(node["chosen"]) if node["chosen"] else None
    return found
