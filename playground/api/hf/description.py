"""GET /hf/openapi.json: what each task takes and gives, from the dataclasses themselves."""

from __future__ import annotations

import asyncio
import json
from functools import cache

from django.http import HttpRequest, HttpResponse

from ..authentication import NoAuthentication
from . import kinds
from .schemas import MEDIA_TYPES, TEXT, Schema, of_class, task_schema
from .views import HubView


class DocumentView(HubView):
    """The description of `/hf`: no secret, and wanted before one has a key."""

    authentication = NoAuthentication()

    async def get(self, request: HttpRequest) -> HttpResponse:
        """From memory; the first call builds it beside the event loop."""
        text = await asyncio.to_thread(document_json)
        return HttpResponse(text, content_type="application/json")


@cache
def document_json() -> bytes:
    """The document as JSON."""
    return json.dumps(document(), ensure_ascii=False).encode()


def document() -> Schema:
    """One path; what it takes follows from the task of the model."""
    schemas = {f"{_name(task)}Input": task_schema(task) for task in kinds.KINDS}
    outputs = {each.output for each in kinds.KINDS.values() if each.output}
    schemas |= {name: of_class(name) for name in sorted(outputs)}
    any_input = {"anyOf": [{"$ref": f"#/components/schemas/{name}Input"} for name in _names()]}
    model = {"name": "model", "in": "path", "required": True, "schema": TEXT}
    operation = {
        "operationId": "ask",
        "summary": "Ask a model for what it is for",
        "parameters": [model],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": any_input},
                **{each: {"schema": {}} for each in MEDIA_TYPES.values()},
            },
        },
        "responses": {
            "200": {"description": "In the shape of the task.", "content": _contents()},
            "4XX": {"description": "Refused; `error` says why, `param` names the field."},
            "5XX": {"description": "Not now, or broken; `Retry-After` says when to try again."},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLMs for all: Hugging Face's inference API", "version": "1"},
        "paths": {"/hf/models/{model}": {"post": operation}},
        "components": {"schemas": schemas},
    }


def _contents() -> Schema:
    return {each: {"schema": {}} for each in ("application/json", "audio/wav", "image/png")}


def _names() -> list[str]:
    return [_name(task) for task in kinds.KINDS]


def _name(task: str) -> str:
    return "".join(word.capitalize() for word in task.split("-"))
