"""Text in the words of text-generation-inference, which the Hub's client speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from inference.errors import UnsupportedParameter
from inference.requests import FinishReason, GenerateRequest, Output, SamplingParams, TokenLogprob

from .. import checks
from ..body import read_body
from ..choices import Answers, Choice
from ..serializers import Call
from ..serializers.structured import structured_outputs
from ..shapes import Shape, compact
from . import typed

DEFAULT_TOKENS = 100
PASSED_ON = ("temperature", "top_p", "top_k", "repetition_penalty", "frequency_penalty", "seed")
REFUSED = ("adapter_id", "truncate", "typical_p", "watermark")
# Any of them says that tokens are to be drawn and not just taken.
DRAWN = ("temperature", "top_p", "top_k", "seed")
ENDS = {FinishReason.LENGTH: "length"}


def text_call(request: HttpRequest, model: str) -> tuple[Call, Mapping[str, Any]]:
    """The checked body, and its parameters. Raises a typed refusal."""
    body = read_body(request)
    prompt = body.get("inputs")
    if prompt is None:
        checks.missing("inputs")
    stream = checks.flag(body.get("stream") or False, "stream")
    known = {"inputs", "parameters", "stream", "options"}
    if more := sorted(set(body) - known):
        checks.bad(more[0][:100], "this is no field of a request.", "unknown_parameter")
    asked_for = body.get("parameters")
    given = typed.parameters("text-generation", {} if asked_for is None else asked_for)
    text = checks.text(prompt, "inputs", None, 1)
    asked = GenerateRequest(model=model, prompt=text, sampling=sampling(given, stream))
    ignored = ("options",) if body.get("options") else ()
    return Call(model=model, requests=(asked,), stream=stream, ignored=ignored), given


def sampling(given: Mapping[str, Any], stream: bool) -> SamplingParams:
    """How tokens are drawn: the likeliest each time, unless anything speaks of drawing."""
    for name in REFUSED:
        if given.get(name):
            raise UnsupportedParameter(f"'{name}' is not supported.", f"parameters.{name}")
    found = {name: given[name] for name in PASSED_ON if name in given}
    if not given.get("do_sample") and not any(name in given for name in DRAWN):
        found["temperature"] = 0.0
    told = stream or given.get("details") or given.get("top_n_tokens")
    return SamplingParams(
        **found,
        stop=tuple(given.get("stop", ())),
        max_tokens=given.get("max_new_tokens", DEFAULT_TOKENS),
        logprobs=given.get("top_n_tokens", 0) if told else None,
        prompt_logprobs=0 if given.get("decoder_input_details") else None,
        structured=_structure(given.get("grammar")),
    )


def _structure(grammar: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if grammar is None:
        return None
    kind = "regex" if grammar["type"] == "regex" else "json"
    return structured_outputs({kind: grammar.get("value")}, "parameters.grammar.value")


class TextShape(Shape):
    """`[{generated_text, details}]`, or an event for each token."""

    prefix = "tgi"
    object = chunk_object = "text"

    def __init__(
        self, call: Call, model: str, request_id: str, given: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(call, model, request_id)
        self._given = given or {}
        self._said: list[str] = []
        self._tokens = 0
        self._prompt_tokens = 0

    def whole(self, answers: Answers) -> Any:
        choice = answers.choices[0]
        found: dict[str, Any] = {"generated_text": self._before() + choice.text}
        if self._given.get("details"):
            found["details"] = self._details(choice)
        return [found]

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        raise NotImplementedError

    def chunk(self, output: Output) -> bytes:
        self._said.append(output.text)
        self._prompt_tokens = self._prompt_tokens or len(output.prompt_token_ids)
        tokens = [_token(each) for each in output.logprobs or ()]
        if not tokens and (output.text or output.finish_reason):
            tokens = [{"id": 0, "text": output.text, "logprob": 0.0, "special": False}]
        last = len(tokens) - 1
        events = []
        for i, token in enumerate(tokens):
            self._tokens += 1
            event = {"index": self._tokens, "token": token}
            done = output.finish_reason is not None and i == last
            events.append(f"data: {compact(event | self._end(output, done))}\n\n")
        return "".join(events).encode()

    def _end(self, output: Output, done: bool) -> dict[str, Any]:
        if not done or output.finish_reason is None:
            return {"generated_text": None, "details": None}
        details = {
            "finish_reason": ENDS.get(output.finish_reason, "eos_token"),
            "generated_tokens": self._tokens,
            "input_length": self._prompt_tokens,
            "seed": self._given.get("seed"),
        }
        return {"generated_text": self._before() + "".join(self._said), "details": details}

    def _before(self) -> str:
        prompt = self.call.requests[0].prompt
        return str(prompt) if self._given.get("return_full_text") else ""

    def _details(self, choice: Choice) -> dict[str, Any]:
        reason = choice.finish_reason or FinishReason.STOP
        prefill = [
            {"id": each.token_id if each else 0, "text": each.token if each else "", "logprob": p}
            for each in choice.prompt_logprobs
            for p in [each.logprob if each else None]
        ]
        found = {
            "finish_reason": ENDS.get(reason, "eos_token"),
            "generated_tokens": len(choice.logprobs),
            "seed": self._given.get("seed"),
            "prefill": prefill,
            "tokens": [_token(each) for each in choice.logprobs],
        }
        if self._given.get("top_n_tokens"):
            found["top_tokens"] = [[_token(x) for x in each.top] for each in choice.logprobs]
        return found


def _token(found: TokenLogprob) -> dict[str, Any]:
    return {
        "id": found.token_id,
        "text": found.token,
        "logprob": found.logprob,
        "special": False,
    }
