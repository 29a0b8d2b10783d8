"""The document: drf-spectacular walks the routes, the tables beside this module say the rest."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from ..serializers import BodySerializer
from .answers import answers
from .operations import OPERATIONS, Operation
from .requests import Schema, body_schema, parts, ref

JSON = "application/json"
HEADERS: dict[str, Schema] = {
    "x-request-id": {"description": "Our id of the request."},
    "openai-processing-ms": {"description": "Milliseconds until the answer, or its beginning."},
}
NOTES: dict[str, Schema] = {
    "x-llms-ignored": {"description": "Parameters that had no effect."},
    "x-llms-model": {"description": "The model that answered in place of an unknown one."},
    "x-llms-placement": {"description": "How the model is made to fit, and its speed."},
    "x-llms-queue-seconds": {"description": "How long the request waited for its turn."},
    "x-ratelimit-limit-requests": {"description": "Places in the queue for one caller."},
    "x-ratelimit-remaining-requests": {"description": "How many of them are free."},
    "x-ratelimit-reset-requests": {"description": "About when all will be, such as 6m0s."},
}
STRICT: Schema = {
    "name": "x-llms-strict",
    "in": "header",
    "description": "`true`: a parameter without effect is a 400.",
    "schema": {"type": "string", "enum": ["true", "false"]},
}
MODEL: Schema = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "A model's id or alias; it may hold slashes.",
    "schema": {"type": "string", "minLength": 1},
    "example": "pocket",
}


def document_json() -> bytes:
    """The document as JSON. Two at once would both be right; the routes do not change."""
    return json.dumps(document(), ensure_ascii=False).encode()


def document() -> dict[str, Any]:
    """Build the description of every route under `/v1`, and of those that stand beside it too."""
    found: dict[str, Any] = Generator().get_schema(request=None, public=True)
    components = found.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **parts(), **answers()}
    components["headers"] = {
        name: {**header, "schema": {"type": "string"}} for name, header in (HEADERS | NOTES).items()
    }
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return found


class Routes(EndpointEnumerator):
    """Our routes end in an optional slash and hold ids with slashes; say them plainly."""

    def get_path_from_regex(self, path_regex: str) -> str:
        """`^v1(?:/|\\Z)^engines/(?P<model>…)/?\\Z` is `/v1/engines/{model}`."""
        plain = path_regex.replace(r"(?:/|\Z)", "/").replace(r"/?\Z", "")
        path: str = super().get_path_from_regex(plain)
        return path


class Generator(SchemaGenerator):
    """spectacular's, over our routes."""

    endpoint_inspector_cls = Routes


class Described(AutoSchema):
    """One operation, from its row in `OPERATIONS` and its view's serializer."""

    @property
    def row(self) -> Operation:
        """The row of this view."""
        return OPERATIONS[type(self.view)]

    def is_excluded(self) -> bool:
        """Only what has a row; a test sees to it that every view has one."""
        return type(self.view) not in OPERATIONS

    def get_operation(self, *args: Any, **kwargs: Any) -> Schema | None:
        """spectacular's operation with our answers, examples and headers."""
        found: Schema | None = super().get_operation(*args, **kwargs)
        if found is None:
            return None
        found["parameters"] = self._parameters()
        found["responses"] = responses(self.row)
        if self.row.body:
            content = {kind: {"schema": schema} for kind, schema in self.row.body.items()}
            found["requestBody"] = {"required": True, "content": content}
        elif body := found.get("requestBody"):
            body["required"] = True
            shown = {name: {"value": value} for name, value in self.row.examples.items()}
            body["content"][JSON]["examples"] = shown
        return {name: value for name, value in found.items() if value}

    def get_operation_id(self) -> str:
        """Unique: the routes of openai 0.28 and those beside `/v1` share views with the others."""
        if self._is_older:
            return f"{self.row.id}_by_engine"
        return self.row.id if self.path.startswith("/v1/") else f"{self.row.id}_at_root"

    def get_summary(self) -> str:
        """One line."""
        return self.row.summary

    def get_tags(self) -> list[str]:
        """The heading it stands under."""
        return ["Engines"] if self._is_older else [self.row.tag]

    def get_auth(self) -> list[Schema]:
        """In open mode a key is welcome and not asked for."""
        if self.row.public:
            return []
        key: Schema = {"key": []}
        return [key] if settings.AUTH_MODE == "key" else [{}, key]

    def get_request_serializer(self) -> Any:
        """JSON, whatever the content type says."""
        return {JSON: getattr(self.view, "serializer_class", None)}

    def get_response_serializers(self) -> Any:
        """Said in `responses`."""
        return {}

    def _map_serializer(
        self, serializer: Any, direction: str, bypass_extensions: bool = False
    ) -> Schema:
        """From our own fields; spectacular knows only DRF's."""
        found = serializer() if isinstance(serializer, type) else serializer
        assert isinstance(found, BodySerializer)
        return body_schema(found, self.row.required)

    @property
    def _is_older(self) -> bool:
        return self.path.startswith("/v1/engines/{model}/")

    def _parameters(self) -> list[Schema]:
        found = [MODEL] if "{model}" in self.path else []
        found += [
            {"in": "query", "name": name, "required": False, "schema": schema}
            for name, schema in self.row.query.items()
        ]
        return [*found, STRICT] if self.method == "POST" else found


def responses(row: Operation) -> dict[str, Schema]:
    """What may come back, by status."""
    good: Schema = dict(row.files)
    if row.answer or not row.files:
        good[JSON] = {"schema": ref(row.answer) if row.answer else {"type": "object"}}
    if row.chunk:
        good["text/event-stream"] = {"schema": _event(row.chunk)}
    refusals = [*row.refusals, *(() if row.public else (401,))]
    notes = NOTES if row.required else {}
    return {
        "200": {"description": row.summary, "headers": _headers(notes), "content": good},
        **{str(status): _refusal(status) for status in sorted({*refusals, 500})},
    }


def _event(chunk: str) -> Schema:
    """One event of a stream; OpenAPI 3.1 has no word for a sequence of them."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": ref(chunk)}
    return {
        "type": "object",
        "description": f"With `stream`: events, the data of each a {chunk}, the last `[DONE]`. "
        "Comments between them tell of waiting.",
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, data]}},
    }


def _refusal(status: int) -> Schema:
    """An error object, with the headers that belong to its status."""
    more: dict[str, Schema] = {}
    if status in (429, 503):
        more["Retry-After"] = {
            "required": True,
            "schema": {"type": "string"},
            "description": "Seconds.",
        }
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers({}) | more,
        "content": {JSON: {"schema": ref("Error")}},
    }


def _headers(more: dict[str, Schema]) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (HEADERS | more)}
