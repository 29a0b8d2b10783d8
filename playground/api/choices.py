"""Whole answers: the pieces of a stream put together, one `Choice` for each answer asked for."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.requests import FinishReason, Output, TokenLogprob, Usage

from .logprobs import mean_logprob


@dataclass(slots=True)
class Choice:
    """One answer as far as it has come."""

    texts: list[str] = field(default_factory=list)
    reasonings: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    tool_calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    prompt_text: str | None = None
    prompt_logprobs: list[TokenLogprob | None] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(self.texts)

    def add(self, output: Output) -> None:
        """Put one more piece on."""
        self.texts.append(output.text)
        if output.reasoning:
            self.reasonings.append(output.reasoning)
        if output.logprobs:
            self.logprobs.extend(output.logprobs)
        for delta in output.tool_calls:
            self._add_call(delta)
        if output.prompt_text is not None:
            self.prompt_text = output.prompt_text
        if output.prompt_logprobs:
            self.prompt_logprobs = list(output.prompt_logprobs)
        self.finish_reason = output.finish_reason or self.finish_reason

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        index = int(delta.get("index", 0))
        whole = self.tool_calls.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        whole["id"] = delta.get("id") or whole["id"]
        for key, more in (delta.get("function") or {}).items():
            if key in whole["function"]:
                whole["function"][key] += more or ""


@dataclass(slots=True)
class Answers:
    """All choices of a call, and what they cost together."""

    choices: list[Choice]
    usage: Usage


async def collect(outputs: AsyncIterable[Output], count: int) -> Answers:
    """Wait for the end of every one of `count` choices."""
    choices = [Choice() for _ in range(count)]
    used: list[Usage] = []
    async for output in outputs:
        choices[output.index].add(output)
        if output.usage is not None:
            used.append(output.usage)
    return Answers(choices, total(used))


def total(used: Iterable[Usage]) -> Usage:
    """What several prompts cost together; the longest wait counts, they waited side by side."""
    found = list(used)
    return Usage(
        prompt_tokens=sum(each.prompt_tokens for each in found),
        completion_tokens=sum(each.completion_tokens for each in found),
        cached_tokens=sum(each.cached_tokens for each in found),
        queue_seconds=max((each.queue_seconds for each in found), default=0.0),
    )


def best(choices: list[Choice], candidates: int, n: int) -> list[Choice]:
    """`best_of`: of each prompt's candidates, the `n` likeliest first."""
    groups = [choices[i : i + candidates] for i in range(0, len(choices), candidates)]
    return [
        choice
        for group in groups
        for choice in sorted(group, key=lambda c: mean_logprob(c.logprobs), reverse=True)[:n]
    ]


def share_prompts(choices: list[Choice], candidates: int) -> None:
    """An engine tells of a prompt once; every answer to it shows it."""
    for i in range(0, len(choices), candidates):
        group = choices[i : i + candidates]
        told = next((c for c in group if c.prompt_text is not None or c.prompt_logprobs), group[0])
        for choice in group:
            choice.prompt_text, choice.prompt_logprobs = told.prompt_text, told.prompt_logprobs


def usage_body(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
