"""What travels through the one door: a request in, a stream of `Output` back.

All classes are frozen: they cross layers and tasks. Sampling names are vLLM's; `None` means
"the model's own default" (its `generation_config`).
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


class FinishReason(enum.StrEnum):
    """Why a choice ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class Lane(enum.StrEnum):
    """Interactive requests go first; batch requests fill what is left."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are drawn. Ranges are those of vLLM's class of the same name.

    `max_tokens` None means the rest of the context. `logprobs` and `prompt_logprobs` count the
    alternatives per token (0: only the chosen token). `structured` is at most one constraint,
    e.g. `{"json": schema}`, `{"json_object": True}`, `{"regex": "…"}`, `{"choice": [...]}`.
    """

    n: int = 1
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    max_tokens: int | None = None
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    logit_bias: Mapping[int, float] | None = None
    structured: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `content` is text or OpenAI's content parts."""

    role: str
    content: str | Sequence[Mapping[str, Any]] | None = None
    name: str | None = None
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()
    tool_call_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The message as chat templates expect it; fields that were not given are absent."""
        found: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            found["name"] = self.name
        if self.reasoning is not None:
            found["reasoning"] = self.reasoning
        if self.tool_calls:
            found["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        return found


def new_request_id() -> str:
    """An id of ours, never the caller's, so that two callers cannot meet in one engine."""
    return os.urandom(16).hex()


Prompt = str | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every request says.

    `account`, `weight`, `lane` and `queue_places` (how many of the account's requests may wait;
    None: as many as anybody's) are all that is known of the caller.
    """

    model: str
    account: str = "anonymous"
    weight: float = 1.0
    queue_places: int | None = None
    lane: Lane = Lane.INTERACTIVE
    request_id: str = field(default_factory=new_request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest(Question):
    """One prompt for a generating model: either `messages` or `prompt` is given.

    `prompt` is text or token ids. `tool_choice` is none, auto, required or the name of a tool as
    `{"name": …}`. `gather`: so many tokens may come as one Output, which costs less than as many
    Outputs; who streams wants each as soon as it is there.
    """

    messages: tuple[Message, ...] | None = None
    prompt: Prompt | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Literal["none", "auto", "required"] | Mapping[str, str] = "auto"
    parallel_tool_calls: bool = True
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    gather: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest(Question):
    """Texts to be vectors: one Output each, whose `data` is an `array("f")` of length one.

    `dimensions` shortens the vectors of a model that was trained for it. `truncate` keeps so many
    tokens of each text (-1: as many as fit); without it a text that is too long is refused.
    """

    inputs: tuple[Prompt, ...]
    dimensions: int | None = None
    truncate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest(Question):
    """How well texts go together: one Output per document, `data` a float, more is better.

    There is one query for all documents, or one for each. `truncate` as in EmbedRequest.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    truncate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeRequest(Question):
    """Text to tokens: one Output with `token_ids`, and in `data` their strings if `strings`.

    Either `messages` or `prompt` is given. `special` None is what a prompt of its kind gets:
    special tokens round a text, none round a chat, whose template has them.
    """

    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    special: bool | None = None
    strings: bool = False
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetokenizeRequest(Question):
    """Tokens to text: one Output with `text`."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, sound or film as it travels: encoded bytes and what they are (`image/png`)."""

    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest(Question):
    """One call of any other task: one Output, its `data` in the shape of Hugging Face's API.

    `task` is the Hub's name of it (`image-classification`). `inputs`, `parameters` and the answer
    are plain values as JSON has them, with `Media` where there are bytes.
    """

    task: str
    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost: tokens, and seconds spent waiting."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    queue_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probability of one token; `token` is its text, `top` the alternatives, best first."""

    token: str
    token_id: int
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(slots=True)
class Output:
    """One piece of answer: what is new since the last piece of the same choice.

    Not frozen because one is made per token: a frozen dataclass costs three times as much to make.
    `index` is the choice (0 ≤ index < n). `usage` stands in the very last Output of a request
    (all choices counted); `prompt_logprobs` in the first, its first entry None (no token precedes).
    `tool_calls` holds OpenAI deltas, `data` the result of a task that is not text. Tasks with
    several inputs give one Output per input, numbered by `index`, in any order.
    """

    text: str = ""
    token_ids: Sequence[int] = ()
    index: int = 0
    logprobs: Sequence[TokenLogprob] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()
    prompt_logprobs: Sequence[TokenLogprob | None] | None = None
    prompt_token_ids: Sequence[int] = ()
    prompt_text: str | None = None
    data: Any = None


# Says nothing: a stream that was stopped for others and waits for its next turn yields it now and
# then, so that whoever reads can tell where it stands. One object, to be known by its identity.
PULSE = Output()


class Bypass:
    """A way for plain pieces past all who read an answer: `write` gets them where they are made.

    It returns False when it took this one and the next is to go by way of whoever reads the stream,
    who waits until there is room. `tokens` is how many went this way: whoever counts what it reads
    adds them. `kept` are they, where somebody wants them. One object for all of that, because it is
    looked up for each token, and engines on the same cores leave nothing of it in the cache.
    """

    __slots__ = ("kept", "tokens", "write")

    def __init__(self, write: Callable[[Output], bool]) -> None:
        self.write = write
        self.tokens = 0
        self.kept: list[int] | None = None
