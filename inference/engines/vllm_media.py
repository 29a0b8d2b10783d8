"""Pictures and sounds of a chat, looked at before vLLM decodes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference.engines.parts import has_media
from inference.engines.pictures import check_pictures, refuse_pictures
from inference.engines.sounds import check_sounds, refuse_sounds, window_of
from inference.requests import Message

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


async def check_media(llm: AsyncLLM, messages: Sequence[Message] | None) -> None:
    """Refuse what the model does not take, or what would cost too much. Raises RequestError."""
    if not messages or not has_media(messages):
        return
    takes, window = _taken(llm)
    if "image" not in takes:
        refuse_pictures(messages)
    if "audio" not in takes:
        refuse_sounds(messages)
    await asyncio.to_thread(check_pictures, messages)
    await asyncio.to_thread(check_sounds, messages, window)


def _taken(llm: AsyncLLM) -> tuple[frozenset[str], float | None]:
    """vLLM's names of what a prompt may hold beside text; how many seconds of a sound are heard."""
    if not llm.model_config.is_multimodal_model:
        return frozenset(), None
    info = llm.renderer.get_mm_processor().info
    takes = frozenset(kind for kind, most in info.allowed_mm_limits.items() if most)
    return takes, window_of(info.get_hf_processor()) if "audio" in takes else None
