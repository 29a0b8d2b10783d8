"""The chat websocket of the playground, at /ws/chat. Text frames of one JSON object each.

The page says:
    {"type": "chat", "id": …, "model": …, "messages": [{"role": …, "content": …}], "params": {…}}
        asks a question; "id" is the page's own name for the answer, "model" may be left out,
        "params" takes temperature, top_p, max_tokens, seed, presence_ and frequency_penalty.
    {"type": "stop", "id": …}   ends that answer; without effect when it has ended.
    {"type": "models"}          asks for the models and their state.

The server says:
    {"type": "models", "models": [{"id", "state", "detail", "tier", "context", "is_default",
        "running", "waiting"}]}
        at the start and when asked.
    {"type": "waiting", "id", "model", "position", "eta", "stage", "detail", "progress"}
        while the question waits: on change, and at least every KEEPALIVE_SECONDS.
    {"type": "token", "id", "text", "reasoning", "tokens"}   what is new, and the count so far.
    {"type": "done", "id", "model", "finish_reason", "usage", "timings"}
        the end; "stopped" is the finish_reason of an answer that the page stopped.
    {"type": "error", "id", "error": {…}}   the same error object as the API's; ends the answer.

Up to MAX_REPLIES answers run side by side. Closes: 1003 for a binary frame, 1007 for broken
UTF-8, 1008 for too many messages and for a person who was deactivated, 1009 for a frame above
MAX_FRAME bytes. Without a sign-in where one is needed, the handshake is answered 403.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.urls import path

from inference import errors, get_service, requests
from playground import frames
from playground.accounts.access import Caller
from playground.accounts.counting import counted
from playground.accounts.directory import directory
from playground.accounts.usage import Meter, metered
from playground.errors import BadValue, WebError, error_body
from playground.finding import may_add
from playground.replies import Outbox, Pace, Tally
from playground.visitors import caller_of, same_origin

MAX_REPLIES = 4
MAX_FRAME = 2**20
# A person sends a message now and then; the page itself asks for the models.
BURST, PER_SECOND = 100, 20.0
NEWS_SECONDS = 0.5


class ChatConsumer(AsyncWebsocketConsumer):
    """One browser tab. Each answer is a task, so that "stop" is heard while it runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.replies: dict[str, asyncio.Task[None]] = {}
        self.pace = Pace(BURST, PER_SECOND)
        self.closed = False
        self.caller = Caller("anonymous")
        self.farewell: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the connection; whatever ends it, no answer outlives it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            directory.ignore(self.see_change)
            self.cancel_replies()

    async def connect(self) -> None:
        """Let the page in, and tell it the models."""
        try:
            self.caller = await caller_of(self.scope)
        except WebError:
            await self.close()
            return
        if not same_origin(self.scope):
            await self.close()
            return
        await self.accept()
        directory.listen(self.see_change)
        await self.say_models()

    def see_change(self) -> None:
        """Keys, people or groups changed: a person who may not come in any more has to go."""
        if not self.closed and not directory.still_in(self.caller):
            self.farewell = asyncio.create_task(self.hang_up(1008))

    async def disconnect(self, code: int) -> None:
        """Free every slot at once."""
        self.cancel_replies()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Hear one frame; what is wrong with it goes back as an error object."""
        if self.closed:
            return
        if not self.pace.allows(time.monotonic()):
            await self.hang_up(1008)
        elif text_data is None:
            await self.hang_up(1003)
        elif len(text_data.encode()) > MAX_FRAME:
            await self.hang_up(1009)
        else:
            await self.hear(text_data)

    async def hear(self, text: str) -> None:
        """Do what the frame asks for."""
        name: str | None = None
        try:
            frame = frames.decode(text)
            kind = frame.get("type")
            if kind == "models":
                await self.say_models()
            elif kind == "chat":
                name = frames.reply_id(frame)
                await self.start_reply(name, frame)
            elif kind == "stop":
                name = frames.reply_id(frame)
                self.stop_reply(name)
            else:
                raise BadValue("'type' must be chat, stop or models.", "type")
        except Exception as exc:
            await self.say_error(name, exc)

    async def start_reply(self, name: str, frame: Mapping[str, Any]) -> None:
        """Start the answer as a task of its own."""
        if name in self.replies:
            raise BadValue(f"An answer with the id {name!r} is running.", "id")
        if len(self.replies) >= MAX_REPLIES:
            raise errors.AccountQueueFull(f"This page has {MAX_REPLIES} answers running already.")
        # Anew for each question: groups and limits may have changed.
        self.caller = await caller_of(self.scope)
        request = frames.chat_request(frame, self.caller.account)
        task = asyncio.create_task(self.reply(name, self.caller, request))
        self.replies[name] = task
        task.add_done_callback(lambda _: self.replies.pop(name, None))

    def stop_reply(self, name: str) -> None:
        """End an answer; one that has just ended by itself is no error."""
        if task := self.replies.get(name):
            task.cancel()

    async def reply(self, name: str, caller: Caller, request: requests.GenerateRequest) -> None:
        """Answer one question, to its end, its failure or its stop."""
        tally = Tally(time.monotonic())
        try:
            card = await get_service().find(request.model, may_add(request.model, caller))
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
            await self.stream(name, request, tally, meter)
        except asyncio.CancelledError:
            # Nobody is left to tell when the socket is gone; else "stop" was asked for.
            if not self.closed:
                await self.say(type="done", id=name, model=model, **tally.stopped())
        except Exception as exc:
            await self.say_error(name, exc)
        else:
            await self.say(type="done", id=name, model=model, **tally.finished())

    async def stream(
        self, name: str, request: requests.GenerateRequest, tally: Tally, meter: Meter
    ) -> None:
        """Wait for the turn, then pass on what the model says."""
        news = asyncio.create_task(self.tell_waiting(name, request.request_id))
        try:
            stream = await metered(get_service().generate(request), meter)
        finally:
            news.cancel()
        outbox = Outbox(lambda fields: self.say(type="token", id=name, **fields))
        async with contextlib.aclosing(stream), contextlib.aclosing(outbox):
            async for output in stream:
                if output is requests.PULSE:
                    if told := self.waiting_news(request.request_id):
                        await self.say(type="waiting", id=name, **told)
                    continue
                tally.count(output, time.monotonic())
                outbox.put(output.text, output.reasoning, tally.tokens)
            await outbox.sent()

    async def tell_waiting(self, name: str, request_id: str) -> None:
        """Say where the question stands in the queue, until it leaves it."""
        told: dict[str, Any] = {}
        due = 0.0
        while True:
            news = self.waiting_news(request_id)
            now = time.monotonic()
            if news and (news != told or now >= due):
                told, due = news, now + settings.KEEPALIVE_SECONDS
                await self.say(type="waiting", id=name, **news)
            await asyncio.sleep(min(NEWS_SECONDS, max(0.0, due - now) if news else NEWS_SECONDS))

    @staticmethod
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

    async def say_models(self) -> None:
        """Send the models that can chat, with their state."""
        models = [
            {
                "id": status.card.id,
                "state": status.state,
                "detail": status.detail,
                "tier": status.tier,
                "context": status.max_model_len,
                "is_default": status.is_default,
                "running": status.running,
                "waiting": status.waiting,
            }
            for status in get_service().models()
            if status.card.task == "text-generation" and self.caller.terms_for(status.card.id)
        ]
        await self.say(type="models", models=models)

    async def say_error(self, name: str | None, exc: Exception) -> None:
        """Send the error object; `error_body` logs what nobody expected."""
        await self.say(type="error", id=name, **error_body(exc))

    async def say(self, **fields: Any) -> None:
        """Send one frame."""
        await self.send(text_data=json.dumps(fields, separators=(",", ":")))

    async def hang_up(self, code: int) -> None:
        """Close from this end, and stop what runs without waiting for the other end's goodbye."""
        self.cancel_replies()
        await self.close(code)

    def cancel_replies(self) -> None:
        """Cancel every answer; after this nothing more is said."""
        self.closed = True
        for task in list(self.replies.values()):
            task.cancel()


websocket_urlpatterns = [path("ws/chat", ChatConsumer.as_asgi())]
