"""Server-sent events: `data: {json}` lines, comments while a request waits, `data: [DONE]`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from django.conf import settings
from django.http import StreamingHttpResponse

from inference import InferenceService, Waiting
from inference.requests import PULSE, Bypass, GenerateRequest, Output, Question, Usage
from playground.accounts.usage import Meter, Metered
from playground.errors import error_body
from playground.flow import Outlet

from .asking import ask
from .base import PLACEMENT, QUEUE_SECONDS, placement
from .choices import total
from .serializers import Call
from .shapes import Shape, compact

DONE = b"data: [DONE]\n\n"
# So long a failure is still a clean HTTP error; then the response begins, and with it the news.
GRACE_SECONDS = 1.0
# How soon a change of position is told.
NEWS_SECONDS = 1.0


class Line(Protocol):
    """The connection that a request came on; `playground.wire.Request` is one."""

    @property
    def pipe(self) -> Callable[[bytes], Outlet | None]:
        """Sends a piece of the body that is not the first; where to wait, if there is no room."""


class Ending(bytes):
    """The last events of a stream. They go out together with the end of the body."""


class EventStream(StreamingHttpResponse):
    """A response whose generator has begun already, so that it is closed in every case.

    Django would wrap it twice more without closing what it wraps.
    """

    def __init__(
        self,
        first: bytes,
        events: AsyncGenerator[bytes, None],
        headers: Mapping[str, str],
        shortcut: Shortcut | None = None,
    ) -> None:
        super().__init__(content_type="text/event-stream; charset=utf-8", headers=headers)
        self.first = first
        self.events = events
        self.shortcut = shortcut
        self["Cache-Control"] = "no-cache"
        # nginx would hold the tokens back to fill its buffer.
        self["X-Accel-Buffering"] = "no"

    async def send_to(self, send: Callable[[dict[str, Any]], Awaitable[None]], line: Line) -> None:
        """Send the body: the first event and the end by ASGI, what is between straight to the line.

        Whoever makes the events waits while the client does not read.
        """
        async with aclosing(self.events) as events:
            await send({"type": "http.response.body", "body": self.first, "more_body": True})
            if self.shortcut is not None:
                self.shortcut.lead_to(line)
            pipe = line.pipe
            async for event in events:
                if isinstance(event, Ending):
                    await send({"type": "http.response.body", "body": event})
                    return
                if outlet := pipe(event):
                    await outlet.room()
        await send({"type": "http.response.body", "body": b""})


class Shortcut:
    """The way of plain tokens: written where they are decoded, past the generators between.

    It is there once there is a stream and a connection that has had its first event.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._stream: Metered | None = None
        self._line: Line | None = None

    def open(self, stream: Metered) -> None:
        """Answers come from here."""
        self._stream = stream
        self._join()

    def lead_to(self, line: Line) -> None:
        """They are written there."""
        self._line = line
        self._join()

    def _join(self) -> None:
        line, shape = self._line, self._shape
        if line is not None and self._stream is not None:
            pipe = line.pipe
            self._stream.divert(Bypass(lambda output: pipe(shape.chunk(output)) is None))


async def event_stream(
    service: InferenceService, call: Call, shape: Shape, request_id: str, meter: Meter
) -> EventStream:
    """The response to a streamed call. Raises what is known before its first event."""
    headers: dict[str, str] = {}
    shortcut = Shortcut(shape)
    events = sse(service, call, shape, request_id, headers, meter, shortcut)
    return EventStream(await anext(events), events, headers, shortcut)


async def sse(
    service: InferenceService,
    call: Call,
    shape: Shape,
    request_id: str,
    headers: dict[str, str],
    meter: Meter,
    shortcut: Shortcut,
) -> AsyncGenerator[bytes, None]:
    """The events of one call; a failure after the first of them is an event too.

    `headers` may be added to until the first event. What takes the `shortcut` is none of them.
    """
    begun = False
    last = b""
    opening = asyncio.create_task(_open(service, call.requests, meter))
    used: list[Usage] = []
    news = News(service, call.requests)
    try:
        async for comment in until_done(news, opening):
            if not begun:
                headers.update(placement(service, call.model))
            begun = True
            yield comment
        stream, first = await opening
        place = placement(service, call.model)
        told = place.get(PLACEMENT)
        if begun and told and told != headers.get(PLACEMENT):
            # It was decided after the headers had gone out.
            yield f": placement {told}\n\n".encode()
        if not begun:
            headers.update(place)
            if stream.queue_seconds is not None:
                headers[QUEUE_SECONDS] = f"{stream.queue_seconds:.3f}"
        begun = True
        used += [first.usage] if first.usage else []
        shortcut.open(stream)
        yield shape.opening() + shape.chunk(first)
        async for output in stream:
            if output is PULSE:
                if comment := news.comment():
                    yield comment
                continue
            if output.usage is not None:
                used.append(output.usage)
                if len(used) == len(call.requests):
                    # What comes after it is the end: one write for both.
                    last = shape.chunk(output)
                    continue
            yield shape.chunk(output)
        yield Ending(last + shape.closing(total(used)) + _waited(total(used), headers) + DONE)
    except Exception as exc:
        if not begun:
            raise
        error = f"data: {compact(error_body(exc, request_id))}\n\n".encode()
        yield Ending(last + error + DONE)
    finally:
        await _leave(opening)


async def _open(
    service: InferenceService, requests: Sequence[GenerateRequest], meter: Meter
) -> tuple[Metered, Output]:
    """Wait for the turn and the first output."""
    stream = await ask(service, requests, meter)
    try:
        outputs = aiter(stream)
        while (output := await anext(outputs)) is PULSE:
            pass
        return stream, output
    except BaseException:
        await stream.aclose()
        raise


async def _leave(opening: asyncio.Task[tuple[Metered, Output]]) -> None:
    """Give back whatever was got: the place in the queue or the stream."""
    opening.cancel()
    try:
        await asyncio.wait({opening})
    finally:
        # When this is cancelled again: what is not open yet ends by itself, what is open does not.
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            await opening.result()[0].aclose()


class News:
    """What a waiting client is told: of each change of place, and something every so often.

    `said` makes bytes of it.
    """

    def __init__(
        self,
        service: InferenceService,
        requests: Sequence[Question],
        said: Callable[[str, Waiting | None], bytes] | None = None,
    ) -> None:
        self._service = service
        self._requests = requests
        self._said = said or waiting_comment
        self._told: object = None
        self._due = 0.0

    @property
    def pause(self) -> float:
        """Seconds after which there may be something to tell."""
        return min(NEWS_SECONDS, max(0.0, self._due - time.monotonic()))

    def comment(self) -> bytes:
        """What is new; nothing where nothing is."""
        news, now = self._waiting(), time.monotonic()
        place = (news.position, news.stage, news.eta is None, percent(news)) if news else ()
        if place == self._told and now < self._due:
            return b""
        self._told, self._due = place, now + settings.KEEPALIVE_SECONDS
        return self._said(self._requests[0].model, news)

    def _waiting(self) -> Waiting | None:
        """The first of several prompts that waits for its turn."""
        found = (self._service.waiting(each.request_id) for each in self._requests)
        return next((news for news in found if news), None)


async def until_done(news: News, opening: asyncio.Task[Any]) -> AsyncGenerator[bytes, None]:
    """News until the first output is there: proxies cut what is silent for a minute."""
    pause = min(GRACE_SECONDS, settings.KEEPALIVE_SECONDS)
    while not (await asyncio.wait({opening}, timeout=pause))[0]:
        if comment := news.comment():
            yield comment
        pause = news.pause


def waiting_comment(model: str, news: Waiting | None) -> bytes:
    """Where the request stands. Clients of OpenAI skip lines that begin with a colon."""
    if news is None:
        return f": working model={model}\n\n".encode()
    eta = "" if news.eta is None else f" eta={round(news.eta)}"
    part = "" if news.progress is None else f" progress={percent(news)}%"
    place = f"position={news.position}{eta} stage={news.stage}{part}"
    return f": queue {place} model={model}\n\n".encode()


def percent(news: Waiting) -> int:
    """Of what is downloaded, the part that is there."""
    return int(100 * (news.progress or 0.0))


def _waited(usage: Usage, headers: Mapping[str, str]) -> bytes:
    """How long it waited, where the header could not say it yet, or not all of it."""
    seconds = f"{usage.queue_seconds:.3f}"
    told = headers.get(QUEUE_SECONDS) == seconds
    return b"" if told else f": waited seconds={seconds}\n\n".encode()
