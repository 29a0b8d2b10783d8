"""Answers of our own pages: a stream of events, for somebody who looks on while it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

from inference import InferenceService, Waiting
from inference.requests import Question
from playground import errors

from .errors import json_response
from .queue import waiting_body
from .streaming import EventStream, News, until_done


async def answer_stream(
    service: InferenceService,
    question: Question,
    work: Coroutine[Any, Any, Mapping[str, Any]],
    request_id: str,
) -> EventStream:
    """`waiting` with each change of place, then `answer` with what the work gives, or `error`.

    What is known to be wrong in the first second is raised.
    """
    events = _events(service, question, work, request_id)
    return EventStream(await anext(events), events, {})


async def _events(
    service: InferenceService,
    question: Question,
    work: Coroutine[Any, Any, Mapping[str, Any]],
    request_id: str,
) -> AsyncGenerator[bytes, None]:
    asking = asyncio.create_task(work)
    begun = False
    try:
        async for news in until_done(News(service, [question], _news), asking):
            begun = True
            yield news
        yield event("answer", **(await asking))
    except Exception as exc:
        if not begun:
            raise
        yield event("error", **errors.error_body(exc, request_id))
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def event(name: str, **fields: Any) -> bytes:
    """One event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json_response(fields).content)


def _news(model: str, waiting: Waiting | None) -> bytes:
    """Where the request stands; nothing where it does not wait any more."""
    return event("waiting", **(waiting_body(waiting) if waiting else {"model": model}))
