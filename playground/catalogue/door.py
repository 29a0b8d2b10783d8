"""The server that runs on this machine, as commands ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
from django.conf import settings

from inference import ModelCard, Verdict, table_of

from . import shell

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
# A look at the Hub may take so long, and a test waits for its model.
LOOK_SECONDS = 60.0
# Few enough to be looked at in that time.
CARDS_AT_A_TIME = 8


class Away(Exception):
    """No server answers at this address."""


class Refused(Exception):
    """The server says no, in words."""


class Door:
    """`name` is who asks, as the log of staff knows them."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self.address = f"http://{EVERYWHERE.get(settings.HOST, settings.HOST)}:{port}"

    def live(self, model: str = "") -> dict[str, Any]:
        """How all models are, and this one. Raises Away, Refused."""
        return self._asked("GET", "live", params={"model": model} if model else None)

    def fit(self, name: str) -> dict[str, Any]:
        """What a model of the Hub would be here. Raises Away, Refused."""
        return self._asked("POST", "fit", json={"id": name})

    def verdicts(self, cards: Sequence[ModelCard]) -> list[Verdict]:
        """What is to be said of cards before they are in the catalogue. Raises Away, Refused."""
        found: list[Verdict] = []
        for i in range(0, len(cards), CARDS_AT_A_TIME):
            tables = [table_of(card) for card in cards[i : i + CARDS_AT_A_TIME]]
            said = self._asked("POST", "fit", json={"cards": tables})
            found += [Verdict(**each) for each in said["verdicts"]]
        return found

    def test(self, model: str, prompt: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """News while it waits, then the answer. Raises Away, Refused."""
        url, body = f"{self.address}/staff/test/{quote(model)}", {"prompt": prompt}
        timeout = httpx.Timeout(LOOK_SECONDS, read=None)
        try:
            with httpx.stream(
                "POST", url, json=body, headers=self._headers(), timeout=timeout, trust_env=False
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refused(answer)
                name = ""
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        yield name, json.loads(line.removeprefix("data: "))
        except httpx.TransportError as error:
            raise Away(self.address) from error

    def _asked(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = httpx.request(
                method,
                f"{self.address}/staff/{path}",
                headers=self._headers(),
                timeout=LOOK_SECONDS,
                trust_env=False,
                **more,
            )
        except httpx.TransportError as error:
            raise Away(self.address) from error
        if answer.status_code != 200:
            raise _refused(answer)
        found: dict[str, Any] = answer.json()
        return found

    def _headers(self) -> dict[str, str]:
        return {"Authorization": shell.token(self._name)}


def _refused(answer: httpx.Response) -> Refused:
    try:
        return Refused(str(answer.json()["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return Refused(f"{answer.url} answered {answer.status_code}.")
