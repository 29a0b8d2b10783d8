"""A picture, a sound, a film and texts to ask about."""

from __future__ import annotations

import io
import math


def picture(seed: int = 1, width: int = 48, height: int = 40) -> bytes:
    """A PNG of smooth colours, another for each seed."""
    from PIL import Image

    image = Image.new("RGB", (width, height))
    image.putdata(
        [
            (x * 5 * seed % 256, y * 6 % 256, (x * y + 40 * seed) % 256)
            for y in range(height)
            for x in range(width)
        ]
    )
    into = io.BytesIO()
    image.save(into, format="PNG")
    return into.getvalue()


def sound(seconds: float = 0.5, rate: int = 16_000, kind: str = "WAV", pitch: int = 440) -> bytes:
    """A tone."""
    import numpy as np
    import soundfile

    at = np.arange(int(seconds * rate)) / rate
    into = io.BytesIO()
    soundfile.write(into, 0.3 * np.sin(2 * math.pi * pitch * at), rate, format=kind)
    return into.getvalue()


def film(count: int = 8, side: int = 32) -> bytes:
    """An MP4 of a few frames."""
    import av
    import numpy as np

    into = io.BytesIO()
    with av.open(into, mode="w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for i in range(count):
            shade = np.full((side, side, 3), 30 * i % 256, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return into.getvalue()
