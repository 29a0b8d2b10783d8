"""The two answers of the API, chat and completion: whole, and piece by piece.

A shape is made once per request. Everything in a piece but its text is the same for the whole
stream, so it is serialised once; per token only the text is escaped.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from json.encoder import encode_basestring_ascii
from typing import Any, ClassVar

from inference.requests import FinishReason, Output, TokenLogprob, Usage

from .choices import Answers, Choice, best, share_prompts, usage_body
from .logprobs import chat_logprobs, text_logprobs
from .serializers import Call

# ASCII escapes in streams: line readers that split at U+2028 or U+0085 would cut an event in two.
escape = encode_basestring_ascii


def compact(value: Any) -> str:
    """JSON on one line without spaces, in ASCII."""
    return json.dumps(value, separators=(",", ":"))


class Shape(ABC):
    """How the answers to one call look."""

    prefix: ClassVar[str]
    object: ClassVar[str]
    chunk_object: ClassVar[str]

    def __init__(self, call: Call, model: str, request_id: str) -> None:
        self.call = call
        self.id = f"{self.prefix}-{request_id}"
        self.model = model
        self.created = int(time.time())
        # Asked for usage, OpenAI sends null on every chunk but the one that has it.
        self._tail = ',"usage":null}\n\n' if call.include_usage else "}\n\n"

    @cached_property
    def _head(self) -> str:
        """What every chunk of a stream begins with."""
        object_, created = self.chunk_object, self.created
        head = {"id": self.id, "object": object_, "created": created, "model": self.model}
        return f'data: {compact(head)[:-1]},"choices":['

    @property
    def candidates(self) -> int:
        """Answers made for each prompt."""
        return self.call.requests[0].sampling.n

    def whole(self, answers: Answers) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = answers.choices
        if self.call.ranked:
            choices = best(choices, self.candidates, self.call.n)
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "choices": [self.choice(i, choice) for i, choice in enumerate(choices)],
            "usage": usage_body(answers.usage),
        }

    def opening(self) -> bytes:
        """What a stream begins with, before any token."""
        return b""

    def closing(self, usage: Usage) -> bytes:
        """The last chunk before [DONE], for those who asked for usage."""
        if not self.call.include_usage:
            return b""
        return f'{self._head}],"usage":{compact(usage_body(usage))}}}\n\n'.encode()

    @abstractmethod
    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        """One whole answer."""

    @abstractmethod
    def chunk(self, output: Output) -> bytes:
        """One piece of an answer as one or two events."""


class ChatShape(Shape):
    """`chat.completion` and `chat.completion.chunk`."""

    prefix = "chatcmpl"
    object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.reasonings:
            # LangChain reads the first name, vLLM's clients the second.
            message["reasoning_content"] = message["reasoning"] = "".join(choice.reasonings)
        calls = [choice.tool_calls[i] for i in sorted(choice.tool_calls)]
        if calls:
            message["content"] = choice.text or None
            message |= self._calls(calls)
        logprobs = None
        if self.call.top_logprobs is not None:
            logprobs = chat_logprobs(choice.logprobs, self.call.top_logprobs)
        finish = self._finish(choice.finish_reason)
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}

    def opening(self) -> bytes:
        delta = '{"role":"assistant","content":"","refusal":null}'
        return b"".join(self._event(i, delta) for i in range(self.candidates))

    def chunk(self, output: Output) -> bytes:
        if not (output.reasoning or output.tool_calls or output.logprobs or output.finish_reason):
            # The way of nearly every token.
            content = f'{{"content":{escape(output.text)}}}'
            return self._event(output.index, content)
        found = b""
        if output.text or output.reasoning or output.tool_calls or output.logprobs:
            found = self._event(output.index, self._delta(output), self._logprobs(output))
        if output.finish_reason:
            reason = compact(self._finish(output.finish_reason))
            found += self._event(output.index, "{}", reason=reason)
        return found

    def _event(self, index: int, delta: str, logprobs: str = "null", reason: str = "null") -> bytes:
        return (
            f'{self._head}{{"index":{index},"delta":{delta},"logprobs":{logprobs},'
            f'"finish_reason":{reason}}}]{self._tail}'
        ).encode()

    def _delta(self, output: Output) -> str:
        delta: dict[str, Any] = {}
        if output.text or not (output.reasoning or output.tool_calls):
            delta["content"] = output.text
        if output.reasoning:
            delta["reasoning_content"] = delta["reasoning"] = output.reasoning
        if output.tool_calls:
            delta |= self._calls([dict(each) for each in output.tool_calls])
        return compact(delta)

    def _logprobs(self, output: Output) -> str:
        if self.call.top_logprobs is None:
            return "null"
        return compact(chat_logprobs(output.logprobs or (), self.call.top_logprobs))

    def _calls(self, calls: list[dict[str, Any]]) -> dict[str, Any]:
        """Callers who spoke of functions are answered in functions, of which there is one."""
        if not self.call.function_call:
            return {"tool_calls": calls}
        return {"function_call": calls[0].get("function", {})}

    def _finish(self, reason: FinishReason | None) -> str:
        if reason is FinishReason.TOOL_CALLS and self.call.function_call:
            return "function_call"
        return str(reason or FinishReason.STOP)


class CompletionShape(Shape):
    """`text_completion`, whole and in pieces."""

    prefix = "cmpl"
    object = chunk_object = "text_completion"

    def __init__(self, call: Call, model: str, request_id: str) -> None:
        super().__init__(call, model, request_id)
        # Characters said so far by each choice: the offsets of logprobs go on across pieces.
        self._said: dict[int, int] = {}
        self._prompts: dict[int, Choice] = {}

    def whole(self, answers: Answers) -> dict[str, Any]:
        share_prompts(answers.choices, self.candidates)
        return super().whole(answers)

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        prompt = self._prompt(index // self.call.n, choice)
        answer = "" if self.call.drop_answer else choice.text
        return {
            "index": index,
            "text": prompt + answer,
            "logprobs": self._logprobs(choice.prompt_logprobs, choice.logprobs, prompt, 0),
            "finish_reason": str(choice.finish_reason or FinishReason.STOP),
        }

    def chunk(self, output: Output) -> bytes:
        index, said = output.index, self._said.get(output.index, 0)
        prompt, before = self._before(output)
        text = prompt if self.call.drop_answer else prompt + output.text
        logprobs = "null"
        if self.call.top_logprobs is not None:
            logprobs = compact(self._logprobs(before, output.logprobs or (), prompt, said))
        self._said[index] = said + len(text)
        reason = f'"{output.finish_reason}"' if output.finish_reason else "null"
        return (
            f'{self._head}{{"index":{index},"text":{escape(text)},"logprobs":{logprobs},'
            f'"finish_reason":{reason}}}]{self._tail}'
        ).encode()

    def _before(self, output: Output) -> tuple[str, Sequence[TokenLogprob | None]]:
        """What `echo` puts before the first piece of each answer to a prompt."""
        if not self.call.echo or output.index in self._said:
            return "", ()
        position = output.index // self.candidates
        known = self._prompts.setdefault(position, Choice())
        known.add(output)
        return self._prompt(position, known), known.prompt_logprobs

    def _prompt(self, position: int, choice: Choice) -> str:
        """The prompt as sent, or as the engine reads its token ids."""
        if not self.call.echo:
            return ""
        prompt = self.call.requests[position].prompt
        return prompt if isinstance(prompt, str) else choice.prompt_text or ""

    def _logprobs(
        self,
        before: Sequence[TokenLogprob | None],
        tokens: Sequence[TokenLogprob],
        prompt: str,
        offset: int,
    ) -> dict[str, Any] | None:
        if self.call.top_logprobs is None:
            return None
        # The prompt's first token has no logprob and so no text: it is what the others leave.
        rest = sum(len(each.token) for each in before if each)
        first = prompt[: max(0, len(prompt) - rest)]
        said = () if self.call.drop_answer else tokens
        return text_logprobs([*before, *said], self.call.top_logprobs, offset, first)
