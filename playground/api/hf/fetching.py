"""Pictures that inputs name by their address, where the operator allows it."""

from __future__ import annotations

import base64
from typing import Any

from django.conf import settings

from inference.requests import Media

from ..pictures import Budget, picture_at
from .reading import Remote


async def fetched(inputs: Any) -> Any:
    """The inputs with their pictures inside. Raises BadValue that names the field."""
    return await _fetched(inputs, Budget(settings.REMOTE_MEDIA_BYTES))


async def _fetched(value: Any, left: Budget) -> Any:
    if isinstance(value, Remote):
        head, _, text = (await picture_at(value.address, value.param, left)).partition(",")
        return Media(base64.b64decode(text), head[5:].partition(";")[0])
    if isinstance(value, dict):
        return {name: await _fetched(each, left) for name, each in value.items()}
    if isinstance(value, list):
        return [await _fetched(each, left) for each in value]
    return value
