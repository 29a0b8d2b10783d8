"""Which of vLLM's parsers reads a model's tool calls and reasoning.

Families are told apart by what their chat template says, as the template is what the model was
trained to write. A card may name other parsers. Pure: text in, names out.
"""

from __future__ import annotations

from dataclasses import dataclass

# The first mark that stands in the template decides; longer marks before those they contain.
TOOL_MARKS = (
    ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<｜tool▁calls▁begin｜>", "deepseek_v3"),
    ("<arg_key>", "glm45"),
    ("<function=", "qwen3_coder"),
    ("[TOOL_CALLS]", "mistral"),
    ("<|python_tag|>", "llama3_json"),
    ("<|tool_call|>", "granite"),
    ("<tool_call>", "hermes"),
    ("functools[", "phi4_mini_json"),
    ('{"name": function name, "parameters":', "llama3_json"),
)
REASONING_FAMILIES = (
    ("deepseek_v3", "deepseek_v3"),
    ("glm4", "glm45"),
    ("granite", "granite"),
    ("hunyuan", "hunyuan_a13b"),
    ("kimi_k2", "kimi_k2"),
    ("minimax", "minimax_m2"),
    ("nemotron", "nemotron_v3"),
    ("olmo3", "olmo3"),
    ("qwen3", "qwen3"),
    ("seed_oss", "seed_oss"),
)
THINK_MARK = "<think>"
# Any parser reads forced calls, which are plain JSON by constraint; this one asks the least.
PLAIN_JSON = "hermes"


@dataclass(frozen=True, slots=True)
class Parsers:
    """vLLM's names; empty for none. `free_calls`: whether the model was told how to call tools."""

    tool: str = ""
    reasoning: str = ""
    free_calls: bool = False


def parsers_for(
    template: str, model_type: str, tool_parser: str = "", reasoning_parser: str = ""
) -> Parsers:
    """The parsers of a model, from its chat template and `model_type`; a card's names win."""
    if model_type == "gpt_oss":
        return Parsers(tool_parser or "openai", reasoning_parser or "openai_gptoss", True)
    found = next((name for mark, name in TOOL_MARKS if mark in template), "")
    tool = tool_parser or found
    return Parsers(
        tool or PLAIN_JSON,
        reasoning_parser or _reasoning(template, model_type),
        bool(tool) and "tools" in template,
    )


def _reasoning(template: str, model_type: str) -> str:
    if THINK_MARK not in template:
        return ""
    family = (name for start, name in REASONING_FAMILIES if model_type.startswith(start))
    return next(family, "deepseek_r1")
