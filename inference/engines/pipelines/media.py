"""Pictures, sounds and films: from bytes to what models take, and back. Measured, then decoded."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inference.engines.pictures import measured
from inference.errors import EngineError, InvalidRequest
from inference.requests import Media

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

# Of all channels together: an hour of mono, or ten minutes of stereo at 48 kHz with room to spare.
MAX_SAMPLES = 100_000_000
MAX_SECONDS = 3600
MAX_FRAMES = 256
MAX_FILM_PIXELS = 8_500_000
SOUNDS = "WAV, FLAC, MP3, Ogg (Vorbis or Opus), AIFF or CAF"
FILMS = "MP4, WebM, Matroska, AVI or animated GIF"


def media(value: Any, param: str, what: str) -> Media:
    """The value, which has to be bytes."""
    if not isinstance(value, Media):
        raise InvalidRequest(f"Expected {what}.", param)
    return value


def picture(value: Any, param: str = "inputs") -> Image:
    """The picture, upright and in RGB. Raises InvalidRequest."""
    from PIL import Image, ImageOps

    raw = media(value, param, "a picture").data
    measured(raw, param)
    try:
        with Image.open(io.BytesIO(raw)) as found:
            return ImageOps.exif_transpose(found).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidRequest(f"The picture could not be read: {error}"[:300], param) from error


def png(image: Image) -> Media:
    """The picture as a PNG file."""
    into = io.BytesIO()
    image.save(into, format="PNG")
    return Media(into.getvalue(), "image/png")


def sound(value: Any, rate: int, param: str = "inputs") -> NDArray[np.float32]:
    """The sound as samples of one channel, `rate` of them a second. Raises InvalidRequest."""
    import soundfile
    import soxr

    raw = media(value, param, "a sound").data
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as file:
            most = min(MAX_SECONDS * file.samplerate, MAX_SAMPLES // file.channels)
            # A length in a header may be a lie or an estimate: one more shows that there is more.
            samples = file.read(min(file.frames, most) + 1, dtype="float32", always_2d=True)
            own_rate = file.samplerate
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        raise InvalidRequest(f"This is no sound that can be read ({SOUNDS}).", param) from error
    if len(samples) > most:
        raise InvalidRequest(f"The sound is longer than {most // own_rate} seconds.", param)
    if not len(samples):
        raise InvalidRequest("The sound is empty.", param)
    mono = samples.mean(axis=1)
    return mono if own_rate == rate else soxr.resample(mono, own_rate, rate)


# How files of each format are written, and what they are called.
WRITTEN: Mapping[str, tuple[str, str | None, str]] = {
    "wav": ("WAV", "PCM_16", "audio/wav"),
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "mp3": ("MP3", None, "audio/mpeg"),
    "opus": ("OGG", "OPUS", "audio/ogg"),
    "pcm": ("RAW", "PCM_16", "audio/pcm"),
}
# Opus knows a few rates only, and OpenAI's raw samples are of one.
RATES = {"opus": 48_000, "pcm": 24_000}


def written(samples: NDArray[Any], rate: int, form: str = "wav") -> Media:
    """The sound as a file; `samples` are one channel, or channels by samples."""
    import numpy as np
    import soundfile
    import soxr

    if not np.isfinite(samples).all():
        raise EngineError("The model answered with a sound that has no numbers in it.")
    channels = np.atleast_2d(samples).T
    if (fitting := RATES.get(form, rate)) != rate:
        channels, rate = soxr.resample(channels, rate, fitting), fitting
    kind, subtype, content_type = WRITTEN[form]
    into = io.BytesIO()
    soundfile.write(into, channels, rate, format=kind, subtype=subtype)
    return Media(into.getvalue(), content_type)


def frames(value: Any, count: int, every: int, param: str = "inputs") -> list[NDArray[np.uint8]]:
    """`count` frames of a film, every so many; the last again where it is too short.

    Each is an array of height, width and RGB. Raises InvalidRequest.
    """
    import av

    raw = media(value, param, "a film").data
    try:
        with av.open(io.BytesIO(raw), mode="r") as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise InvalidRequest("There is no film in these bytes.", param)
            if stream.width * stream.height > MAX_FILM_PIXELS:
                raise InvalidRequest(
                    f"A frame of the film has more than {MAX_FILM_PIXELS:,} pixels.", param
                )
            found = _picked(container.decode(stream), count, every)
    except (av.FFmpegError, ValueError) as error:
        raise InvalidRequest(f"This is no film that can be read ({FILMS}).", param) from error
    if not found:
        raise InvalidRequest("The film has no frames.", param)
    return found + [found[-1]] * (count - len(found))


def _picked(decoded: Any, count: int, every: int) -> list[NDArray[np.uint8]]:
    found = []
    for i, frame in enumerate(decoded):
        if i % every == 0:
            found.append(frame.to_ndarray(format="rgb24"))
        if len(found) == count:
            break
    return found
