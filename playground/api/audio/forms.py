"""The bodies of OpenAI's audio routes: forms with a file for hearing, JSON for speaking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

from inference.errors import UnsupportedParameter
from inference.requests import Media
from playground.errors import BadBody, BadValue, BodyTooLarge

from .. import checks
from ..body import raw_body, read_body

HEARD = ("json", "text", "srt", "verbose_json", "vtt")
SPOKEN = ("mp3", "opus", "flac", "wav", "pcm")
# The engine makes its own of them.
IGNORED = ("prompt", "include[]", "chunking_strategy", "voice", "instructions")
GRANULARITIES = "timestamp_granularities[]"
MAX_INPUT = 4096


@dataclass(frozen=True, slots=True)
class Heard:
    """A sound, and how to tell what was said in it."""

    model: str
    sound: Media
    format: str = "json"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text to be spoken."""

    model: str
    text: str
    format: str = "mp3"
    ignored: tuple[str, ...] = ()


def heard(request: HttpRequest, task: str) -> Heard:
    """The checked form. `task` is transcribe or translate."""
    fields, sound = _form(request)
    format_ = checks.one_of(fields.pop("response_format", "json"), "response_format", HEARD)
    parameters: dict[str, Any] = {"task": task} if task != "transcribe" else {}
    if language := fields.pop("language", None):
        parameters["language"] = checks.text(language, "language", 40, 1)
    if (temperature := _number(fields.pop("temperature", None))) > 0:
        parameters["generation_parameters"] = {"temperature": temperature, "do_sample": True}
    if format_ in ("srt", "vtt", "verbose_json"):
        parameters["return_timestamps"] = True
    if fields.pop(GRANULARITIES, "segment") != "segment":
        raise UnsupportedParameter("Only segments are told, no words.", GRANULARITIES)
    if fields.pop("stream", "false").lower() not in ("false", "0", ""):
        raise UnsupportedParameter("What was heard is told in one piece.", "stream")
    model = fields.pop("model", "")
    ignored = tuple(name for name in fields if fields[name])
    return Heard(model, sound, format_, parameters, ignored)


def spoken(request: HttpRequest) -> Spoken:
    """The checked body."""
    body = {k: v for k, v in read_body(request).items() if v is not None}
    if "input" not in body:
        checks.missing("input")
    text = checks.text(body.pop("input"), "input", MAX_INPUT, 1)
    format_ = checks.one_of(body.pop("response_format", "mp3"), "response_format", SPOKEN)
    model = checks.text(body.pop("model", ""), "model")
    if checks.number(body.pop("speed", 1), "speed", 0.25, 4) != 1:
        raise UnsupportedParameter("This server speaks at the model's own speed.", "speed")
    if body.pop("stream_format", "audio") != "audio":
        raise UnsupportedParameter("Speech comes as a file.", "stream_format")
    return Spoken(model, text, format_, tuple(body))


def _form(request: HttpRequest) -> tuple[dict[str, str], Media]:
    raw_body(request)
    try:
        fields, file = request.POST, request.FILES.get("file")
    except RequestDataTooBig as exc:
        raise BodyTooLarge("The form is too large.") from exc
    except (MultiPartParserError, SuspiciousOperation, UnicodeError) as exc:
        raise BadBody("We could not parse the form of your request.") from exc
    if not isinstance(file, UploadedFile):
        checks.missing("file")
    sound = Media(file.read(), file.content_type or "audio/wav")
    return {name: str(fields[name]) for name in fields}, sound


def _number(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        raise BadValue("Invalid 'temperature': expected a number.", "temperature") from None
    return checks.number(value, "temperature", 0, 1)
