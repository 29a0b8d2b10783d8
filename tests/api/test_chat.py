"""/v1/chat/completions through the current openai client and by hand."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.api.asking import CHAT, chat, error_of, events, user


def test_a_question_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=user("one two three"))
    assert answer.choices[0].message.content == "0:one 1:two 2:three "
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
    assert answer.usage.total_tokens == 6
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "echo"


async def test_the_async_client_streams(async_client: AsyncOpenAI) -> None:
    stream = await async_client.chat.completions.create(
        model="echo", messages=user("one two"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert said == ["0:one ", "1:two "]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 2
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


def test_the_stream_helper_puts_the_answer_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="echo", messages=user("one two")) as stream:
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content == "0:one 1:two "


def test_a_stream_is_exact_to_the_byte(http: httpx.Client) -> None:
    response = chat(http, stream=True, max_tokens=1)
    head, said, finish, done, rest = response.text.split("\n\n")
    begin = said[: said.index('"choices"')]
    assert said == (
        f'{begin}"choices":[{{"index":0,"delta":{{"content":"0:one "}},"logprobs":null,'
        '"finish_reason":null}]}'
    )
    assert head.startswith(begin) and '"role":"assistant","content":""' in head
    assert finish.endswith('"delta":{},"logprobs":null,"finish_reason":"length"}]}')
    assert (done, rest) == ("data: [DONE]", "")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


def test_text_that_breaks_line_readers_is_escaped(http: httpx.Client) -> None:
    word = "a\u2028b\u0085é"
    response = http.post(CHAT, json={"messages": user("x" + word[3:]), "stream": True})
    assert response.text.isascii()
    assert events(response)[1]["choices"][0]["delta"]["content"].startswith("0:x")


def test_usage_is_null_until_the_last_chunk(http: httpx.Client) -> None:
    found = events(chat(http, stream=True, stream_options={"include_usage": True}))
    *before, last, done = found
    assert done == "[DONE]"
    assert all(each["usage"] is None for each in before)
    assert last["usage"]["total_tokens"] == 6
    assert all("usage" not in each for each in events(chat(http, stream=True))[:-1])


def test_n_answers_are_numbered(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=user("one"), n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"0:one "}
    assert answer.usage is not None and answer.usage.completion_tokens == 3


def test_n_answers_stream_side_by_side(http: httpx.Client) -> None:
    found = events(chat(http, stream=True, n=2))[:-1]
    texts = {0: "", 1: ""}
    for each in found:
        choice = each["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == {0: "0:one 1:two 2:three ", 1: "0:one 1:two 2:three "}
    assert sum(each["choices"][0]["finish_reason"] == "stop" for each in found) == 2


def test_logprobs_name_the_chosen_token_and_alternatives(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="echo", messages=user("one"), logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    token = logprobs.content[0]
    assert (token.token, token.logprob) == ("0:one ", 0.0)
    assert bytes(token.bytes or []) == b"0:one "
    assert len(token.top_logprobs) == 2


def test_logprobs_stream_with_their_token(http: httpx.Client) -> None:
    found = events(chat(http, stream=True, logprobs=True, max_tokens=1))
    assert found[1]["choices"][0]["logprobs"]["content"][0]["token"] == "0:one "
    assert found[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_answer_ends_at_the_limit(http: httpx.Client, name: str) -> None:
    choice = chat(http, **{name: 2}).json()["choices"][0]
    assert choice["message"]["content"] == "0:one 1:two "
    assert choice["finish_reason"] == "length"


def test_content_parts_are_text_too(http: httpx.Client) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    response = http.post(CHAT, json={"messages": [{"role": "user", "content": parts}]})
    assert response.json()["choices"][0]["message"]["content"] == "0:one 1:two "


def test_every_role_may_speak(http: httpx.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": "be kind", "name": "boss"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        {"role": "assistant", "content": "it is 42", "refusal": None, "reasoning_content": "hm"},
        {"role": "user", "content": "thanks"},
    ]
    response = http.post(CHAT, json={"messages": messages})
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "0:thanks "


def test_what_was_answered_can_be_sent_back(client: OpenAI) -> None:
    first = client.chat.completions.create(model="echo", messages=user("one"))
    messages = [*user("one"), first.choices[0].message.model_dump(), *user("two")]
    second = client.chat.completions.create(model="echo", messages=messages)  # type: ignore[arg-type]
    assert second.choices[0].message.content == "0:two "


def test_the_default_model_answers_when_none_is_named(http: httpx.Client) -> None:
    assert chat(http).json()["model"] == "echo"
    assert chat(http, model=None).json()["model"] == "echo"
    assert chat(http, model="gpt-test").json()["model"] == "echo"


def test_null_means_left_out(http: httpx.Client) -> None:
    names = ["n", "stop", "tools", "stream", "stream_options", "logit_bias", "response_format"]
    assert chat(http, **dict.fromkeys(names)).status_code == 200


def test_every_known_parameter_is_taken(http: httpx.Client) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    response = chat(
        http,
        temperature=0,
        top_p=0,
        seed=-5,
        stop=["never"],
        presence_penalty=-2,
        frequency_penalty=2,
        logit_bias={"5": 100},
        response_format={"type": "text"},
        tools=[tool],
        tool_choice="none",
        parallel_tool_calls=False,
        reasoning_effort="low",
        top_k=-1,
        min_p=0.1,
        repetition_penalty=1.1,
        min_tokens=0,
        ignore_eos=False,
        chat_template_kwargs={"enable_thinking": False},
        modalities=["text"],
    )
    assert response.status_code == 200, response.text
    assert "x-llms-ignored" not in response.headers


def test_what_an_engine_cannot_do_is_refused(http: httpx.Client) -> None:
    response = chat(http, response_format={"type": "json_object"})
    error = error_of(response)
    assert response.status_code == 400
    assert (error["param"], error["code"]) == ("response_format", "unsupported_parameter")
