"""OpenAI's audio routes: forms with a file, and answers that are files."""

from __future__ import annotations

from typing import Any

from ..audio.forms import GRANULARITIES, HEARD, IGNORED, MAX_INPUT, SPOKEN
from .requests import Schema
from .words import WORDS

FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
NO_EFFECT = "Without effect here: the model makes its own of it."
MODEL: Schema = {"type": "string", "description": WORDS["model"]}
LANGUAGE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 40,
    "description": "The language that is spoken, for models that know many.",
}
TEMPERATURE: Schema = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "default": 0,
    "description": "How freely words are chosen: 0 takes the likeliest each time.",
}


def _ignored(*names: str) -> dict[str, Schema]:
    text: Schema = {"type": "string", "description": NO_EFFECT}
    return {name: text for name in names if name in IGNORED}


def _format(words: str, formats: tuple[str, ...]) -> Schema:
    return {"enum": list(formats), "default": formats[0], "description": words}


def form(languages: bool) -> Schema:
    """The fields of a form with a sound; translations are into English and name no language."""
    properties = {
        "file": FILE | {"description": "WAV, FLAC, MP3, Ogg (Vorbis or Opus), AIFF or CAF."},
        "model": MODEL,
        "response_format": _format("How it is told: JSON, text or subtitles.", HEARD),
        **({"language": LANGUAGE} if languages else {}),
        "temperature": TEMPERATURE,
        GRANULARITIES: {"const": "segment"},
        **_ignored("prompt", "include[]", "chunking_strategy"),
    }
    return {"type": "object", "properties": properties, "required": ["file"]}


def speech() -> Schema:
    """The body of a text to be spoken."""
    properties = {
        "input": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_INPUT,
            "description": "The text to speak.",
        },
        "model": MODEL,
        "response_format": _format("The kind of sound file.", SPOKEN),
        "speed": {"const": 1},
        "stream_format": {"const": "audio"},
        **_ignored("voice", "instructions"),
    }
    return {"type": "object", "properties": properties, "required": ["input"]}


def heard() -> dict[str, Any]:
    """What was heard, beside JSON: subtitles, or the text alone."""
    return {"text/plain": {"schema": {"type": "string"}}}


def spoken() -> dict[str, Any]:
    """A sound in each of the formats."""
    kinds = ("audio/mpeg", "audio/ogg", "audio/flac", "audio/wav", "audio/pcm")
    return {kind: {"schema": FILE} for kind in kinds}
