"""A property-based run over the whole document: no case gives a 500, and the engine serves on.

schemathesis makes the cases from `/v1/openapi.json`: its coverage of every bound of every field,
then random ones, both right and wrong.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.config import GenerationConfig
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from tests.api.asking import CHAT, TEXT, events
from tests.api.described import SHAPE, api
from tests.servers import RunningServer, wait_until

CASES = int(os.environ.get("SCHEMA_CASES", "400"))
# Of the cases at every bound of every field; all of them where there is time.
BOUNDS = int(os.environ.get("SCHEMA_BOUNDS", "1000"))
MANY = int(os.environ.get("SCHEMA_CASES_SLOW", "50000"))
ON_ENGINE = int(os.environ.get("SCHEMA_CASES_ENGINE", "150"))
RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
# Of a hundred random cases: chats take schemathesis three times as long to make.
SHARES = {
    (TEXT, RIGHT): 30,
    (TEXT, WRONG): 20,
    (CHAT, RIGHT): 20,
    (CHAT, WRONG): 10,
    ("/v1/embeddings", RIGHT): 5,
    ("/v1/rerank", RIGHT): 5,
    ("/v1/score", RIGHT): 5,
    ("/v1/tokenize", WRONG): 5,
}
# Routes that the model under test does not answer.
POOLS = {"embeddings": "echo-embed", "rerank": "echo-rerank", "score": "echo-rerank"}
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
REFUSALS = (400, 404, 413)


class Run:
    """Sends cases to one model of a server, or to that of their route, and keeps count."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self.server = server
        self.model = model
        self.sent: Counter[int] = Counter()
        self._session = requests.Session()

    def __call__(self, case: Case) -> None:
        """Send one case and hold its answer against the document."""
        right = case.meta is not None and case.meta.generation.mode is RIGHT
        self._aim(case, right)
        response = case.call(base_url=self.server.url, session=self._session, timeout=60)
        self.sent[response.status_code] += 1
        told = (response.status_code, response.content[:500], case.as_curl_command())
        assert response.status_code < 500, told
        if response.status_code in (200, *REFUSALS):
            case.validate_response(response, checks=CHECKS)
        if right and response.status_code == 400:
            code = response.json()["error"]["code"]
            assert not code.endswith(SHAPE), told

    def _aim(self, case: Case, right: bool) -> None:
        """Random names are unknown models; most cases are to reach an engine."""
        model = POOLS.get(case.operation.path.rpartition("/")[2], self.model)
        if "model" in case.path_parameters:
            case.path_parameters["model"] = model
        body = case.body
        if isinstance(body, dict) and (right or isinstance(body.get("model"), str)):
            body["model"] = model
        if isinstance(body, dict):
            tame(body)
            if self.model == "pocket":
                # Left out, an answer may fill the context, at some seconds each.
                body.setdefault("max_tokens", 16)


def tame(body: dict[str, Any]) -> None:
    """Long answers are another test's: what would be long and right is made short."""
    for name, most in (("n", 4), ("best_of", 4), ("max_tokens", 32), ("max_completion_tokens", 32)):
        value = body.get(name)
        if type(value) is int and most < value <= 128:
            body[name] = most
    if body.get("ignore_eos") is True:
        body.setdefault("max_tokens", 8)


def coverage(paths: tuple[str, ...] = ()) -> Iterator[Case]:
    """Every bound of every field of every route, once inside and once outside."""
    for found in api().get_all_operations():
        operation = found.ok()
        if paths and operation.path not in paths:
            continue
        config = GenerationConfig(modes=[RIGHT, WRONG])
        yield from api().iter_coverage_cases(
            operation, generation_modes=[RIGHT, WRONG], generation_config=config
        )


def some(cases: Iterator[Case], many: int) -> list[Case]:
    """About so many of them, from everywhere."""
    made = list(cases)
    return made[:: max(1, len(made) // many)]


def random_cases(run: Run, cases: int) -> None:
    """As many as asked for, in the shares above."""
    for (path, mode), share in SHARES.items():
        operation: APIOperation = api(fast=True)[path]["POST"]
        law(run, operation, mode, max(1, cases * share // 100))


def law(run: Run, operation: APIOperation, mode: GenerationMode, cases: int) -> None:
    """So many random cases of one operation."""

    @settings(
        max_examples=cases,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # A failing case is told whole; to make it smaller would take as long as the run.
        phases=[Phase.generate],
        database=None,
    )
    @given(operation.as_strategy(generation_mode=mode))
    def holds(case: Case) -> None:
        run(case)

    holds()


class Bystander:
    """Somebody whose slow stream runs through all of it and must come out whole."""

    WORDS = 100

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._said = ""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        body = {"model": "echo-slow", "prompt": "w " * self.WORDS, "max_tokens": self.WORDS}
        body["stream"] = True
        answer = httpx.post(f"{self._server.url}{TEXT}", json=body, timeout=120)
        self._said = "".join(e["choices"][0]["text"] for e in events(answer) if e != "[DONE]")

    def came_out_whole(self) -> bool:
        """Whether every token came once and in order."""
        self._thread.join(120)
        return self._said == "".join(f"{i}:w " for i in range(self.WORDS))


def serves_on(server: RunningServer, model: str) -> None:
    """A fresh request is answered within a second, and nothing is left running."""
    began = time.monotonic()
    body = {"model": model, "prompt": "one two", "max_tokens": 2}
    assert httpx.post(f"{server.url}{TEXT}", json=body, timeout=30).status_code == 200
    assert time.monotonic() - began < 1
    found = server.model(model)
    wait_until(lambda: not (found["running"] or found["waiting"]), 1, "nothing in flight")


def under_load(server: RunningServer, model: str, work: Callable[[Run], None]) -> Run:
    """The work, with somebody else's stream beside it, and a look at the engine after it."""
    run, bystander = Run(server, model), Bystander(server)
    try:
        work(run)
    finally:
        whole = bystander.came_out_whole()
    serves_on(server, model)
    assert whole
    return run


@pytest.mark.timeout(600)
def test_no_case_of_the_document_breaks_the_server(server: RunningServer) -> None:
    def work(run: Run) -> None:
        for case in some(coverage(), BOUNDS):
            run(case)
        random_cases(run, max(200, CASES - run.sent.total()))

    run = under_load(server, "echo", work)
    assert run.sent.total() >= CASES
    assert run.sent[200] > run.sent.total() // 20


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_no_case_of_many_breaks_the_server(server: RunningServer) -> None:
    def work(run: Run) -> None:
        for case in coverage():
            run(case)
        random_cases(run, MANY)

    run = under_load(server, "echo", work)
    assert run.sent.total() >= MANY * 0.99


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_no_case_breaks_a_real_engine(pocket_server: RunningServer) -> None:
    def work(run: Run) -> None:
        for case in some(coverage((CHAT, TEXT)), ON_ENGINE):
            run(case)
        random_cases(run, ON_ENGINE)

    under_load(pocket_server, "pocket", work)
