"""Vectors and scores of real models in real engines, against transformers run directly."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from bench.embedding_model import WORDS, save_bert
from tests.api.asking import error_of
from tests.servers import RunningServer, wait_until

pytestmark = pytest.mark.engine

CONTEXT = 64
SHAPE = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    # Wider than the usual 0.02, so that random weights tell texts apart.
    "initializer_range": 0.2,
}
TEXTS = [" ".join(WORDS[i : i + 3 + i]) for i in range(8)]
ADD = """
from inference.models import CatalogueRow
CatalogueRow.objects.create(id={id!r}, source={source!r}, task={task!r}, dtype="float32")
"""


def add_model(server: RunningServer, name: str, folder: Path, task: str) -> None:
    """Put a model on a running server and wait until it is loaded."""
    server.shell(ADD.format(id=name, source=str(folder), task=task))
    listed = f"{server.url}/v1/models/{name}"
    wait_until(lambda: httpx.get(listed).status_code == 200, 10, "the card is in force")
    ask = {"model": name, "text_1": "a", "text_2": "b"}
    asked = httpx.post(f"{server.url}/v1/score", json=ask, timeout=240)
    assert asked.status_code == 200, f"{asked.text}\n{server.log.read_text()}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT whose vectors may be cut to 16 or 32."""
    found = tmp_path_factory.mktemp("tiny-embed")
    save_bert(found, context=CONTEXT, matryoshka_dimensions=[16, 32], **SHAPE)
    return found


@pytest.fixture(scope="module")
def embedder(server: RunningServer, folder: Path) -> RunningServer:
    """The shared server with that model loaded."""
    add_model(server, "tiny-embed", folder, "embedding")
    return server


@pytest.fixture
def vectors(embedder: RunningServer) -> Iterator[Callable[..., Any]]:
    """Ask the openai client for vectors."""
    with OpenAI(base_url=f"{embedder.url}/v1", api_key="x", max_retries=0) as client:

        def ask(given: Any, **more: Any) -> Any:
            return client.embeddings.create(model="tiny-embed", input=given, **more)

        yield ask


def directly(folder: Path, texts: list[str], dimensions: int | None = None) -> list[list[float]]:
    """What transformers makes of the texts: the first token's state, at length one."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.inference_mode():
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        states = model.eval()(**batch).last_hidden_state[:, 0, :dimensions]
        return torch.nn.functional.normalize(states).tolist()


def close(left: list[list[float]], right: list[list[float]]) -> bool:
    return all(a == pytest.approx(b, abs=1e-3) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_vectors_are_those_of_transformers(
    vectors: Callable[..., Any], folder: Path, form: str | None
) -> None:
    import base64
    import struct

    more = {} if form is None else {"encoding_format": form}
    found = [each.embedding for each in vectors(TEXTS, **more).data]
    if form == "base64":
        found = [list(struct.unpack("<64f", base64.b64decode(each))) for each in found]
    expected = directly(folder, TEXTS)
    assert close(found, expected)
    # Else equality would say nothing.
    assert not close(expected[:1], expected[1:2])


def test_token_ids_give_the_vector_of_their_text(
    vectors: Callable[..., Any], embedder: RunningServer
) -> None:
    asked = {"model": "tiny-embed", "prompt": TEXTS[0]}
    ids = httpx.post(f"{embedder.url}/tokenize", json=asked).json()["tokens"]
    answer = vectors([ids, ids])
    whole = vectors(TEXTS[0])
    assert close([each.embedding for each in answer.data], [whole.data[0].embedding] * 2)
    assert answer.usage.prompt_tokens == 2 * len(ids) == 2 * whole.usage.total_tokens


def test_dimensions_are_those_that_the_model_was_made_for(
    vectors: Callable[..., Any], folder: Path
) -> None:
    found = vectors(TEXTS[0], dimensions=16).data[0].embedding
    assert close([found], directly(folder, TEXTS[:1], 16))
    assert len(vectors(TEXTS[0], dimensions=64).data[0].embedding) == 64
    for wrong in (17, 65):
        with pytest.raises(openai.BadRequestError) as caught:
            vectors("x", dimensions=wrong)
        assert caught.value.param == "dimensions"
        assert "/tmp" not in caught.value.message


def test_a_text_beyond_the_context_is_refused_or_cut(
    vectors: Callable[..., Any], folder: Path
) -> None:
    long = " ".join(WORDS[:200])
    for given in (long, ["fine", long], [[5] * (CONTEXT + 1)], "x" * 1_000_000):
        with pytest.raises(openai.BadRequestError) as caught:
            vectors(given)
        assert caught.value.code == "context_length_exceeded"
        assert caught.value.param == "input"
    cut = vectors(long, extra_body={"truncate_prompt_tokens": -1})
    assert cut.usage.prompt_tokens == CONTEXT
    fitting = vectors(" ".join(WORDS[: CONTEXT - 2])).data[0].embedding
    assert close([cut.data[0].embedding], [fitting])


def test_ids_that_are_not_in_the_vocabulary_are_refused(vectors: Callable[..., Any]) -> None:
    for wrong in ([1000], [[5], [2**31 - 1]]):
        with pytest.raises(openai.BadRequestError) as caught:
            vectors(wrong)
        assert caught.value.param == "input"
    assert vectors("fine").data


def test_documents_are_ranked_by_how_near_their_vectors_are(
    embedder: RunningServer, folder: Path
) -> None:
    query, *documents = directly(folder, TEXTS)
    expected = [sum(a * b for a, b in zip(query, each, strict=True)) for each in documents]
    asked = {"model": "tiny-embed", "query": TEXTS[0], "documents": TEXTS[1:]}
    body = httpx.post(f"{embedder.url}/v1/rerank", json=asked, timeout=30).json()
    order = sorted(range(7), key=lambda i: -expected[i])
    assert [each["index"] for each in body["results"]] == order
    for each in body["results"]:
        assert each["relevance_score"] == pytest.approx(expected[each["index"]], abs=1e-3)


def test_callers_meet_in_one_batch_and_keep_their_vectors(vectors: Callable[..., Any]) -> None:
    alone = {text: vectors(text).data[0].embedding for text in TEXTS}
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: (TEXTS[i % 8], vectors(TEXTS[i % 8])), range(160)))
    for text, answer in found:
        assert close([answer.data[0].embedding], [alone[text]])


def test_a_caller_who_leaves_frees_the_place(embedder: RunningServer) -> None:
    def leave() -> None:
        asked = {"model": "tiny-embed", "input": [TEXTS[7]] * 2048}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{embedder.url}/v1/embeddings", json=asked, timeout=0.3)

    callers = [threading.Thread(target=leave) for _ in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    wait_until(lambda: embedder.model("tiny-embed")["running"] == 0, 2, "all places are free")
    began = time.monotonic()
    asked = {"model": "tiny-embed", "input": "still there"}
    assert httpx.post(f"{embedder.url}/v1/embeddings", json=asked).status_code == 200
    assert time.monotonic() - began < 2


def test_an_embedding_model_does_not_chat(embedder: RunningServer) -> None:
    asked = {"model": "tiny-embed", "messages": [{"role": "user", "content": "x"}]}
    response = httpx.post(f"{embedder.url}/v1/chat/completions", json=asked)
    assert response.status_code == 400
    assert error_of(response)["param"] == "model"


@pytest.mark.slow
def test_scores_of_pairs_are_those_of_transformers(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("tiny-rerank")
    save_bert(folder, scores=True, context=CONTEXT, **SHAPE)
    add_model(server, "tiny-rerank", folder, "rerank")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        batch = tokenizer([TEXTS[0]] * 7, TEXTS[1:], padding=True, return_tensors="pt")
        expected = model(**batch).logits[:, 0].sigmoid().tolist()
    assert max(expected) - min(expected) > 0.01
    asked = {"model": "tiny-rerank", "text_1": TEXTS[0], "text_2": TEXTS[1:]}
    body = httpx.post(f"{server.url}/v1/score", json=asked, timeout=30).json()
    assert [each["score"] for each in body["data"]] == pytest.approx(expected, abs=1e-3)
    assert body["usage"]["prompt_tokens"] == int(batch["attention_mask"].sum())
    long = asked | {"text_2": ["fine", " ".join(WORDS[:200])]}
    refused = httpx.post(f"{server.url}/v1/score", json=long)
    assert error_of(refused)["code"] == "context_length_exceeded"
    cut = httpx.post(f"{server.url}/v1/score", json=long | {"truncate_prompt_tokens": -1})
    assert len(cut.json()["data"]) == 2
    huge = httpx.post(f"{server.url}/v1/score", json=asked | {"text_1": "x" * 5_000_000})
    assert error_of(huge)["code"] == "context_length_exceeded"
    unlike = httpx.post(f"{server.url}/v1/embeddings", json={"model": "tiny-rerank", "input": "x"})
    assert unlike.status_code == 400


@pytest.mark.slow
def test_a_model_that_cannot_do_its_task_says_so(server: RunningServer, folder: Path) -> None:
    """A reranker's card over a model that is none would give scores that mean nothing."""
    scorer = folder.parent / "two-labels"
    save_bert(scorer, scores=True, context=CONTEXT, **SHAPE)
    server.shell(ADD.format(id="no-embed", source=str(scorer), task="embedding"))
    wait_until(lambda: httpx.get(f"{server.url}/v1/models/no-embed").status_code == 200)
    asked = {"model": "no-embed", "input": "x"}
    response = httpx.post(f"{server.url}/v1/embeddings", json=asked, timeout=240)
    assert response.status_code == 503
    assert "embedding" in error_of(response)["message"]


def test_vectors_have_length_one(vectors: Callable[..., Any]) -> None:
    assert math.hypot(*vectors("fine").data[0].embedding) == pytest.approx(1, abs=1e-4)
