"""In the jail: from what travels to what `run` takes, and back."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping
from typing import Any

from inference.engines.pictures import FORMATS, MAX_PIXELS
from inference.errors import InvalidRequest
from inference.requests import Media
from inference.signature import PICTURE, SOUND, Schema

# Of the sounds that a numpy.ndarray is made of, and that are made of one.
RATE = 16_000


def argument(schema: Schema, value: Any, place: str) -> Any:
    """A value that fits the schema, as the code takes it. Raises InvalidRequest."""
    if isinstance(value, Media):
        return _decoded(_media_kind(schema), value.data, place)
    if isinstance(value, list):
        return [argument(schema.get("items", {}), each, place) for each in value]
    if isinstance(value, dict):
        inner = schema.get("additionalProperties", {})
        return {key: argument(inner, each, place) for key, each in value.items()}
    return value


def _media_kind(schema: Schema) -> str:
    inner = (each.get("contentMediaType", "") for each in (schema, *schema.get("anyOf", ())))
    return next((kind for kind in inner if kind), "")


def _decoded(kind: str, data: bytes, place: str) -> Any:
    if kind == PICTURE:
        return _picture(data, place)
    return _samples(data, place) if kind == SOUND else data


def _picture(data: bytes, place: str) -> Any:
    from PIL import Image

    try:
        found = Image.open(io.BytesIO(data), formats=FORMATS)
        if found.width * found.height > MAX_PIXELS:
            raise InvalidRequest(f"The picture has more than {MAX_PIXELS:,} pixels.", place)
        found.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidRequest("The picture could not be read.", place) from error
    return found


def _samples(data: bytes, place: str) -> Any:
    """One channel of float32 between -1 and 1."""
    import numpy as np

    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise InvalidRequest("The sound is no WAV file.", place) from error
    if width != 2 or not rate:
        raise InvalidRequest("The sound is no WAV file of 16 bits.", place)
    mono = np.frombuffer(raw, "<i2").reshape(-1, channels).mean(axis=1) / 32768
    count = int(len(mono) * RATE / rate)
    places = np.arange(count) * rate / RATE
    return np.interp(places, np.arange(len(mono)), mono).astype(np.float32)


def answer(schema: Schema, value: Any) -> Any:
    """What `run` returned, as it travels. Raises TypeError for what cannot."""
    kind = type(value)
    if value is None or kind in (str, bool, int, float):
        return value
    if isinstance(value, bytes | bytearray):
        return Media(bytes(value), "application/octet-stream")
    if isinstance(value, Mapping):
        return {str(key): answer({}, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [answer({}, each) for each in value]
    if kind.__module__.startswith("PIL."):
        return _png(value)
    if kind.__module__ == "numpy":
        return _from_numpy(schema, value)
    if hasattr(value, "tolist"):
        return answer(schema, value.tolist())
    raise TypeError(f"`run` returned something of the type {kind.__name__}, which JSON cannot hold")


def _png(value: Any) -> Media:
    into = io.BytesIO()
    value.save(into, format="PNG")
    return Media(into.getvalue(), "image/png")


def _from_numpy(schema: Schema, value: Any) -> Any:
    if _media_kind(schema) != SOUND:
        return answer({}, value.tolist())
    import numpy as np

    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(value, -1, 1) * 32767).astype("<i2").tobytes())
    return Media(into.getvalue(), "audio/wav")
