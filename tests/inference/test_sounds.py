"""Sounds in messages, measured by their headers before anything decodes them."""

from __future__ import annotations

import base64
import io
import struct
import wave

import pytest

from inference.engines import sounds
from inference.engines.pipelines.media import written
from inference.errors import InvalidRequest, UnsupportedParameter
from inference.requests import Message

PARAM = "messages[0].content[1].input_audio.data"


def asking(*files: bytes) -> list[Message]:
    held = [{"data": base64.b64encode(file).decode(), "format": "wav"} for file in files]
    parts = [{"type": "input_audio", "input_audio": each} for each in held]
    return [Message("user", ({"type": "text", "text": "What is it?"}, *parts))]


def silence(seconds: float, rate: int = 8000, channels: int = 1) -> bytes:
    into = io.BytesIO()
    with wave.open(into, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(b"\x80" * int(seconds * rate) * channels)
    return into.getvalue()


def liar(frames: int) -> bytes:
    """A header that claims more than the file holds."""
    file = bytearray(silence(0.1, 8000))
    file[40:44] = struct.pack("<I", frames)
    return bytes(file)


@pytest.mark.parametrize("form", ["wav", "mp3"])
def test_sounds_come_with_their_places(form: str) -> None:
    import numpy as np

    file = written(np.zeros(16_000, np.float32), 16_000, form).data
    assert sounds.check_sounds(asking(file, file)) == [
        (f"messages[0].content[{k}].input_audio.data", file) for k in (1, 2)
    ]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "no WAV or MP3"),
        (b"RIFF", "no WAV or MP3"),
        (b"no sound at all", "no WAV or MP3"),
        (silence(0), "empty"),
        (silence(601), "longer than 600 seconds together"),
    ],
)
def test_what_is_no_sound_or_too_long_is_refused(file: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as caught:
        sounds.check_sounds(asking(file))
    assert caught.value.param == PARAM


def test_many_channels_are_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "MAX_SAMPLES", 8000)
    assert sounds.check_sounds(asking(silence(1)))
    with pytest.raises(InvalidRequest, match="more than 8,000 samples"):
        sounds.check_sounds(asking(silence(1, channels=2)))


def test_other_formats_are_refused() -> None:
    import numpy as np

    flac = written(np.zeros(1600, np.float32), 16_000, "flac").data
    with pytest.raises(InvalidRequest, match="no WAV or MP3"):
        sounds.check_sounds(asking(flac))


def test_sounds_are_bounded_together_and_by_what_the_model_hears() -> None:
    with pytest.raises(InvalidRequest, match="together"):
        sounds.check_sounds(asking(silence(400), silence(400)))
    with pytest.raises(InvalidRequest, match="the 30 seconds that this model hears"):
        sounds.check_sounds(asking(silence(31)), 30.0)
    assert sounds.check_sounds(asking(silence(29)), 30.0)


def test_a_model_that_does_not_hear_says_so() -> None:
    sounds.refuse_sounds([Message("user", "hello")])
    with pytest.raises(UnsupportedParameter) as caught:
        sounds.refuse_sounds(asking(silence(1)))
    assert caught.value.param == PARAM


def test_a_header_that_lies_is_not_believed() -> None:
    """It says two billion samples; there are as many as there are."""
    assert sounds.measured(liar(2**31), PARAM) == sounds.measured(silence(0.1), PARAM) == 0.1
    assert len(sounds.check_sounds(asking(liar(2**31)))) == 1
