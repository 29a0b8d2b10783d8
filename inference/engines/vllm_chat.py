"""Tool calls and reasoning in a chat answer, by vLLM's own parsers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inference.errors import InvalidRequest, UnsupportedParameter
from inference.parsing import THINK_MARK, parsers_for
from inference.requests import FinishReason, GenerateRequest, Output

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


class ChatParsing:
    """The parsers of one loaded model; makes one `ChatAnswer` per choice of a request."""

    def __init__(self, llm: AsyncLLM, tool_parser: str, reasoning_parser: str) -> None:
        self._model_config = llm.model_config
        self._tokenizer = llm.tokenizer
        template = _template_of(llm.tokenizer)
        model_type = llm.model_config.hf_config.model_type
        self.parsers = parsers_for(template, model_type, tool_parser, reasoning_parser)
        self._class = self._compose()

    def _compose(self) -> Any:
        from vllm.parser import ParserManager

        return ParserManager.get_parser(
            tool_parser_name=self.parsers.tool,
            reasoning_parser_name=self.parsers.reasoning or None,
            enable_auto_tools=True,
            model_name=self._model_config.model,
            tokenizer=self._tokenizer,
        )

    async def for_request(self, request: GenerateRequest) -> ChatRequest | None:
        """What the parsers need of a request; None when its answer is plain text.

        Raises InvalidRequest for tools that vLLM does not take, UnsupportedParameter for a model
        that was never told how to call one.
        """
        calls = bool(request.tools) and request.tool_choice != "none"
        if request.messages is None or not (calls or self.parsers.reasoning):
            return None
        if calls and request.tool_choice == "auto" and not self.parsers.free_calls:
            raise UnsupportedParameter(
                "This model calls no tools by itself; name one in tool_choice.", "tools"
            )
        if not calls:
            return ChatRequest(self, request, calls)
        # A hundred tools with large schemas take a while.
        return await asyncio.to_thread(ChatRequest, self, request, calls)

    def make(self, wanted: Any, kwargs: dict[str, Any]) -> Any:
        """A fresh parser: it keeps the state of one stream."""
        return self._class(
            self._tokenizer,
            wanted.tools,
            chat_template_kwargs=kwargs,
            model_config=self._model_config,
        )


class ChatRequest:
    """One request in vLLM's words, adjusted so that its answer can be parsed."""

    def __init__(self, parsing: ChatParsing, request: GenerateRequest, calls: bool) -> None:
        self._parsing = parsing
        self._kwargs = dict(request.chat_template_kwargs)
        self.named = not isinstance(request.tool_choice, str)
        wanted = _vllm_request(request, calls)
        try:
            self.wanted = parsing.make(wanted, self._kwargs).adjust_request(wanted)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(f"These tools cannot be used: {error}", "tools") from error

    @property
    def has_reasoning(self) -> bool:
        """Whether the answer may begin with reasoning."""
        return bool(self._parsing.parsers.reasoning)

    def adjust(self, params: Any) -> None:
        """Constrain vLLM's sampling so that forced calls come out valid."""
        if self.wanted.structured_outputs is not None:
            params.structured_outputs = copy.copy(self.wanted.structured_outputs)
        params.skip_special_tokens = self.wanted.skip_special_tokens

    def engine_kwargs(self, prompt_ids: Sequence[int]) -> dict[str, Any]:
        """Tells the engine where reasoning ends: a constraint holds only after it."""
        if not self.has_reasoning:
            return {}
        parser = self._parsing.make(self.wanted, self._kwargs)
        return {
            "reasoning_ended": self.wanted.resolve_reasoning_ended(parser, list(prompt_ids)),
            "reasoning_parser_kwargs": {"chat_template_kwargs": self._kwargs},
        }

    def answer(self, prompt_ids: Sequence[int]) -> ChatAnswer:
        """The parser of one choice."""
        parser = self._parsing.make(self.wanted, self._kwargs)
        parser.set_prompt_token_ids(prompt_ids)
        return ChatAnswer(parser, self.wanted, list(prompt_ids), self.named)


class ChatAnswer:
    """Splits the text of one choice into content, reasoning and tool calls, piece by piece."""

    def __init__(self, parser: Any, wanted: Any, prompt_ids: list[int], named: bool) -> None:
        self._parser = parser
        self._wanted = wanted
        self._prompt_ids = prompt_ids
        self._named = named
        self._called = False
        self._thinking = False

    def split(self, output: Output) -> None:
        """Put what the text means in its place, in the Output itself."""
        delta = self._parser.parse_delta(
            delta_text=output.text,
            delta_token_ids=list(output.token_ids),
            request=self._wanted,
            prompt_token_ids=self._prompt_ids,
            finished=output.finish_reason is not None,
        )
        output.text = (delta.content or "") if delta else ""
        if delta is not None:
            output.reasoning = self._thought(delta.reasoning or "")
            output.tool_calls = [_call(call) for call in delta.tool_calls or ()]
        self._called = self._called or bool(output.tool_calls)
        # OpenAI says "stop" for a call that was forced by name.
        if output.finish_reason is FinishReason.STOP and self._called and not self._named:
            output.finish_reason = FinishReason.TOOL_CALLS

    def _thought(self, text: str) -> str:
        """Reasoning without the mark that opens it, which may come in one piece with more."""
        if not self._thinking and text.strip():
            self._thinking = True
            return text.lstrip().removeprefix(THINK_MARK)
        return text


def _call(call: Any) -> dict[str, Any]:
    """OpenAI's delta of a tool call: what is not new is absent."""
    found: dict[str, Any] = {"index": call.index}
    if call.id:
        found |= {"id": call.id, "type": "function"}
    function = {}
    if call.function is not None:
        if call.function.name:
            function["name"] = call.function.name
        if call.function.arguments is not None or call.id:
            # A call's first delta has arguments, if only empty ones.
            function["arguments"] = call.function.arguments or ""
    return {**found, "function": function}


def _vllm_request(request: GenerateRequest, calls: bool) -> Any:
    from pydantic import ValidationError
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    choice: Any = None
    structured = request.sampling.structured
    if calls:
        choice = request.tool_choice
        if not isinstance(choice, str):
            choice = {"type": "function", "function": {"name": choice["name"]}}
    try:
        return ChatCompletionRequest(
            model=request.model,
            messages=[{"role": "user", "content": ""}],
            tools=[_tool(tool, strict=choice != "auto") for tool in request.tools]
            if calls
            else None,
            tool_choice=choice,
            parallel_tool_calls=request.parallel_tool_calls,
            structured_outputs=dict(structured) if structured and choice == "auto" else None,
        )
    except (ValidationError, ValueError) as error:
        raise InvalidRequest(f"These tools cannot be used: {error}"[:500], "tools") from error


def _tool(tool: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    """A call that was forced follows the tool's schema, whether or not the tool says `strict`."""
    if not strict:
        return dict(tool)
    return {**tool, "function": {**tool["function"], "strict": True}}


def _template_of(tokenizer: Any) -> str:
    template = getattr(tokenizer, "chat_template", None) or ""
    return template if isinstance(template, str) else "\n".join(map(str, template.values()))
