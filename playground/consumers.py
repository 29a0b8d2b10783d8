"""The chat websocket of the playground, at /ws/chat. Text frames of one JSON object each.

The page says:
    {"type": "hello", "session": …}
        a secret of its own; with it the answers of a lost connection go on for RESUME_SECONDS.
    {"type": "chat", "id": …, "model": …, "messages": […], "params": {…}}
        asks a question; "id" is the page's own name for the answer, "model" may be left out,
        messages and params are those of POST /v1/chat/completions.
    {"type": "resume", "id": …, "at": […]}
        asks for the rest of an answer, from the "at" of the last frame that it had.
    {"type": "got", "id": …}    it has the whole answer, which can be forgotten here.
    {"type": "stop", "id": …}   ends that answer; without effect when it has ended.
    {"type": "models"}          asks for the models and their state.

The server says:
    {"type": "models", "models": […]}
        at the start and when asked; `describe` has the fields.
    {"type": "waiting", "id", "model", "position", "eta", "stage", "detail", "progress"}
        while the question waits: on change, and at least every KEEPALIVE_SECONDS.
    {"type": "token", "id", "text", "reasoning", "tool_calls", "tokens", "at"}
        what is new, the count of tokens so far, and how far that is.
    {"type": "done", "id", "model", "finish_reason", "usage", "timings"}
        the end; "stopped" is the finish_reason of an answer that the page stopped.
    {"type": "error", "id", "error": {…}}   the same error object as the API's; ends the answer.
    {"type": "gone", "id"}      there is no such answer any more.

Up to MAX_REPLIES answers run side by side. Closes: 1003 for a binary frame, 1007 for broken
UTF-8, 1008 for too many messages and for a person who was deactivated, 1009 for a message above
`websocket.MAX_FRAME` bytes. Without a sign-in where one is needed, the handshake is answered 403.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.urls import path

from inference import ModelStatus, get_service
from inference.requests import new_request_id
from playground import frames
from playground.accounts.access import Caller
from playground.accounts.directory import directory
from playground.answers import Asked, Line, Owner, Place, Reader, Reply, replies
from playground.api.body import SMALL_BODY_BYTES, decode
from playground.api.parameters import supported_parameters
from playground.errors import BadValue, WebError, error_body
from playground.replies import Pace, answer
from playground.visitors import caller_of, same_origin

# A person sends a message now and then; the page itself asks for the models.
BURST, PER_SECOND = 100, 20.0
# A tab that was closed or loaded anew comes back at once or never.
AWAY = 1001
AWAY_SECONDS = 10.0


class ChatConsumer(AsyncWebsocketConsumer):
    """One connection of one browser tab. Each answer is a task of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.readers: dict[str, Reader] = {}
        self.pace = Pace(BURST, PER_SECOND)
        self.closed = False
        self.caller = Caller("anonymous")
        self.session = new_request_id()
        # How long answers wait when the connection is lost: not at all for a page without a secret.
        self.patience = 0.0
        self.farewell: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the connection; no reader outlives it."""
        # Daphne's end of it (`Server.create_application`): what is said is written there directly.
        self.line: Line = scope["line"]
        scope["line"].on_free = self.go_on
        try:
            await super().__call__(scope, receive, send)
        finally:
            scope["line"].on_free = None
            directory.ignore(self.see_change)
            self.leave()

    @property
    def owner(self) -> Owner:
        """Whose answers are this connection's."""
        return Owner(self.caller.user_id, self.session)

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
        self.say_models()

    def see_change(self) -> None:
        """Keys, people or groups changed: a person who may not come in any more has to go."""
        if not self.closed and not directory.still_in(self.caller):
            self.farewell = asyncio.create_task(self.hang_up(1008))

    async def disconnect(self, code: int) -> None:
        """The line is gone. What was asked for may be waited for, but not for long."""
        if code == AWAY:
            self.patience = min(self.patience, AWAY_SECONDS)
        self.leave()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Hear one frame; what is wrong with it goes back as an error object."""
        self.scope["line"].heard()
        if self.closed:
            return
        if not self.pace.allows(time.monotonic()):
            await self.hang_up(1008)
        elif text_data is None:
            await self.hang_up(1003)
        else:
            await self.hear(text_data.encode())

    async def hear(self, raw: bytes) -> None:
        """Do what the frame asks for."""
        name: str | None = None
        try:
            is_small = len(raw) <= SMALL_BODY_BYTES
            frame = decode(raw) if is_small else await asyncio.to_thread(decode, raw)
            kind = frame.get("type")
            if kind == "models":
                self.say_models()
            elif kind == "hello":
                self.session, self.patience = frames.session(frame), settings.RESUME_SECONDS
            elif kind in ACTIONS:
                name = frames.reply_id(frame)
                await ACTIONS[kind](self, name, frame)
            else:
                raise BadValue(f"'type' must be one of {', '.join((*ACTIONS, *PLAIN))}.", "type")
        except Exception as exc:
            self.say(type="error", id=name, **error_body(exc))

    # --- what a page may ask for -----------------------------------------------------------------

    async def chat(self, name: str, frame: Mapping[str, Any]) -> None:
        """Start an answer and pass it on."""
        # Anew for each question: groups and limits may have changed.
        self.caller = caller = await caller_of(self.scope)
        request = await asyncio.to_thread(frames.chat_request, frame, caller.account)
        if replies.find(self.owner, name):
            raise BadValue(f"An answer with the id {name!r} is running.", "id")
        replies.check_room(self.owner)
        asked = Asked(self.owner, name, caller.account)
        self.follow(replies.start(asked, lambda reply: answer(reply, caller, request)), Place())

    async def resume(self, name: str, frame: Mapping[str, Any]) -> None:
        """Go on with an answer where another connection was lost."""
        place = frames.place(frame)
        reply = replies.find(self.owner, name)
        if reply is None or not reply.has(place):
            self.say(type="gone", id=name)
        elif name not in self.readers:
            self.follow(reply, place)

    async def got(self, name: str, frame: Mapping[str, Any]) -> None:
        """Forget an answer that the page has."""
        reply = replies.find(self.owner, name)
        if reply is not None and reply.ended:
            replies.drop(reply)

    async def stop(self, name: str, frame: Mapping[str, Any]) -> None:
        """End an answer; one that has just ended by itself is no error."""
        if reply := replies.find(self.owner, name):
            replies.stop(reply)

    # --- reading answers -------------------------------------------------------------------------

    def follow(self, reply: Reply, place: Place) -> None:
        """Pass an answer on, from a place to its end, beside whatever else is said."""
        reader = Reader(reply, self.line, place, self.followed)
        self.readers[reply.asked.name] = reader
        replies.follow(reader)

    def followed(self, reader: Reader) -> None:
        """A reader is through, or its line broke."""
        self.readers.pop(reader.reply.asked.name, None)
        replies.keep(reader.reply, self.patience)

    def go_on(self) -> None:
        """The line is free again: tell what has come meanwhile."""
        for reader in tuple(self.readers.values()):
            reader.go_on()

    # --- saying ----------------------------------------------------------------------------------

    def say_models(self) -> None:
        """Send the models that can chat, with their state."""
        models = [
            describe(status)
            for status in get_service().models()
            if status.card.task == "text-generation" and self.caller.terms_for(status.card.id)
        ]
        self.say(type="models", models=models)

    def say(self, **fields: Any) -> None:
        """Send one frame."""
        self.line.write(orjson.dumps(fields))

    async def hang_up(self, code: int) -> None:
        """Close from this end, and stop what runs without waiting for the other end's goodbye."""
        self.patience = 0.0
        for reply in replies.of(self.owner):
            replies.drop(reply)
        self.leave()
        await self.close(code)

    def leave(self) -> None:
        """Read no more; after this nothing more is said."""
        self.closed = True
        for reader in tuple(self.readers.values()):
            reader.leave()


PLAIN = ("hello", "models")
ACTIONS = {
    "chat": ChatConsumer.chat,
    "resume": ChatConsumer.resume,
    "got": ChatConsumer.got,
    "stop": ChatConsumer.stop,
}


def describe(status: ModelStatus) -> dict[str, Any]:
    """What a page shows of a model, and which parameters have an effect on it."""
    return {
        "id": status.card.id,
        "state": status.state,
        "detail": status.detail,
        "tier": status.tier,
        "context": status.max_model_len,
        "is_default": status.is_default,
        "running": status.running,
        "waiting": status.waiting,
        "pictures": status.pictures,
        "sounds": status.sounds,
        "defaults": dict(status.defaults),
        "parameters": supported_parameters(("chat.completions",), status.abilities),
    }


websocket_urlpatterns = [path("ws/chat", ChatConsumer.as_asgi())]
