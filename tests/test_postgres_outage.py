"""HARDENING.md R10 with PostgreSQL really gone: crashed under load, and started again later."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.api.asking import TEXT, error_of
from tests.api.test_keys import make_key
from tests.servers import Prepared, RunningServer, wait_until
from tests.usage import connected, rows
from tests.with_postgres import Postgres, programs

# Longer than what is known of keys is fresh, and than every retry.
OUTAGE_SECONDS = 6.0
# At twenty a second they outlast the outage.
TOKENS = 240
SLOW = {"model": "echo-slow", "prompt": "a b", "max_tokens": TOKENS, "ignore_eos": True}
UNKNOWN = {"authorization": "Bearer sk-llms-" + "x" * 43}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    """A PostgreSQL that belongs to these tests alone."""
    found = programs()
    if found is None and os.environ.get("CI"):
        pytest.fail("PostgreSQL is not installed")
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    with closing(Postgres(found)) as made:
        yield made


@pytest.fixture(scope="module")
def house(cluster: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on it that demands keys. What it is prepared with is no other server's."""
    env = {"DATABASE_URL": cluster.url, "AUTH_MODE": "key", "USAGE_FLUSH_SECONDS": "0.1"}
    prepared = Prepared(lambda: tmp_path_factory.mktemp("prepared"))
    server = RunningServer(tmp_path_factory.mktemp("data"), env, prepared)
    try:
        yield server.wait_ready()
    finally:
        server.stop()


class Crowd:
    """People who ask all the time, each with a connection, until told to stop."""

    def __init__(self, server: RunningServer, headers: dict[str, str], people: int = 4) -> None:
        self.answers: list[httpx.Response] = []
        self._server, self._headers = server, headers
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(people)]
        for each in self._threads:
            each.start()

    def _ask(self) -> None:
        url, headers = self._server.url, self._headers
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            while not self._stop.is_set():
                self.answers.append(client.post(TEXT, json={"prompt": "one two three"}))

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + count, 30, "the crowd is answered")

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(30)


# R10
def test_a_crash_of_postgres_under_load_stops_no_known_key_and_costs_no_record(
    cluster: Postgres, house: RunningServer
) -> None:
    headers = {"authorization": f"Bearer {make_key(house, 'known', 'known')}"}
    stream: list[str] = []

    def read() -> None:
        body = SLOW | {"stream": True}
        url = f"{house.url}{TEXT}"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as response:
            stream.append(response.headers["x-request-id"])
            stream.extend(line for line in response.iter_lines() if line.startswith("data"))

    reader = threading.Thread(target=read)
    reader.start()
    crowd = Crowd(house, headers)
    try:
        crowd.more(50)
        wait_until(lambda: len(stream) > 5, 20, "the stream runs")
        cluster.stop("immediate")
        began = time.monotonic()
        crowd.more(50)
        wait_until(lambda: time.monotonic() - began > OUTAGE_SECONDS, 20)
        crowd.more(50)
        with httpx.Client(base_url=house.url, timeout=30) as client:
            refused = client.get("/v1/models", headers=UNKNOWN)
            assert refused.status_code == 503
            assert error_of(refused)["code"] == "database_unavailable"
            assert client.get("/v1/models").status_code == 401
            assert client.get("/healthz").status_code == 200
            page = client.get("/usage")
            assert page.status_code in (302, 503), page.text
            cluster.start()
            crowd.more(50)
            wait_until(lambda: client.get("/v1/models", headers=UNKNOWN).status_code == 401, 20)
        crowd.more(50)
    finally:
        crowd.stop()
        reader.join(60)
    assert Counter(each.status_code for each in crowd.answers) == {200: len(crowd.answers)}
    assert stream[-1] == "data: [DONE]"
    ids = [stream[0], *(each.headers["x-request-id"] for each in crowd.answers)]
    wait_until(lambda: len(rows(house)) >= len(ids), 30, "all records are settled")
    found = rows(house)
    assert Counter(each["request_id"] for each in found) == Counter(ids)
    assert {each["outcome"] for each in found} == {"finished"}
    tokens = TOKENS + sum(each.json()["usage"]["completion_tokens"] for each in crowd.answers)
    assert sum(each["completion_tokens"] for each in found) == tokens
    with closing(connected(house)) as database:
        for table, span in (("usagesum", "hour"), ("usagesum", "4wks"), ("housesum", "day")):
            asked = f"SELECT SUM(requests), SUM(completion_tokens) FROM accounts_{table}"
            sums = database.execute(f"{asked} WHERE span = %s", [span]).fetchone()
            assert sums == (len(ids), tokens)
