"""Sounds in messages, looked at before anything decodes them.

What a model is given is decoded from the same bytes later, within bounds again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from inference.engines.parts import decoded, parts_of
from inference.errors import InvalidRequest, UnsupportedParameter
from inference.requests import Message

KIND = "input_audio"
FORMATS = ("WAV", "WAVEX", "MP3")
MAX_SECONDS_TOGETHER = 600
# Of all channels together: ten minutes of stereo at 48 kHz.
MAX_SAMPLES = 57_600_000
NO_SOUND = "This is no WAV or MP3."


def refuse_sounds(messages: Sequence[Message] | None) -> None:
    """For a model that does not hear."""
    for param, _ in parts_of(messages, KIND):
        raise UnsupportedParameter("This model takes no sounds.", param)


def check_sounds(
    messages: Sequence[Message], window: float | None = None
) -> list[tuple[str, bytes]]:
    """Where each sound stands, and its file. Slow: not on the loop.

    `window` is how many seconds of one sound the model hears. Raises InvalidRequest for what is no
    sound or too long a one.
    """
    found, together = [], 0.0
    for param, text in parts_of(messages, KIND):
        raw = decoded(text, param, NO_SOUND)
        found.append((param, raw))
        seconds = measured(raw, param)
        if window is not None and seconds > window:
            reason = f"The sound is longer than the {window:g} seconds that this model hears."
            raise InvalidRequest(reason, param)
        together += seconds
        if together > MAX_SECONDS_TOGETHER:
            reason = f"The sounds are longer than {MAX_SECONDS_TOGETHER} seconds together."
            raise InvalidRequest(reason, param)
    return found


def measured(raw: bytes, param: str) -> float:
    """Its seconds, by its header."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as file:
            form, samples, rate = file.format, file.frames * file.channels, file.samplerate
            seconds = file.frames / rate
    except (soundfile.SoundFileError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidRequest(NO_SOUND, param) from error
    if form not in FORMATS:
        raise InvalidRequest(NO_SOUND, param)
    if not samples:
        raise InvalidRequest("The sound is empty.", param)
    if samples > MAX_SAMPLES:
        raise InvalidRequest(f"The sound has more than {MAX_SAMPLES:,} samples.", param)
    return float(seconds)


def window_of(processor: Any) -> float | None:
    """How many seconds of one sound a model's processor keeps, where it drops the rest in silence.

    One that takes a long sound apart says how long that may be in a name of its own.
    """
    extractor = getattr(processor, "feature_extractor", None)
    samples, rate = (getattr(extractor, name, None) for name in ("n_samples", "sampling_rate"))
    if not samples or not rate or hasattr(processor, "max_audio_len"):
        return None
    return float(samples) / float(rate)
