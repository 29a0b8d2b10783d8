"""Hugging Face's inference API in front of our models, as its own client sees it."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import httpx
import hypothesis
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, ValidationError
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference.catalogue import PIPELINE_TASKS
from inference.engines.pipelines.program import KINDS as PROGRAMS
from inference.errors import InferenceError
from inference.requests import Media
from inference.samples import sample
from playground.api.hf import kinds, reading
from playground.api.hf.description import document
from playground.api.hf.reading import from_json
from playground.errors import BadValue, WebError
from tests.servers import RunningServer
from tests.tiny_tasks import samples

PICTURE = base64.b64encode(samples.picture()).decode()


def client(server: RunningServer, model: str) -> InferenceClient:
    return InferenceClient(model=f"{server.url}/hf/models/{model}", timeout=60)


def refused(body: dict[str, Any], task: str) -> BadValue:
    """Why a body is no question for a model of this task."""
    with pytest.raises(BadValue) as caught:
        from_json(body, task)
    return caught.value


# --- models that write and embed, through the Hub's client ----------------------------------------


def test_text_is_generated(server: RunningServer) -> None:
    found = client(server, "echo").text_generation("one two three", max_new_tokens=2)
    assert found == "0:one 1:two "


def test_text_is_generated_with_details(server: RunningServer) -> None:
    found = client(server, "echo").text_generation(
        "one two", max_new_tokens=2, details=True, return_full_text=True
    )
    assert found.generated_text == "one two0:one 1:two "
    assert found.details.finish_reason == "eos_token" and found.details.generated_tokens == 2
    assert [token.text for token in found.details.tokens] == ["0:one ", "1:two "]


def test_text_is_streamed(server: RunningServer) -> None:
    # The client closes its streams when it is forgotten.
    asked = client(server, "echo")
    pieces = list(asked.text_generation("a b c d", max_new_tokens=3, stream=True))
    assert pieces == ["0:a ", "1:b ", "2:c "]
    events = list(asked.text_generation("a b c", max_new_tokens=2, stream=True, details=True))
    assert [event.index for event in events] == [1, 2]
    assert events[0].details is None and events[-1].generated_text == "0:a 1:b "
    assert events[-1].details.finish_reason == "length"


def test_a_chat_goes_where_the_client_sends_it(server: RunningServer) -> None:
    question = [{"role": "user", "content": "hello you there"}]
    asked = client(server, "echo")
    whole = asked.chat_completion(question, max_tokens=2)
    assert whole.choices[0].message.content == "0:hello 1:you "
    pieces = asked.chat_completion(question, max_tokens=2, stream=True)
    said = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert said == "0:hello 1:you "


def test_vectors_and_how_near_they_are(server: RunningServer) -> None:
    vectors = client(server, "echo-embed").feature_extraction(["a cat", "a dog"])
    assert vectors.shape[0] == 2
    near = client(server, "echo-embed").sentence_similarity("a cat", ["a cat", "tea"])
    assert near[0] == pytest.approx(1) and near[1] < near[0]


# --- refusals -------------------------------------------------------------------------------------


def test_a_refusal_is_told_in_both_ways(server: RunningServer) -> None:
    with pytest.raises(BadRequestError, match="normalized") as caught:
        client(server, "echo-embed").feature_extraction("a", normalize=False)
    body = caught.value.response.json()
    assert body["error"] == "The vectors of this model are normalized."
    assert body["param"] == "parameters.normalize"
    assert (body["type"], body["code"]) == ("invalid_request_error", "unsupported_parameter")
    assert body["error_type"] == "validation"
    with pytest.raises(ValidationError, match="parameters.max_new_tokens"):
        client(server, "echo").text_generation("a", max_new_tokens=0)


def test_an_unknown_model_is_one(server: RunningServer) -> None:
    with pytest.raises(HfHubHTTPError, match="does not exist") as caught:
        client(server, "nobody/nothing").fill_mask("a")
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize("path", ["/hf", "/hf/", "/hf/models", "/hf/nowhere/at/all"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_other_paths_say_so_in_json(http: httpx.Client, path: str, method: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_url"


def test_a_method_that_is_not_there(http: httpx.Client) -> None:
    answer = http.put("/hf/models/echo", json={})
    assert answer.status_code == 405 and "Not allowed to PUT" in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "inputs"),
        ({"inputs": 7}, "inputs"),
        ({"inputs": ""}, "inputs"),
        ({"inputs": "a", "parameters": []}, "parameters"),
        ({"inputs": "a", "parameters": {"tok_k": 3}}, "parameters.tok_k"),
        ({"inputs": "a", "parameters": {"top_k": "3"}}, "parameters.top_k"),
        ({"inputs": "a", "parameters": {"top_k": 10**9}}, "parameters.top_k"),
        ({"inputs": "a", "parameters": {"temperature": True}}, "parameters.temperature"),
        ({"inputs": "a", "parameters": {"grammar": {"type": "x"}}}, "parameters.grammar.type"),
        ({"inputs": "a", "parameters": {"watermark": True}}, "parameters.watermark"),
        ({"inputs": "a", "colour": "red"}, "colour"),
        ({"inputs": "a", "stream": "yes"}, "stream"),
    ],
)
def test_each_field_of_text_is_checked(http: httpx.Client, body: Any, param: str) -> None:
    answer = http.post("/hf/models/echo", json=body)
    assert answer.status_code == 400 and answer.json()["param"] == param


@pytest.mark.parametrize(
    ("task", "body", "param"),
    [
        ("image-classification", {"inputs": "%%%"}, "inputs"),
        ("image-classification", {"inputs": "http://127.0.0.1/a.png"}, "inputs"),
        ("automatic-speech-recognition", {"inputs": "https://example.com/a.wav"}, "inputs"),
        ("question-answering", {"inputs": {"question": "a"}}, "inputs.context"),
        ("question-answering", {"inputs": {"question": "a", "context": 7}}, "inputs.context"),
        ("question-answering", {"inputs": {"colour": "a"}}, "inputs.colour"),
        ("zero-shot-classification", {"inputs": "a"}, "parameters.candidate_labels"),
        (
            "zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": "a, b"}},
            "parameters.candidate_labels",
        ),
        ("keypoint-matching", {"inputs": [PICTURE]}, "inputs"),
        ("table-question-answering", {"inputs": {"query": "a", "table": []}}, "inputs.table"),
        (
            "table-question-answering",
            {"inputs": {"query": "a", "table": {"x": [None]}}},
            "inputs.table.x[0]",
        ),
        (
            "summarization",
            {"inputs": "a", "parameters": {"generate_parameters": {"num_beams": 99}}},
            "parameters.generate_parameters.num_beams",
        ),
        (
            "summarization",
            {"inputs": "a", "parameters": {"generate_parameters": {"assistant_model": "b"}}},
            "parameters.generate_parameters.assistant_model",
        ),
        (
            "token-classification",
            {"inputs": "a", "parameters": {"aggregation_strategy": "best"}},
            "parameters.aggregation_strategy",
        ),
        ("any-to-any", {"inputs": [{"role": "user"}]}, "inputs[0].content"),
        (
            "image-text-to-text",
            {"inputs": [{"role": "user", "content": [{"type": "image", "url": "a"}]}]},
            "inputs[0].content[0].image",
        ),
    ],
)
def test_each_field_of_a_task_is_checked(task: str, body: Any, param: str) -> None:
    assert refused(body, task).param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("task", PIPELINE_TASKS)
@hypothesis.settings(max_examples=20, deadline=None, database=None)
@hypothesis.given(data=st.data())
def test_no_body_is_more_than_refused(task: str, data: st.DataObject) -> None:
    known = sorted(kinds.parameters_of(task)) or ["none"]
    parameters = data.draw(st.dictionaries(st.sampled_from(known), JSON, max_size=4) | JSON)
    inputs = data.draw(st.just(wired(sample(task)[0])) | JSON)
    with contextlib.suppress(WebError, InferenceError):
        from_json({"inputs": inputs, "parameters": parameters}, task)


# --- the types ------------------------------------------------------------------------------------


def test_every_task_has_its_types() -> None:
    assert set(kinds.KINDS) == set(PIPELINE_TASKS) == set(PROGRAMS)
    for task, kind in kinds.KINDS.items():
        assert isinstance(kinds.parameters_of(task), dict)
        if kind.output:
            assert kinds.fields_of(kind.output)


def wired(value: Any) -> Any:
    """Inputs as JSON carries them."""
    if isinstance(value, Media):
        return base64.b64encode(value.data).decode()
    if isinstance(value, dict):
        return {name: wired(each) for name, each in value.items()}
    return [wired(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("task", PIPELINE_TASKS)
def test_a_sample_of_each_task_passes_the_checks_unchanged(task: str) -> None:
    inputs, parameters = sample(task)
    body = {"inputs": wired(inputs), "parameters": dict(parameters)}
    found = from_json(body, task)
    assert wired(found.inputs) == wired(inputs) and found.parameters == parameters


@pytest.mark.parametrize("text", [PICTURE, f"data:image/png;base64,{PICTURE}"])
def test_bytes_come_in_base64(text: str) -> None:
    found = from_json({"inputs": text}, "image-classification")
    assert found.inputs == Media(samples.picture(), "image/png")


def test_an_address_is_left_to_be_fetched_where_the_operator_allows_it(
    settings: Settings,
) -> None:
    settings.REMOTE_MEDIA = True
    address = "https://example.com/a.png"
    found = from_json({"inputs": address}, "image-classification")
    assert found.inputs == reading.Remote(address, "inputs")
    assert refused({"inputs": address}, "audio-classification").param == "inputs"


def test_the_description_names_every_task_and_parameter(http: httpx.Client) -> None:
    found = http.get("/hf/openapi.json").json()
    assert found == document()
    schemas = found["components"]["schemas"]
    titles = {each["title"]: each for each in schemas.values()}
    for task in kinds.KINDS:
        properties = titles[task]["properties"]["parameters"]["properties"]
        assert set(properties) == set(kinds.parameters_of(task))
    assert titles["zero-shot-classification"]["required"] == ["inputs", "parameters"]
