"""/v1/rerank and /v1/score: as at Jina, Cohere and vLLM."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.asking import error_of

DOCUMENTS = ["green tea leaves", "the cat sat down", "the cat sat on the mat"]
RERANK: dict[str, Any] = {"query": "the cat sat on a mat", "documents": DOCUMENTS}
MODELS = ["echo-rerank", "echo-embed"]


def rerank(http: httpx.Client, path: str = "/v1/rerank", **more: Any) -> httpx.Response:
    """Three documents for one query."""
    return http.post(path, json={"model": "echo-rerank", **RERANK} | more)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_the_best_document_comes_first(http: httpx.Client, path: str, model: str) -> None:
    body = rerank(http, path, model=model).json()
    assert [each["index"] for each in body["results"]] == [2, 1, 0]
    scores = [each["relevance_score"] for each in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert [each["document"]["text"] for each in body["results"]] == DOCUMENTS[::-1]
    assert body["model"] == model and body["id"].startswith("rerank-")
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] > 0


def test_fewer_results_without_their_texts(http: httpx.Client) -> None:
    body = rerank(http, top_n=2, return_documents=False).json()
    assert [set(each) for each in body["results"]] == [{"index", "relevance_score"}] * 2
    assert len(rerank(http, top_n=0).json()["results"]) == 3
    assert len(rerank(http, top_n=99).json()["results"]) == 3


def test_documents_may_be_objects(http: httpx.Client) -> None:
    wrapped = [{"text": each} for each in DOCUMENTS]
    same = rerank(http, documents=wrapped, query={"text": RERANK["query"]}).json()
    assert same["results"] == rerank(http).json()["results"]


@pytest.mark.parametrize(
    "names",
    [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")],
)
@pytest.mark.parametrize("path", ["/v1/score", "/score"])
def test_one_text_is_scored_against_many(
    http: httpx.Client, path: str, names: tuple[str, str]
) -> None:
    given = {names[0]: RERANK["query"], names[1]: DOCUMENTS}
    body = http.post(path, json={"model": "echo-rerank", **given}).json()
    assert (body["object"], [each["index"] for each in body["data"]]) == ("list", [0, 1, 2])
    ranked = {each["index"]: each["relevance_score"] for each in rerank(http).json()["results"]}
    assert {each["index"]: each["score"] for each in body["data"]} == ranked


def test_texts_are_scored_pair_by_pair(http: httpx.Client) -> None:
    pairs = {"text_1": DOCUMENTS, "text_2": DOCUMENTS}
    data = http.post("/v1/score", json={"model": "echo-embed", **pairs}).json()["data"]
    assert [each["score"] for each in data] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"query": None}, "query"),
        ({"query": ""}, "query"),
        ({"query": 5}, "query"),
        ({"query": {}}, "query.text"),
        ({"documents": None}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": ["x"] * 100_000}, "documents"),
        ({"documents": ["x", 5]}, "documents[1]"),
        ({"documents": [{"image": "x"}]}, "documents[0].text"),
        ({"top_n": -1}, "top_n"),
        ({"max_chunks_per_doc": 3}, "max_chunks_per_doc"),
        ({"model": "echo"}, "model"),
    ],
)
def test_a_bad_ranking_names_its_parameter(
    http: httpx.Client, more: dict[str, Any], param: str
) -> None:
    response = rerank(http, **more)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text_1"),
        ({"text_1": "a"}, "text_2"),
        ({"text_1": ["a", "b"], "text_2": ["c"]}, "text_1"),
        ({"text_1": ["a", "b"], "text_2": ["c"] * 3}, "text_1"),
        ({"text_1": "a", "text_2": "w " * 3000}, "documents"),
    ],
)
def test_a_bad_pair_names_its_parameter(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/score", json={"model": "echo-rerank", **body})
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_a_reranker_makes_no_vectors(http: httpx.Client) -> None:
    response = http.post("/v1/embeddings", json={"model": "echo-rerank", "input": "x"})
    assert response.status_code == 400
    assert error_of(response)["param"] == "model"
