"""Tools that a model may call, and how it has to choose among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from inference.errors import UnsupportedParameter

from .. import checks
from .structured import Parts, schema, tool_name

MAX_TOOLS = 128
Choice = Literal["none", "auto", "required"] | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What `GenerateRequest` takes: the tools, and none, auto, required or `{"name": …}`."""

    tools: tuple[Mapping[str, Any], ...] = ()
    choice: Choice = "auto"


def tools(value: Any, param: str) -> tuple[dict[str, Any], ...]:
    """An array of function tools."""
    found = checks.array(value, param, MAX_TOOLS)
    parts = Parts()
    return tuple(_tool(each, f"{param}[{i}]", parts) for i, each in enumerate(found))


def functions(value: Any, param: str) -> tuple[dict[str, Any], ...]:
    """The older spelling: bare functions."""
    found = checks.array(value, param, MAX_TOOLS, 1)
    parts = Parts()
    return tuple(
        {"type": "function", "function": _function(each, f"{param}[{i}]", parts)}
        for i, each in enumerate(found)
    )


def _tool(value: Any, param: str, parts: Parts) -> dict[str, Any]:
    found = checks.mapping(value, param, 16)
    if "type" not in found:
        checks.missing(f"{param}.type")
    kind = checks.one_of(found["type"], f"{param}.type", ("function", "custom"))
    if kind == "custom":
        message = "Custom tools are not supported by this server; use function tools."
        raise UnsupportedParameter(message, f"{param}.type")
    if "function" not in found:
        checks.missing(f"{param}.function")
    return {
        "type": "function",
        "function": _function(found["function"], f"{param}.function", parts),
    }


def _function(value: Any, param: str, parts: Parts) -> dict[str, Any]:
    given = checks.mapping(value, param, 16)
    if "name" not in given:
        checks.missing(f"{param}.name")
    found: dict[str, Any] = {"name": tool_name(given["name"], f"{param}.name")}
    if given.get("description") is not None:
        found["description"] = checks.text(given["description"], f"{param}.description", 16_384)
    if given.get("parameters") is not None:
        found["parameters"] = schema(given["parameters"], f"{param}.parameters", parts)
    if given.get("strict") is not None:
        found["strict"] = checks.flag(given["strict"], f"{param}.strict")
    return found


def tool_choice(value: Any, param: str) -> Any:
    """A word or an object; which tools it may name is seen later, in `toolbox`."""
    if isinstance(value, dict):
        return value
    return checks.one_of(value, param, ("none", "auto", "required"))


def function_call(value: Any, param: str) -> Any:
    """The older spelling: none, auto or `{"name": …}`."""
    if isinstance(value, str):
        return checks.one_of(value, param, ("none", "auto"))
    found = checks.mapping(value, param, 4)
    if "name" not in found:
        checks.missing(f"{param}.name")
    return {"type": "function", "function": {"name": tool_name(found["name"], f"{param}.name")}}


def toolbox(found: tuple[dict[str, Any], ...], choice: Any, param: str) -> Toolbox:
    """Tools and choice together: a named tool has to be among them."""
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return _allowed(found, choice, param)
    if not found:
        if choice not in (None, "none", "auto"):
            checks.bad(param, "only allowed when 'tools' are specified.")
        return Toolbox()
    if isinstance(choice, dict):
        return Toolbox(found, {"name": _named(found, choice, param)})
    return Toolbox(found, cast("Choice", choice or "auto"))


def _allowed(found: tuple[dict[str, Any], ...], choice: dict[str, Any], param: str) -> Toolbox:
    """Only some of the tools, one of which may have to be called."""
    param = f"{param}.allowed_tools"
    allowed = checks.mapping(choice.get("allowed_tools"), param, 8)
    mode = checks.one_of(allowed.get("mode"), f"{param}.mode", ("auto", "required"))
    listed = checks.array(allowed.get("tools"), f"{param}.tools", MAX_TOOLS, 1)
    names = {_named(found, each, f"{param}.tools[{i}]") for i, each in enumerate(listed)}
    kept = tuple(each for each in found if each["function"]["name"] in names)
    return Toolbox(kept, cast("Choice", mode))


def _named(found: tuple[dict[str, Any], ...], choice: Any, param: str) -> str:
    given = checks.mapping(choice, param, 8)
    checks.one_of(given.get("type"), f"{param}.type", ("function",))
    function = checks.mapping(given.get("function"), f"{param}.function", 8)
    name = tool_name(function.get("name"), f"{param}.function.name")
    if all(each["function"]["name"] != name for each in found):
        checks.bad(param, f"the tool '{name}' is not in 'tools'.")
    return name
