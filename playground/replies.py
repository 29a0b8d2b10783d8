"""What one streamed answer over a websocket needs: its pace, its counts and the work itself."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from inference import errors, get_service, requests
from playground.accounts.access import Caller
from playground.accounts.counting import counted
from playground.accounts.usage import Meter, metered
from playground.answers import Reply
from playground.errors import error_body
from playground.finding import may_add
from playground.logs import REQUEST_ID

NEWS_SECONDS = 0.5


class Pace:
    """How many messages may come: a burst at once, then so many a second."""

    def __init__(self, burst: int, per_second: float) -> None:
        self.burst = burst
        self.per_second = per_second
        self.left = float(burst)
        self.seen = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more message is fine now."""
        self.left = min(self.burst, self.left + (now - self.seen) * self.per_second)
        self.seen = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Tally:
    """Counts and times of one answer, for the line under it."""

    started: float
    first: float | None = None
    last: float = 0.0
    tokens: int = 0
    usage: requests.Usage | None = None
    finish_reason: str | None = None

    def count(self, output: requests.Output, now: float) -> None:
        """Take one piece of answer into account."""
        self.tokens += len(output.token_ids)
        self.usage = output.usage or self.usage
        self.finish_reason = output.finish_reason or self.finish_reason
        if output.text or output.reasoning or output.tool_calls:
            self.first = self.first or now
            self.last = now

    def finished(self, device_seconds: float) -> dict[str, Any]:
        """Fields of the "done" frame of an answer that ran to its end."""
        usage = self.usage or requests.Usage(completion_tokens=self.tokens)
        self.tokens = usage.completion_tokens
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        return {
            "finish_reason": self.finish_reason,
            "usage": counts,
            "timings": self.timings(device_seconds, usage.queue_seconds),
        }

    def stopped(self, device_seconds: float) -> dict[str, Any]:
        """Fields of the "done" frame of an answer that was stopped; its prompt is not known."""
        counts = {"completion_tokens": self.tokens}
        timings = self.timings(device_seconds)
        return {"finish_reason": "stopped", "usage": counts, "timings": timings}

    def timings(self, device_seconds: float, queued: float | None = None) -> dict[str, Any]:
        """Seconds to the first token, tokens a second from there on, and what it cost."""
        found: dict[str, Any] = {
            "ttft": None,
            "tokens_per_second": None,
            "device_seconds": round(device_seconds, 3),
            "queue_seconds": queued if queued is None else round(queued, 3),
        }
        if self.first is None:
            return found
        spent = self.last - self.first
        rate = (self.tokens - 1) / spent if spent > 0 and self.tokens > 1 else None
        return found | {"ttft": round(self.first - self.started, 3), "tokens_per_second": rate}


async def answer(reply: Reply, caller: Caller, request: requests.GenerateRequest) -> None:
    """Answer one question, to its end, its failure or its stop."""
    REQUEST_ID.set(f"req_{request.request_id}")
    tally, model = Tally(time.monotonic()), request.model
    meter: Meter | None = None
    try:
        card = await get_service().find(model, may_add(model, caller))
        model = card.id
        if not caller.terms_for(model):
            raise errors.ModelNotFound(request.model or model)
        request = dataclasses.replace(
            request,
            model=model,
            weight=caller.weight_for(model),
            queue_places=caller.queue_places(model),
        )
        meter = counted(caller, model, "playground", [request], request.request_id)
        await _stream(reply, request, tally, meter)
    except asyncio.CancelledError:
        cost = meter.device_seconds if meter else 0.0
        reply.end(type="done", model=model, **tally.stopped(cost))
    except Exception as exc:
        reply.end(type="error", **error_body(exc, request.request_id))
    else:
        reply.end(type="done", model=model, **tally.finished(meter.device_seconds))


async def _stream(
    reply: Reply, request: requests.GenerateRequest, tally: Tally, meter: Meter
) -> None:
    """Wait for the turn, then write down what the model says."""

    def write(output: requests.Output) -> bool:
        tally.count(output, time.monotonic())
        reply.put(output.text, output.reasoning, output.tool_calls, tally.tokens)
        return not reply.is_ahead

    news = asyncio.create_task(tell_waiting(reply, request.request_id))
    try:
        stream = await metered(get_service().generate(request), meter)
    finally:
        news.cancel()
    async with contextlib.aclosing(stream):
        async for output in stream:
            if output is requests.PULSE:
                if told := waiting_news(request.request_id):
                    reply.wait(told)
                continue
            if not tally.tokens:
                stream.divert(requests.Bypass(write))
            if not write(output):
                await reply.caught_up()


async def tell_waiting(reply: Reply, request_id: str) -> None:
    """Say where the question stands in the queue, until it leaves it."""
    told: dict[str, Any] = {}
    due = 0.0
    while True:
        news = waiting_news(request_id)
        now = time.monotonic()
        if news and (news != told or now >= due):
            told, due = news, now + settings.KEEPALIVE_SECONDS
            reply.wait(news)
        await asyncio.sleep(min(NEWS_SECONDS, max(0.0, due - now) if news else NEWS_SECONDS))


def waiting_news(request_id: str) -> dict[str, Any]:
    """The fields of a "waiting" frame; whole seconds, so that news is not sent for less."""
    waiting = get_service().waiting(request_id)
    if waiting is None:
        return {}
    return {
        "model": waiting.model,
        "position": waiting.position,
        "eta": None if waiting.eta is None else round(waiting.eta),
        "stage": waiting.stage,
        "detail": waiting.detail,
        "progress": waiting.progress and round(waiting.progress, 3),
    }
