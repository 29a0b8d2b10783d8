"""/v1/embeddings through the current openai client and by hand."""

from __future__ import annotations

import base64
import math
import struct
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse

from inference.engines.vllm_pooling import _dimensions
from inference.errors import UnsupportedParameter
from tests.api.asking import chat, error_of, text
from tests.api.test_conformance import conforms

EMBED = "/v1/embeddings"
MODEL = "echo-embed"


def embed(http: httpx.Client, **more: Any) -> httpx.Response:
    """The vector of a short text."""
    return http.post(EMBED, json={"model": MODEL, "input": "one two three"} | more)


def test_a_text_becomes_a_vector_of_length_one(client: OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="one two three")
    assert (answer.object, answer.model, len(answer.data)) == ("list", MODEL, 1)
    assert (answer.data[0].object, answer.data[0].index) == ("embedding", 0)
    assert len(answer.data[0].embedding) == 64
    assert math.hypot(*answer.data[0].embedding) == pytest.approx(1)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 3)


def test_base64_and_floats_are_the_same_numbers(client: OpenAI, http: httpx.Client) -> None:
    # The client asks for base64 by itself and unpacks it.
    unpacked = client.embeddings.create(model=MODEL, input="one two").data[0].embedding
    floats = embed(http, input="one two").json()["data"][0]["embedding"]
    packed = embed(http, input="one two", encoding_format="base64").json()["data"][0]["embedding"]
    assert list(struct.unpack("<64f", base64.b64decode(packed))) == unpacked
    # Nine digits say a float32 exactly.
    assert [struct.pack("<f", each) for each in floats] == [struct.pack("<f", x) for x in unpacked]


def test_vectors_come_in_the_order_of_their_texts(http: httpx.Client) -> None:
    texts = [f"text {i}" for i in range(2048)]
    body = embed(http, input=texts).json()
    assert [each["index"] for each in body["data"]] == list(range(2048))
    assert body["usage"] == {"prompt_tokens": 4096, "total_tokens": 4096}
    one = embed(http, input=texts[1234]).json()["data"][0]["embedding"]
    assert body["data"][1234]["embedding"] == one


@pytest.mark.parametrize(("given", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a"], 1)])
def test_token_ids_are_texts_too(http: httpx.Client, given: object, count: int) -> None:
    body = embed(http, input=given).json()
    assert len(body["data"]) == count


def test_dimensions_shorten_the_vector(client: OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="one two", dimensions=8)
    assert len(answer.data[0].embedding) == 8
    assert math.hypot(*answer.data[0].embedding) == pytest.approx(1)


@pytest.mark.parametrize("more", [{}, {"input": ["a", "b"]}])
def test_embeddings_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    conforms(embed(http, **more).json(), CreateEmbeddingResponse)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [[]]}, "input[0]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": 5}, "input"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [2**31]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [2**30]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": ["x"] * 100_000}, "input"),
        ({"input": [1] * 1_000_000}, "input"),
        ({"input": [[1] * 1000] * 1000}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 65}, "dimensions"),
        ({"dimensions": 10**12}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"normalize": True}, "normalize"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
    ],
)
def test_what_cannot_be_done_names_its_parameter(
    http: httpx.Client, more: dict[str, Any], param: str
) -> None:
    response = embed(http, **more)
    assert response.status_code == 400, response.text[:500]
    assert error_of(response)["param"] == param


def test_an_input_is_needed(http: httpx.Client) -> None:
    response = http.post(EMBED, json={"model": MODEL})
    assert error_of(response)["code"] == "missing_required_parameter"


def test_a_text_beyond_the_context_is_refused_or_cut(http: httpx.Client) -> None:
    response = embed(http, input=["fine", "w " * 3000])
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"
    cut = embed(http, input=["fine", "w " * 3000], truncate_prompt_tokens=-1).json()
    assert cut["usage"]["prompt_tokens"] == 1 + 2048
    assert embed(http, truncate_prompt_tokens=2).json()["usage"]["prompt_tokens"] == 2


def test_a_chat_model_makes_no_vectors(client: OpenAI) -> None:
    for name in ("echo", "pocket"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model=name, input="x")
        assert (caught.value.param, caught.value.code) == ("model", "unsupported_parameter")


@pytest.mark.parametrize("stream", [False, True])
def test_an_embedding_model_does_not_chat(http: httpx.Client, stream: bool) -> None:
    for response in (chat(http, model=MODEL, stream=stream), text(http, model=MODEL)):
        assert response.status_code == 400
        error = error_of(response)
        assert (error["param"], error["code"]) == ("model", "unsupported_parameter")


def test_an_unknown_model_is_a_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="text-embedding-9", input="x")
    assert caught.value.code == "model_not_found"


def test_aliases_and_the_older_route_lead_to_the_model(http: httpx.Client) -> None:
    assert embed(http, model="text-embedding-test").json()["model"] == MODEL
    older = http.post(f"/v1/engines/{MODEL}/embeddings", json={"input": "x"})
    assert older.json()["model"] == MODEL


def test_ignored_parameters_are_named(http: httpx.Client) -> None:
    response = embed(http, user="me", colour="red")
    assert response.headers["x-llms-ignored"] == "user, colour"
    body = {"model": MODEL, "input": "x", "colour": "red"}
    strict = http.post(EMBED, json=body, headers={"x-llms-strict": "true"})
    assert error_of(strict)["param"] == "colour"


def test_a_model_tells_what_it_can_do(http: httpx.Client) -> None:
    def can(name: str) -> set[str]:
        return set(http.get(f"/v1/models/{name}").json()["llms"]["capabilities"])

    tokens = {"tokenize", "detokenize"}
    assert can("echo") == can("pocket") == {"chat.completions", "completions"} | tokens
    assert can(MODEL) == {"embeddings", "rerank", "score"} | tokens
    assert can("echo-rerank") == {"rerank", "score"} | tokens


async def test_many_callers_get_their_own_vectors(async_client: AsyncOpenAI) -> None:
    import asyncio

    async def one(i: int) -> list[float]:
        answer = await async_client.embeddings.create(model=MODEL, input=f"word{i}")
        return answer.data[0].embedding

    first = await asyncio.gather(*map(one, range(100)))
    again = await asyncio.gather(*map(one, reversed(range(100))))
    assert first == again[::-1]


def test_only_the_full_length_may_be_asked_of_a_model_without_matryoshka() -> None:
    config = SimpleNamespace(embedding_size=64, is_matryoshka=False)
    llm: Any = SimpleNamespace(model_config=config)
    assert _dimensions(llm, None) is _dimensions(llm, 64) is None
    with pytest.raises(UnsupportedParameter) as caught:
        _dimensions(llm, 32)
    assert caught.value.param == "dimensions"
