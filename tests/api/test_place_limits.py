"""How many places are kept for whom, and when to come back where there are too many."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from django.http import HttpResponse

from inference import Waiting
from inference.errors import AccountQueueFull, ModelQueued, QueueFull
from playground.api import places as keeping
from playground.api.places import Ask, Places

KEPT_SECONDS = 40.0


class Line:
    """A service whose every request waits, for about so long."""

    def __init__(self, eta: float | None) -> None:
        self.eta = eta

    def waiting(self, request_id: str) -> Waiting:
        return Waiting("model", 1, self.eta, "queued", "")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Nobody waits before they are told to come back."""
    settings.MAX_SILENT_WAIT, settings.PLACE_SECONDS = 0.001, KEPT_SECONDS
    monkeypatch.setattr(keeping, "FIRST_LOOK_SECONDS", 0.001)


async def forever() -> HttpResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def ask(places: Places, name: str, account: str = "alice") -> None:
    """Be told to come back: for one who may keep a single place."""
    asked = Ask(account, "/", name.encode(), 10, limit=1)
    await places.answer(asked, [name], forever)


@pytest.mark.parametrize("eta", [7.2, None, 1000.0])
@pytest.mark.parametrize("full", ["own", "all"])
async def test_who_may_keep_no_more_hears_when_the_oldest_is_free(
    monkeypatch: pytest.MonkeyPatch, eta: float | None, full: str
) -> None:
    monkeypatch.setattr(keeping, "get_service", lambda: Line(eta))
    places = Places()
    try:
        with pytest.raises(ModelQueued):
            await ask(places, "one")
        if full == "all":
            monkeypatch.setattr(keeping, "MAX_KEPT_BYTES", 15)
            with pytest.raises(QueueFull) as caught:
                await ask(places, "two", "bob")
        else:
            with pytest.raises(AccountQueueFull) as caught:
                await ask(places, "two")
            assert caught.value.limit == 1
            with pytest.raises(ModelQueued):
                await ask(places, "one")
    finally:
        await places.close()
    assert caught.value.retry_after == math.ceil(min(eta or KEPT_SECONDS, KEPT_SECONDS))
