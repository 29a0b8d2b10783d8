"""Pictures in messages, looked at before anything decodes them.

A few kilobytes can claim to be gigapixels. The header tells the size, and reading it costs nothing.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from inference.errors import InvalidRequest, UnsupportedParameter
from inference.requests import Message

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_PIXELS = 25_000_000
MAX_PIXELS_TOGETHER = 50_000_000
NO_PICTURE = "This is no PNG, JPEG, WebP or GIF."


def has_pictures(messages: Sequence[Message] | None) -> bool:
    """Whether any message holds a part that is not text."""
    return any(True for _ in _pictures(messages or ()))


def refuse_pictures(messages: Sequence[Message] | None) -> None:
    """For a model that reads text only."""
    for param, _ in _pictures(messages or ()):
        raise UnsupportedParameter("This model reads text only; it takes no pictures.", param)


def check_pictures(messages: Sequence[Message]) -> list[tuple[str, bytes]]:
    """Where each picture stands, and its file. Slow: not on the loop.

    Raises InvalidRequest for what is no picture or too large a one.
    """
    found, together = [], 0
    for param, address in _pictures(messages):
        raw = _decoded(address, param)
        found.append((param, raw))
        together += measured(raw, param)
        if together > MAX_PIXELS_TOGETHER:
            raise InvalidRequest(
                f"The pictures have more than {MAX_PIXELS_TOGETHER:,} pixels together.", param
            )
    return found


def _pictures(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for i, message in enumerate(messages):
        if message.content is None or isinstance(message.content, str):
            continue
        for k, part in enumerate(message.content):
            if part.get("type") == "image_url":
                param = f"messages[{i}].content[{k}].image_url.url"
                yield param, part["image_url"]["url"]


def _decoded(address: str, param: str) -> bytes:
    try:
        return base64.b64decode(address.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(NO_PICTURE, param) from error


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


def unreadable(error: BaseException, messages: Sequence[Message] | None) -> InvalidRequest | None:
    """What a decoder's failure means to the caller; None when it was no decoder's."""
    from PIL import Image

    broken = (OSError, SyntaxError, Image.DecompressionBombError)
    if not isinstance(error, broken) or not has_pictures(messages):
        return None
    return InvalidRequest(f"A picture could not be read: {error}"[:300], "messages")


def _too_large(param: str) -> InvalidRequest:
    return InvalidRequest(f"The picture has more than {MAX_PIXELS:,} pixels.", param)


def takes_pictures(model_config: Any) -> bool:
    """Whether the loaded model reads pictures beside text."""
    return bool(getattr(model_config, "is_multimodal_model", False))
