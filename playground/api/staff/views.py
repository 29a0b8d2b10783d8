"""Four questions of staff's pages: how is it all, would this fit, what was said, does it answer.

They stand in the API's chain, because a page that looks every two seconds must cost next to
nothing, and because a test may wait for its model without holding a thread.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from inference import CardError, InferenceService, card_of, get_service
from inference.errors import EngineError
from inference.requests import GenerateRequest, Message, Question, SamplingParams, Usage
from playground.accounts.usage import metered
from playground.errors import BadValue

from .. import checks
from ..authentication import StaffAuthentication
from ..base import ApiView, placement
from ..body import read_body
from ..errors import json_bytes, json_response
from ..events import answer_stream
from ..hf import answers, vectors
from .live import fit_body, live_body, one_body

# However many look on, the whole is drawn so often at most.
FRESH_SECONDS = 0.5
LOG_BYTES = 64 * 1024
MAX_PROMPT = 8000
MAX_TOKENS = 64
HELLO = "Hello"
# Cards that are looked at in one question.
MAX_CARDS = 100
# Of an answer that is no text, so much is shown.
SHOWN = 2000


class StaffView(ApiView):
    """For staff who may see the catalogue, and commands on this machine."""

    authentication = StaffAuthentication("inference.view_cataloguerow")

    def cors_headers(self, request: Any) -> dict[str, str]:
        """None: pages of other origins have no business here, whatever CORS_ORIGINS says."""
        return {}


class LiveView(StaffView):
    """GET /staff/live"""

    drawn_at: ClassVar[float] = float("-inf")
    drawn: ClassVar[bytes] = b""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """All of which there is news; `?model=` adds one of which there may be none."""
        now = time.monotonic()
        if now - LiveView.drawn_at >= FRESH_SECONDS:
            body = json_response(live_body(get_service())).content
            LiveView.drawn_at, LiveView.drawn = now, body
        content = LiveView.drawn
        if model := request.GET.get("model"):
            one = json_response(one_body(get_service(), model)).content
            content = content[:-1] + b',"one":' + one + b"}"
        response = json_bytes(content)
        response["Cache-Control"] = "no-store"
        return response


class FitView(StaffView):
    """POST /staff/fit"""

    authentication = StaffAuthentication("inference.add_cataloguerow")

    async def post(self, request: HttpRequest) -> HttpResponse:
        """What an id of the Hub would be here, or what is to be said of `cards`; none is kept, and
        nothing fetched."""
        body = read_body(request)
        if "cards" in body:
            return json_response({"verdicts": await self._verdicts(body["cards"])})
        name = body.get("id")
        if not isinstance(name, str) or not name:
            raise BadValue("The id of a model on the Hub is needed, like owner/name.", "id")
        try:
            return json_response(fit_body(await get_service().propose(name)))
        except CardError as error:
            raise BadValue(str(error), error.field) from error

    async def _verdicts(self, tables: Any) -> list[dict[str, Any]]:
        cards = []
        for i, table in enumerate(checks.array(tables, "cards", MAX_CARDS, 1)):
            try:
                cards.append(card_of(checks.mapping(table, f"cards[{i}]", 100)))
            except CardError as error:
                raise BadValue(str(error), f"cards[{i}].{error.field}") from error
        return [dataclasses.asdict(each) for each in await get_service().verdicts(cards)]


class LogView(StaffView):
    """GET /staff/log/{id}"""

    async def get(self, request: HttpRequest, model: str) -> HttpResponse:
        """The end of what the processes of the model's last load printed."""
        log = get_service().log_of(model)
        text = await asyncio.to_thread(_tail, log) if log is not None else ""
        return json_response({"model": model, "loaded": log is not None, "text": text})


class TestView(StaffView):
    """POST /staff/test/{id}"""

    kind = "test"
    authentication = StaffAuthentication("inference.change_cataloguerow")

    async def post(self, request: HttpRequest, model: str) -> HttpResponseBase:
        """A short question, and how long it took: events, as it may have to be loaded first."""
        service = get_service()
        card = self.card(model)
        prompt = read_body(request).get("prompt", HELLO)
        if not isinstance(prompt, str) or not 0 < len(prompt) <= MAX_PROMPT:
            raise BadValue(f"A prompt is a text of 1 to {MAX_PROMPT} characters.", "prompt")
        sample: Question | None = service.sample(card.id)
        if card.task == "text-generation":
            asked = (Message("user", prompt),)
            sampling = SamplingParams(max_tokens=MAX_TOKENS)
            sample = GenerateRequest(model=card.id, messages=asked, sampling=sampling)
        if sample is None:
            raise BadValue("Nothing is known of what this model takes; try its own page.", "model")
        question = dataclasses.replace(
            sample, account=self.caller.account, request_id=self.request_id
        )
        return await answer_stream(
            service, question, self.answer(service, question), self.request_id
        )

    async def answer(self, service: InferenceService, question: Question) -> dict[str, Any]:
        """The answer and what it took, from its turn on."""
        data, text, usage, first = [], [], Usage(), None
        meter = self.meter(question.model, [question])
        async with aclosing(await metered(service.generate(question), meter)) as outputs:
            began = time.monotonic()
            async for output in outputs:
                first = first or time.monotonic()
                text.append(output.text)
                data.append(output.data)
                usage = output.usage or usage
        if first is None:
            raise EngineError("The model gave no answer.")
        seconds = time.monotonic() - began
        said = "".join(text)
        if not isinstance(question, GenerateRequest):
            said = json.dumps(answers.whole(vectors.result(question, data)), default=str)[:SHOWN]
        return {
            "text": said,
            "tokens": usage.completion_tokens,
            "queue_seconds": round(usage.queue_seconds, 2),
            "first_seconds": round(first - began, 3),
            "seconds": round(seconds, 3),
            "tokens_per_second": round(usage.completion_tokens / max(seconds, 0.001), 1),
            "placement": next(iter(placement(service, question.model).values()), None),
        }


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        # The echo engine has no process that could print.
        return ""
