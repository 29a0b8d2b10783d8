"""Parts of messages that are no text: where each stands, and the file in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence

from inference.errors import InvalidRequest
from inference.requests import Message

# The field that holds the file, by kind of part.
FIELDS: Mapping[str, str] = {"image_url": "url", "input_audio": "data"}


def parts_of(messages: Sequence[Message] | None, kind: str) -> Iterator[tuple[str, str]]:
    """Every part of this kind: where its file stands, and the text that holds it."""
    for i, message in enumerate(messages or ()):
        if message.content is None or isinstance(message.content, str):
            continue
        for k, part in enumerate(message.content):
            if part.get("type") == kind:
                field = FIELDS[kind]
                yield f"messages[{i}].content[{k}].{kind}.{field}", part[kind][field]


def has_media(messages: Sequence[Message] | None) -> bool:
    """Whether any message holds a part that is not text."""
    return any(True for kind in FIELDS for _ in parts_of(messages, kind))


def decoded(text: str, param: str, refusal: str) -> bytes:
    """The file in base64. Raises InvalidRequest with these words."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(refusal, param) from error


def unreadable(error: BaseException, messages: Sequence[Message] | None) -> InvalidRequest | None:
    """What a decoder's failure means to the caller; None when it was no decoder's."""
    import soundfile
    from PIL import Image

    broken = (OSError, SyntaxError, Image.DecompressionBombError, soundfile.SoundFileError)
    if not isinstance(error, broken) or not has_media(messages):
        return None
    return InvalidRequest(f"A picture or sound could not be read: {error}"[:300], "messages")
