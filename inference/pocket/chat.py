"""The chat format: ChatML turns, tools and calls as Hermes writes them.

`CHAT_TEMPLATE` is what the server renders; `render` is the same in plain Python, faster, and
keeps apart what the model has to write itself. A test holds the two together.
"""

import json
from typing import Any

IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
SPECIAL_TOKENS = [END_OF_TEXT, IM_START, IM_END]
# One token each, but ordinary text to a decoder: a parser of tool calls has to see them.
MARKUP_TOKENS = [
    "<tools>",
    "</tools>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
]

# "<|" is broken up in whatever a caller writes, so that no text can forge a turn.
CHAT_TEMPLATE = """\
{%- macro clean(text) -%}{{ (text or '') | replace('<|', '< |') }}{%- endmacro -%}
{%- macro tool_list() -%}
{{- '<tools>' -}}
{%- for tool in tools -%}
{%- set function = tool.function if tool.function is defined else tool -%}
{{- '\\n{"name": ' + clean(function.name | tojson) -}}
{%- if function.description -%}{{- ', "description": ' + clean(function.description | tojson) -}}
{%- endif -%}
{{- ', "parameters": ' + clean((function.parameters or {}) | tojson) + '}' -}}
{%- endfor -%}
{{- '\\n</tools>' -}}
{%- endmacro -%}
{%- set state = namespace(tools_written=not tools) -%}
{%- if not state.tools_written and (not messages or messages[0].role not in ['system',\
 'developer']) -%}
{{- '<|im_start|>system\\n' + tool_list() + '<|im_end|>\\n' -}}
{%- set state.tools_written = true -%}
{%- endif -%}
{%- for message in messages -%}
{%- set role = 'system' if message.role == 'developer' else message.role -%}
{%- if role == 'tool' -%}
{{- '<|im_start|>tool\\n<tool_response>\\n' + clean(message.content)\
 + '\\n</tool_response><|im_end|>\\n' -}}
{%- elif role in ['system', 'user', 'assistant'] -%}
{{- '<|im_start|>' + role + '\\n' + clean(message.content) -}}
{%- if role == 'system' and not state.tools_written -%}
{{- ('\\n\\n' if message.content else '') + tool_list() -}}
{%- set state.tools_written = true -%}
{%- endif -%}
{%- if role == 'assistant' and message.tool_calls -%}
{%- for call in message.tool_calls -%}
{%- set function = call.function if call.function is defined else call -%}
{%- set arguments = function.arguments if function.arguments is string\
 else function.arguments | tojson -%}
{{- ('\\n' if message.content or not loop.first else '') + '<tool_call>\\n{"name": '\
 + clean(function.name | tojson) + ', "arguments": ' + clean(arguments) + '}\\n</tool_call>' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- raise_exception('Unknown role: ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

Message = dict[str, Any]
Segment = tuple[str, bool]


def dumps(value: object) -> str:
    """JSON as the chat template writes it."""
    return json.dumps(value, ensure_ascii=False)


def clean(text: str | None) -> str:
    """Text of a caller in which no special token is left."""
    return (text or "").replace("<|", "< |")


def _tool_list(tools: list[dict[str, Any]]) -> str:
    lines = ["<tools>"]
    for tool in tools:
        function = tool.get("function", tool)
        line = '{"name": ' + dumps(function["name"])
        if function.get("description"):
            line += ', "description": ' + dumps(function["description"])
        lines.append(
            clean(line + ', "parameters": ' + dumps(function.get("parameters") or {}) + "}")
        )
    return "\n".join([*lines, "</tools>"])


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """One tool call in the Hermes format."""
    return f'<tool_call>\n{{"name": {dumps(name)}, "arguments": {dumps(arguments)}}}\n</tool_call>'


def _assistant(message: Message) -> str:
    parts = [clean(message["content"])] if message.get("content") else []
    for call in message.get("tool_calls") or []:
        function = call.get("function", call)
        parts.append(clean(call_text(function["name"], function["arguments"])))
    return "\n".join(parts)


def render(
    messages: list[Message],
    tools: list[dict[str, Any]] | None = None,
    add_generation_prompt: bool = False,
) -> list[Segment]:
    """Segments (text, is written by the model) of a conversation.

    Arguments of tool calls are objects, not strings. Joined, the texts equal what `CHAT_TEMPLATE`
    renders.
    """
    tools_text = _tool_list(tools) if tools else ""
    segments: list[Segment] = []
    if tools_text and (not messages or messages[0]["role"] != "system"):
        segments.append((f"{IM_START}system\n{tools_text}{IM_END}\n", False))
        tools_text = ""
    for message in messages:
        role, content = message["role"], clean(message.get("content"))
        if role == "assistant":
            segments.append((f"{IM_START}assistant\n", False))
            segments.append((_assistant(message) + IM_END, True))
            segments.append(("\n", False))
            continue
        if role == "tool":
            content = f"<tool_response>\n{content}\n</tool_response>"
        elif role == "system" and tools_text:
            content = f"{content}\n\n{tools_text}" if content else tools_text
            tools_text = ""
        segments.append((f"{IM_START}{role}\n{content}{IM_END}\n", False))
    if add_generation_prompt:
        segments.append((f"{IM_START}assistant\n", False))
    return segments
