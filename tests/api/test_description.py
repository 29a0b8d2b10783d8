"""/v1/openapi.json tells the truth: about every route, every field, every answer."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema
import pytest
from django.test import AsyncRequestFactory
from drf_spectacular.validation import validate_schema
from pytest_django.fixtures import Settings

from playground.api import urls, views
from playground.api.audio import urls as audio_urls
from playground.api.description import requests
from playground.api.description.operations import OPERATIONS, Operation
from playground.api.description.requests import body_schema
from playground.api.description.view import DocumentView, document_bytes
from playground.api.description.words import DEFAULTS, WORDS
from playground.api.fields import Anything
from playground.api.parameters import ENDPOINTS, _has_effect
from tests.api.asking import error_of, events
from tests.api.described import component, whole

ROUTES = [*audio_urls.urlpatterns, *urls.urlpatterns]
VIEWS = {pattern.callback.cls: pattern for pattern in ROUTES}
OPERATIONS_BY_PATH = [
    (path, method, operation)
    for path, methods in whole()["paths"].items()
    for method, operation in methods.items()
]
ROWS = {row.id: row for row in OPERATIONS.values()}
EXAMPLES = [
    (
        path.replace("{model}", example["value"].get("model", "echo")),
        ROWS[re.sub("_by_engine$|_at_root$", "", operation["operationId"])],
        example["value"],
    )
    for path, method, operation in OPERATIONS_BY_PATH
    if method == "post"
    for content in operation["requestBody"]["content"].values()
    for example in content.get("examples", {}).values()
]


def valid(body: Any, name: str) -> None:
    """Fails when the body is not exactly what the component says."""
    jsonschema.Draft202012Validator(component(name)).validate(body)


def test_the_document_is_valid_openapi() -> None:
    validate_schema(whole())
    assert whole()["openapi"].startswith("3.1")


def test_every_view_is_described() -> None:
    assert set(VIEWS) - {views.UnknownView} == set(OPERATIONS)
    assert len(OPERATIONS_BY_PATH) == len(ROUTES) - 1 + len(urls.root_patterns)
    assert len({operation["operationId"] for _, _, operation in OPERATIONS_BY_PATH}) == len(
        OPERATIONS_BY_PATH
    )


def test_every_field_is_described() -> None:
    serializers = [view.serializer_class for view in VIEWS if hasattr(view, "serializer_class")]
    assert serializers
    for serializer in serializers:
        for name, field in serializer.shared().fields.items():
            known = isinstance(field, Anything) or field.check in requests.SCHEMAS
            assert known, f"{serializer.__name__}.{name}: add its check to SCHEMAS"


def test_every_field_with_an_effect_is_explained() -> None:
    explained = {
        name
        for serializer in ENDPOINTS.values()
        for name, field in serializer.shared().fields.items()
        if _has_effect(serializer, name, field)
    }
    assert explained == set(WORDS) and set(DEFAULTS) <= explained
    chat = body_schema(ENDPOINTS["chat.completions"].shared(), [["messages"]])["properties"]
    assert chat["temperature"]["description"] == WORDS["temperature"]
    assert chat["user"]["description"] == "Accepted without effect."


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(whole())
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(whole()["components"]["schemas"])


def test_the_document_is_served_as_built(http: httpx.Client) -> None:
    response = http.get("/v1/openapi.json")
    assert response.json() == whole()
    assert response.headers["content-type"] == "application/json"


async def test_it_is_built_once() -> None:
    assert await document_bytes() is await document_bytes()


async def test_nobody_needs_a_key_for_it(settings: Settings) -> None:
    settings.AUTH_MODE = "key"
    response = await DocumentView.as_view()(AsyncRequestFactory().get("/v1/openapi.json"))
    assert response.status_code == 200


@pytest.mark.parametrize(("path", "row", "body"), EXAMPLES)
def test_every_example_runs(
    http: httpx.Client, path: str, row: Operation, body: dict[str, Any]
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text
    if not body.get("stream"):
        valid(response.json(), row.answer)
        return
    *pieces, done = events(response)
    assert done == "[DONE]"
    for piece in pieces:
        valid(piece, row.chunk)


@pytest.mark.parametrize(("path", "row", "body"), EXAMPLES)
def test_required_fields_are_all_that_is_required(
    http: httpx.Client, path: str, row: Operation, body: dict[str, Any]
) -> None:
    names = next(names for names in row.required if set(names) <= set(body))
    needed = {key: body[key] for key in body if key in (*names, "model")}
    assert http.post(path, json=needed).status_code == 200
    for key in names:
        refusal = http.post(path, json={k: v for k, v in needed.items() if k != key})
        assert error_of(refusal)["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models", "ModelList"),
        ("/v1/models/echo", "ModelDetail"),
        ("/v1/models/echo-embed", "ModelDetail"),
        ("/v1/engines", "EngineList"),
        ("/v1/engines/echo", "Engine"),
        ("/v1/models/nope", "Error"),
        ("/v1/nowhere", "Error"),
    ],
)
def test_answers_are_what_the_document_says(http: httpx.Client, path: str, name: str) -> None:
    valid(http.get(path).json(), name)
