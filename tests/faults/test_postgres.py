"""HARDENING.md R10 with PostgreSQL really gone, or really hanging, under load; few connections."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import psycopg
import pytest

from bench.crowd import Asking, Call
from tests.api.asking import TEXT, error_of
from tests.api.test_keys import make_key
from tests.api.test_limits import SIGN_IN
from tests.faults.conftest import CATALOGUE
from tests.servers import Prepared, RunningServer, wait_until
from tests.usage import connected, rows
from tests.with_postgres import Postgres, programs

# Longer than what is known of keys is fresh, and than every retry.
OUTAGE_SECONDS = 6.0
LONG_OUTAGE_SECONDS = 30.0
CONNECTIONS = 4
TOKENS = 12
# At twenty a second.
TOKENS_OF_STREAMS = {OUTAGE_SECONDS: 260, LONG_OUTAGE_SECONDS: 900}
STREAMS = 20
KINDS = ["reads", "whole", "reads", "rests"]
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
    env = {
        "DATABASE_URL": cluster.url,
        "DATABASE_CONNECTIONS": str(CONNECTIONS),
        "DATABASE_SECONDS": "2",
        "CATALOGUE": str(CATALOGUE),
        "AUTH_MODE": "key",
        "USAGE_FLUSH_SECONDS": "0.1",
        "QUEUE_LIMIT": "10000",
        "ACCOUNT_QUEUE_LIMIT": "10000",
    }
    prepared = Prepared(tmp_path_factory.mktemp("prepared"))
    server = RunningServer(tmp_path_factory.mktemp("data"), env, prepared)
    try:
        yield server.wait_ready()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def key(house: RunningServer) -> str:
    """A key that the server has seen."""
    made = make_key(house, "known", "known")
    known = httpx.get(f"{house.url}/v1/models", headers={"authorization": f"Bearer {made}"})
    assert known.status_code == 200
    return made


class Load:
    """Twenty long streams, and people who ask all the time, every token looked at."""

    def __init__(self, server: RunningServer, key: str, tokens: int) -> None:
        self.calls: list[Call] = []
        self._long = Asking(server.port, "echo-slow", tokens, key)
        self._short = Asking(server.port, "echo", TOKENS, key)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))
        self._thread.start()

    async def _all(self) -> None:
        people = (self._person(nth) for nth in range(8))
        streams = (self._stream() for _ in range(STREAMS))
        await asyncio.gather(*streams, *people)

    async def _stream(self) -> None:
        self.calls.append(await self._long.call("reads"))

    async def _person(self, nth: int) -> None:
        while not self._stop.is_set():
            self.calls.append(await self._short.call(KINDS[nth % len(KINDS)]))
            await asyncio.sleep(0.05)

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        before = len(self.calls)
        wait_until(lambda: len(self.calls) >= before + count, 30, "people are answered")

    def end(self) -> list[Call]:
        """All that was asked, to its end."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self.calls


def sessions(house: RunningServer) -> int:
    """Connections that PostgreSQL has to the server, whoever asks here left aside."""
    sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
    with closing(connected(house)) as database:
        found = database.execute(f"{sql} AND pid <> pg_backend_pid()").fetchone()
    return int(found[0])


# R10
@pytest.mark.parametrize(
    "seconds",
    [OUTAGE_SECONDS, pytest.param(LONG_OUTAGE_SECONDS, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
@pytest.mark.parametrize("fault", ["gone", "frozen"])
@pytest.mark.timeout(300)
def test_an_outage_under_load_costs_no_answer_and_no_record(
    cluster: Postgres, house: RunningServer, key: str, fault: str, seconds: float
) -> None:
    """What needs no database goes on; what does is refused in time; afterwards all is as it was."""
    before = len(rows(house))
    tokens = TOKENS_OF_STREAMS[seconds]
    load = Load(house, key, tokens)
    try:
        load.more(50)
        wait_until(lambda: house_runs(house, key) == STREAMS, 20, "the streams run")
        with getattr(cluster, fault)(), httpx.Client(base_url=house.url, timeout=30) as client:
            began = time.monotonic()
            load.more(50)
            known = {"authorization": f"Bearer {key}"}
            with ThreadPoolExecutor(20) as pool:
                asked = [pool.submit(client.get, "/v1/usage", headers=known) for _ in range(20)]
                asked += [pool.submit(client.get, "/v1/models", headers=UNKNOWN) for _ in range(5)]
                for each in asked:
                    refused = each.result()
                    assert refused.status_code == 503, refused.text
                    assert error_of(refused)["code"] == "database_unavailable"
            assert client.get("/v1/models").status_code == 401
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 200
            wait_until(lambda: time.monotonic() - began > seconds, 60)
            load.more(50)
        with httpx.Client(base_url=house.url, timeout=30) as client:
            wait_until(lambda: client.get("/v1/models", headers=UNKNOWN).status_code == 401, 15)
            assert client.get("/v1/usage", headers=known).status_code == 200
        load.more(50)
    finally:
        calls = load.end()
    wrong = Counter(call.error or str(call.status) for call in calls if not call.whole)
    assert not wrong
    wait_until(lambda: len(rows(house)) >= before + len(calls), 30, "all records are settled")
    found = {row["request_id"]: row for row in rows(house)[before:]}
    assert len(found) == len(calls) == len(rows(house)) - before
    for call in calls:
        row = found[call.request_id]
        assert (row["completion_tokens"], row["outcome"]) == (call.tokens, "finished")
    assert sum(call.tokens == tokens for call in calls) == STREAMS
    with closing(connected(house)) as database:
        asked_of = "SELECT COUNT(*), SUM(completion_tokens) FROM accounts_usagerecord"
        all_told = database.execute(asked_of).fetchone()
        for table, span in (("usagesum", "hour"), ("usagesum", "4wks"), ("housesum", "day")):
            asked_of = f"SELECT SUM(requests), SUM(completion_tokens) FROM accounts_{table}"
            sums = database.execute(f"{asked_of} WHERE span = %s", [span]).fetchone()
            assert sums == all_told
    wait_until(lambda: sessions(house) <= CONNECTIONS, 20, "few connections")


def house_runs(house: RunningServer, key: str) -> int:
    """How many answers the slow model gives."""
    headers = {"authorization": f"Bearer {key}"}
    said = httpx.get(f"{house.url}/v1/models/echo-slow", headers=headers, timeout=10)
    return int(said.json()["llms"]["running"])


def test_pages_of_a_crowd_share_few_connections(house: RunningServer, key: str) -> None:
    """Twenty signed-in people load a page at once, three times; each page reads the database."""
    session = house.shell(SIGN_IN.format(user="known"))
    done = threading.Event()
    most = 0

    def look() -> None:
        nonlocal most
        sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
        with psycopg.connect(house.env["DATABASE_URL"], autocommit=True) as database:
            while not done.is_set():
                found = database.execute(f"{sql} AND pid <> pg_backend_pid()").fetchone()
                assert found is not None
                most = max(most, int(found[0]))

    def load_page(_: int) -> int:
        cookies = {"sessionid": session}
        return httpx.get(f"{house.url}/keys", cookies=cookies, timeout=60).status_code

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with ThreadPoolExecutor(20) as pool:
            said = Counter(pool.map(load_page, range(60)))
    finally:
        done.set()
        watcher.join()
    assert said == {200: 60}
    assert 1 <= most <= CONNECTIONS


@contextmanager
def pages_take_all_connections(house: RunningServer) -> Iterator[None]:
    """A crowd loads a page that waits for a lock, over and over."""
    cookies = {"sessionid": house.shell(SIGN_IN.format(user="known"))}
    done = threading.Event()

    def load_pages() -> None:
        with httpx.Client(base_url=house.url, cookies=cookies, timeout=60) as client:
            while not done.is_set():
                assert client.get("/usage").status_code in (200, 503)

    sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with closing(connected(house)) as database, ThreadPoolExecutor(5 * CONNECTIONS) as pool:
        database.execute("BEGIN")
        database.execute("LOCK TABLE accounts_usagesum IN ACCESS EXCLUSIVE MODE")
        people = [pool.submit(load_pages) for _ in range(5 * CONNECTIONS)]
        try:
            wait_until(lambda: database.execute(sql).fetchone()[0] >= CONNECTIONS - 1, 20)
            yield
        finally:
            done.set()
            database.execute("ROLLBACK")
    for each in people:
        each.result()


def test_pages_that_take_all_connections_keep_no_revoked_key_alive(house: RunningServer) -> None:
    headers = {"authorization": f"Bearer {make_key(house, 'leaving', 'known')}"}
    with httpx.Client(base_url=house.url, timeout=30) as client:
        assert client.get("/v1/models", headers=headers).status_code == 200
        with pages_take_all_connections(house):
            # One that nobody knows is looked for there and then.
            assert client.get("/v1/models", headers=UNKNOWN).status_code == 401
            with closing(connected(house)) as database:
                revoke = "UPDATE accounts_apikey SET revoked = now() WHERE name = 'leaving'"
                assert database.execute(revoke).rowcount == 1
            wait_until(lambda: client.get("/v1/models", headers=headers).status_code == 401, 5)


def test_what_is_asked_of_a_database_that_waits_for_a_lock_ends_in_time(
    house: RunningServer, key: str
) -> None:
    """PostgreSQL itself ends what takes too long: no session of ours is left behind to wait."""
    known = {"authorization": f"Bearer {key}"}
    with closing(connected(house)) as database, httpx.Client(base_url=house.url) as client:
        database.execute("BEGIN")
        database.execute("LOCK TABLE accounts_usagesum IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        refused = client.get("/v1/usage", headers=known, timeout=30)
        assert refused.status_code == 503
        assert 1.5 < time.monotonic() - began < 10
        sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        answered = client.post(TEXT, json={"prompt": "one two"}, headers=known)
        assert answered.status_code == 200
        # Of the one that settles records there may be one at a time.
        for _ in range(50):
            waiting = database.execute(sql).fetchone()
            assert waiting is not None and waiting[0] <= 1
            time.sleep(0.1)  # the time over which it is looked at
        database.execute("ROLLBACK")
    assert httpx.get(f"{house.url}/v1/usage", headers=known, timeout=30).status_code == 200
