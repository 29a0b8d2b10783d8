"""Server-sent events: `data: {json}` lines, comments while a request waits, `data: [DONE]`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from django.conf import settings
from django.http import StreamingHttpResponse

from inference import InferenceService
from inference.requests import GenerateRequest, Output, Usage
from playground.accounts.usage import Meter, Stream
from playground.errors import error_body

from .asking import ask
from .choices import total
from .serializers import Call
from .shapes import Shape, compact

DONE = b"data: [DONE]\n\n"
# So long a failure is still a clean HTTP error; then the response begins, and with it the news.
GRACE_SECONDS = 1.0


class EventStream(StreamingHttpResponse):
    """A response whose generator has begun already, so that it is closed in every case.

    Django would wrap it twice more without closing what it wraps.
    """

    def __init__(self, first: bytes, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8")
        self._first = first
        self._events = events
        self["Cache-Control"] = "no-cache"
        # nginx would hold the tokens back to fill its buffer.
        self["X-Accel-Buffering"] = "no"

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._events) as events:
            yield self._first
            async for event in events:
                yield event


async def event_stream(
    service: InferenceService, call: Call, shape: Shape, request_id: str, meter: Meter
) -> EventStream:
    """The response to a streamed call. Raises what is known before its first event."""
    events = sse(service, call, shape, request_id, meter)
    return EventStream(await anext(events), events)


async def sse(
    service: InferenceService, call: Call, shape: Shape, request_id: str, meter: Meter
) -> AsyncGenerator[bytes, None]:
    """The events of one call; a failure after the first of them is an event too."""
    begun = False
    opening = asyncio.create_task(_open(service, call.requests, meter))
    used: list[Usage] = []
    try:
        async for comment in _news(service, call.requests[0], opening):
            begun = True
            yield comment
        stream, first = await opening
        begun = True
        used += [first.usage] if first.usage else []
        yield shape.opening() + shape.chunk(first)
        async for output in stream:
            if output.usage is not None:
                used.append(output.usage)
            yield shape.chunk(output)
        yield shape.closing(total(used)) + DONE
    except Exception as exc:
        if not begun:
            raise
        yield f"data: {compact(error_body(exc, request_id))}\n\n".encode() + DONE
    finally:
        await _leave(opening)


async def _open(
    service: InferenceService, requests: Sequence[GenerateRequest], meter: Meter
) -> tuple[Stream, Output]:
    """Wait for the turn and the first output."""
    stream = await ask(service, requests, meter)
    try:
        return stream, await anext(aiter(stream))
    except BaseException:
        await stream.aclose()
        raise


async def _leave(opening: asyncio.Task[tuple[Stream, Output]]) -> None:
    """Give back whatever was got: the place in the queue or the stream."""
    opening.cancel()
    await asyncio.wait({opening})
    if not opening.cancelled() and opening.exception() is None:
        await opening.result()[0].aclose()


async def _news(
    service: InferenceService,
    request: GenerateRequest,
    opening: asyncio.Task[tuple[Stream, Output]],
) -> AsyncGenerator[bytes, None]:
    """Comments until the first output is there: proxies cut what is silent for a minute."""
    patience = min(GRACE_SECONDS, settings.KEEPALIVE_SECONDS)
    while True:
        done, _ = await asyncio.wait({opening}, timeout=patience)
        if done:
            return
        yield waiting_comment(service, request)
        patience = settings.KEEPALIVE_SECONDS


def waiting_comment(service: InferenceService, request: GenerateRequest) -> bytes:
    """Where the request stands. Clients of OpenAI skip lines that begin with a colon."""
    news = service.waiting(request.request_id)
    if news is None:
        return f": working model={request.model}\n\n".encode()
    eta = "unknown" if news.eta is None else round(news.eta)
    where = f"position={news.position} eta={eta} stage={news.stage}"
    return f": queue {where} model={request.model}\n\n".encode()
