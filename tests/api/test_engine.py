"""The current openai client against a real engine, parameter by parameter."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

from tests.api.asking import user
from tests.servers import RunningServer

pytestmark = pytest.mark.engine
FRANCE = "What is the capital of France?"
PARIS = "The capital of France is Paris."
ROME = "What is the weather in Rome?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "minimum": 0, "maximum": 99},
                "b": {"type": "integer", "minimum": 0, "maximum": 99},
            },
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}
KEYS = {"get_weather": {"city"}, "add": {"a", "b"}}
NAMED = {"type": "function", "function": {"name": "add"}}
RED = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501


class Size(BaseModel):
    """A schema that a small model can fill."""

    size: Literal["small", "large"]
    count: int = Field(ge=0, le=99)


@pytest.fixture
def pocket(pocket_server: RunningServer) -> Iterator[OpenAI]:
    """A client of the server whose engine is loaded."""
    with OpenAI(base_url=f"{pocket_server.url}/v1", api_key="x", max_retries=0) as found:
        yield found


@pytest.fixture
async def pocket_async(pocket_server: RunningServer) -> AsyncIterator[AsyncOpenAI]:
    """The same for asyncio."""
    address = f"{pocket_server.url}/v1"
    async with AsyncOpenAI(base_url=address, api_key="x", max_retries=0) as found:
        yield found


def ask(client: OpenAI, text: str = FRANCE, **more: Any) -> Any:
    """The whole answer; greedy unless said otherwise."""
    given: Any = {"temperature": 0, "max_tokens": 100} | more
    return client.chat.completions.create(model="pocket", messages=user(text), **given)


def complete(client: OpenAI, prompt: Any = "The capital of France is", **more: Any) -> Any:
    """A completion."""
    given: Any = {"temperature": 0, "max_tokens": 5} | more
    return client.completions.create(model="pocket", prompt=prompt, **given)


# --- chat -----------------------------------------------------------------------------------------


def test_a_question_is_answered_whole_and_streamed(pocket: OpenAI) -> None:
    answer = ask(pocket)
    assert answer.choices[0].message.content == PARIS
    assert answer.choices[0].finish_reason == "stop"
    chunks = list(ask(pocket, stream=True, stream_options={"include_usage": True}))
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == PARIS
    assert chunks[-1].usage.total_tokens == answer.usage.total_tokens


async def test_the_async_client_streams(pocket_async: AsyncOpenAI) -> None:
    stream = await pocket_async.chat.completions.create(
        model="pocket", messages=user(FRANCE), temperature=0, stream=True
    )
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == PARIS and len(said) > 5


async def test_the_stream_helper_and_parse_agree(pocket_async: AsyncOpenAI) -> None:
    given: Any = {"model": "pocket", "messages": user("How large?"), "response_format": Size}
    given |= {"temperature": 0, "max_tokens": 60}
    parsed = await pocket_async.chat.completions.parse(**given)
    async with pocket_async.chat.completions.stream(**given) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert parsed.choices[0].message.parsed == final.choices[0].message.parsed
    assert isinstance(final.choices[0].message.parsed, Size)
    assert {"content.delta", "content.done", "chunk"} <= kinds


def test_json_mode_gives_an_object(pocket: OpenAI) -> None:
    answer = ask(pocket, "Name a colour.", response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ({"regex": "(ab){2,3}c"}, {"ababc", "abababc"}),
        ({"choice": ["yes", "no"]}, {"yes", "no"}),
        ({"grammar": 'root ::= "x" | "y"'}, {"x", "y"}),
        ({"json": {"enum": ["red", "blue"]}}, {'"red"', '"blue"'}),
    ],
)
def test_a_structure_is_kept(pocket: OpenAI, constraint: Any, expected: set[str]) -> None:
    answer = ask(pocket, extra_body={"structured_outputs": constraint}, temperature=1, n=3)
    assert {choice.message.content for choice in answer.choices} <= expected


@pytest.mark.parametrize(
    ("constraint", "code"),
    [
        ({"json": {"type": "number", "multipleOf": 3}}, "unsupported_parameter"),
        ({"regex": "(?=a)b"}, "invalid_value"),
        ({"grammar": "root ::= nothing"}, "invalid_value"),
    ],
)
def test_a_structure_that_cannot_be_kept_is_refused(
    pocket: OpenAI, constraint: Any, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pocket, extra_body={"structured_outputs": constraint}, stream=True)
    assert (caught.value.param, caught.value.code) == ("response_format", code)


def test_logprobs_cover_the_text_and_no_more(pocket: OpenAI) -> None:
    choice = ask(pocket, logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == PARIS
    for token in tokens:
        assert len(token.top_logprobs) == 3 and token.top_logprobs[0].token == token.token
        assert token.logprob <= 0 and bytes(token.bytes).decode() == token.token


def test_a_seed_repeats_and_n_answers_differ(pocket: OpenAI) -> None:
    given = {"temperature": 1.5, "n": 4, "seed": 11, "max_tokens": 20}
    first, second = (ask(pocket, "Tell me about tea.", **given) for _ in range(2))
    said = [choice.message.content for choice in first.choices]
    assert said == [choice.message.content for choice in second.choices]
    assert len(set(said)) > 1


def test_stop_cuts_before_the_word(pocket: OpenAI) -> None:
    choice = ask(pocket, stop=["Paris", "never"]).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("The capital of France is ", "stop")


def test_a_biased_token_wins(pocket: OpenAI) -> None:
    content = ask(pocket, logit_bias={"300": 100}, max_tokens=3).choices[0].message.content
    assert content == content[: len(content) // 3] * 3
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pocket, logit_bias={"99999999": 1})
    assert caught.value.param == "logit_bias"


def test_a_model_of_text_takes_no_pictures(pocket: OpenAI) -> None:
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": RED}}]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pocket, parts)  # type: ignore[arg-type]
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == "messages[0].content[1].image_url.url"


# --- tools ----------------------------------------------------------------------------------------


def streamed_calls(chunks: Any) -> tuple[list[tuple[str, str, str]], str]:
    """The calls of a stream put together as OpenAI's clients do it, and why it ended."""
    found: dict[int, list[str]] = {}
    reason = ""
    for chunk in chunks:
        choice = chunk.choices[0]
        for delta in choice.delta.tool_calls or ():
            call = found.setdefault(delta.index, ["", "", ""])
            call[0] += delta.id or ""
            call[1] += delta.function.name or ""
            call[2] += delta.function.arguments or ""
        reason = choice.finish_reason or reason
    return [(call[0], call[1], call[2]) for call in found.values()], reason


def is_valid(name: str, arguments: str) -> bool:
    """Whether a call follows its tool's schema."""
    return set(json.loads(arguments)) == KEYS[name]


@pytest.mark.parametrize("stream", [False, True])
def test_the_model_calls_what_it_was_taught_to_call(pocket: OpenAI, stream: bool) -> None:
    answer = ask(pocket, ROME, tools=[WEATHER, ADD], stream=stream)
    if stream:
        calls, reason = streamed_calls(answer)
    else:
        found = answer.choices[0].message.tool_calls
        calls = [(call.id, call.function.name, call.function.arguments) for call in found]
        reason = answer.choices[0].finish_reason
        assert answer.choices[0].message.content is None
    assert [(name, json.loads(said)) for _, name, said in calls] == [
        ("get_weather", {"city": "Rome"})
    ]
    assert reason == "tool_calls" and calls[0][0]


def test_a_model_that_need_not_call_answers(pocket: OpenAI) -> None:
    choice = ask(pocket, FRANCE, tools=[WEATHER]).choices[0]
    assert choice.message.content and not choice.message.tool_calls


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("text", [ROME, "Hello there!", "Sing!"])
@pytest.mark.parametrize("choice", ["required", NAMED])
def test_a_forced_call_is_always_valid(
    pocket: OpenAI, choice: Any, text: str, parallel: bool
) -> None:
    given: Any = {"tools": [WEATHER, ADD], "tool_choice": choice, "parallel_tool_calls": parallel}
    given |= {"temperature": 1, "seed": 5, "max_tokens": 200}
    answer = ask(pocket, text, **given).choices[0]
    calls, reason = streamed_calls(ask(pocket, text, stream=True, **given))
    whole = [(call.function.name, call.function.arguments) for call in answer.message.tool_calls]
    assert whole and calls
    for name, arguments in [*whole, *((name, said) for _, name, said in calls)]:
        assert is_valid(name, arguments)
        assert choice == "required" or name == "add"
    if not parallel:
        assert len(whole) == len(calls) == 1
    assert answer.finish_reason == reason == ("stop" if choice == NAMED else "tool_calls")


def test_a_conversation_with_tools_comes_to_its_end(pocket: OpenAI) -> None:
    messages: list[Any] = user(ROME)
    for _ in range(3):
        reply = pocket.chat.completions.create(
            model="pocket",
            messages=messages,
            tools=[WEATHER],  # type: ignore[list-item]
            temperature=0,
        )
        message = reply.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            break
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "It is sunny, 24 degrees."}
            for call in message.tool_calls
        ]
    assert "sunny" in (messages[-1].content or "")


def test_tools_and_a_structure_go_together(pocket: OpenAI) -> None:
    strict = {**WEATHER, "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
    parsed = pocket.chat.completions.parse(
        model="pocket",
        messages=user("Hello there!"),
        tools=[strict],  # type: ignore[list-item]
        response_format=Size,
        temperature=0,
        max_tokens=60,
    )
    message = parsed.choices[0].message
    assert isinstance(message.parsed, Size) or message.tool_calls


# --- completions ----------------------------------------------------------------------------------


def test_echo_and_logprobs_cover_prompt_and_answer(pocket: OpenAI) -> None:
    choice = complete(pocket, logprobs=2, echo=True, max_tokens=3).choices[0]
    found = choice.logprobs
    assert choice.text.startswith("The capital of France is P")
    assert "".join(found.tokens) == choice.text
    assert found.token_logprobs[0] is None and all(x <= 0 for x in found.token_logprobs[1:])
    starts = [choice.text[at:] for at in found.text_offset]
    assert all(rest.startswith(token) for rest, token in zip(starts, found.tokens, strict=True))
    assert all(2 <= len(top) <= 3 for top in found.top_logprobs[1:])


@pytest.mark.parametrize(
    ("prompt", "count"), [("Hi", 1), (["Hi", "Ho"], 2), ([400, 401], 1), ([[400], [401, 402]], 2)]
)
def test_a_prompt_has_four_forms(pocket: OpenAI, prompt: Any, count: int) -> None:
    answer = complete(pocket, prompt, n=2)
    assert [choice.index for choice in answer.choices] == list(range(2 * count))
    chunks = complete(pocket, prompt, n=2, stream=True)
    texts = [""] * (2 * count)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in answer.choices]


def test_best_of_ranks_by_likelihood(pocket: OpenAI) -> None:
    given = {"temperature": 1.5, "seed": 3, "best_of": 6, "n": 6, "logprobs": 0, "max_tokens": 6}
    every = complete(pocket, "The", **given)
    best = complete(pocket, "The", **given | {"n": 1})

    def mean(choice: Any) -> float:
        return sum(choice.logprobs.token_logprobs) / max(1, len(choice.logprobs.token_logprobs))

    assert best.choices[0].text == max(every.choices, key=mean).text
    assert best.usage.completion_tokens == every.usage.completion_tokens


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"suffix": "the end"}, "suffix"),
        ({"prompt": [2**31 - 1]}, "prompt"),
        ({"prompt": [99999]}, "prompt"),
        ({"prompt": "word " * 5000}, "prompt"),
        ({"max_tokens": 100_000}, "prompt"),
        ({"logit_bias": {"50000": 5}}, "logit_bias"),
    ],
)
def test_what_the_engine_cannot_do_is_a_400(pocket: OpenAI, more: Any, param: str) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            complete(pocket, **more, stream=stream)
        assert caught.value.param == param
    assert "Paris" in complete(pocket).choices[0].text
