"""Pictures in messages, looked at before anything decodes them.

A few kilobytes can claim to be gigapixels. The header tells the size, and reading it costs nothing.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

from inference.engines.parts import decoded, parts_of
from inference.errors import InvalidRequest, UnsupportedParameter
from inference.requests import Message

KIND = "image_url"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_PIXELS = 25_000_000
MAX_PIXELS_TOGETHER = 50_000_000
NO_PICTURE = "This is no PNG, JPEG, WebP or GIF."


def refuse_pictures(messages: Sequence[Message] | None) -> None:
    """For a model that does not see."""
    for param, _ in parts_of(messages, KIND):
        raise UnsupportedParameter("This model takes no pictures.", param)


def check_pictures(messages: Sequence[Message]) -> list[tuple[str, bytes]]:
    """Where each picture stands, and its file. Slow: not on the loop.

    Raises InvalidRequest for what is no picture or too large a one.
    """
    found, together = [], 0
    for param, address in parts_of(messages, KIND):
        raw = decoded(address.partition(",")[2], param, NO_PICTURE)
        found.append((param, raw))
        together += measured(raw, param)
        if together > MAX_PIXELS_TOGETHER:
            raise InvalidRequest(
                f"The pictures have more than {MAX_PIXELS_TOGETHER:,} pixels together.", param
            )
    return found


def measured(raw: bytes, param: str) -> int:
    """The number of its pixels, by its header. Raises InvalidRequest for too many of them."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # The library's own alarm sounds at more than our limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=FORMATS) as picture:
                width, height = picture.size
    except Image.DecompressionBombError as error:
        raise _too_large(param) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidRequest(NO_PICTURE, param) from error
    if width * height > MAX_PIXELS:
        raise _too_large(param)
    return width * height


def _too_large(param: str) -> InvalidRequest:
    return InvalidRequest(f"The picture has more than {MAX_PIXELS:,} pixels.", param)
