"""Behind a proxy that cuts silence: streams live on comments, whole answers on a kept place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.asking import CHAT, user
from tests.conftest import MakeServer
from tests.proxies import Nginx
from tests.servers import RunningServer, wait_until
from tests.turns import ENV, busy, queued_seconds, stock_client_waits

pytestmark = pytest.mark.proxy
SILENCE = 2
PATIENCE = {"MAX_SILENT_WAIT": "1", "KEEPALIVE_SECONDS": "1", "TRUSTED_PROXIES": "127.0.0.1"}
ASKED = {"model": "right", "messages": user("one two three")}


@pytest.fixture(scope="module")
def turns(make_server: MakeServer) -> RunningServer:
    """A server with memory for one model, that knows how long its proxy bears silence."""
    return make_server(ENV | PATIENCE)


@pytest.fixture(scope="module")
def nginx(turns: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The proxy in front of it."""
    proxy = Nginx(tmp_path_factory.mktemp("nginx"), turns, SILENCE)
    yield proxy
    proxy.stop()


def test_the_stock_client_gets_its_answer_in_the_kept_place(
    turns: RunningServer, nginx: Nginx
) -> None:
    # Longer than the proxy bears silence: only a retry in the kept place can have brought it.
    assert stock_client_waits(turns, nginx.url, SILENCE) > SILENCE


def test_whoever_is_cut_off_by_the_proxy_leaves_nothing(make_server: MakeServer) -> None:
    """The counterpart: a server that does not know what its proxy bears."""
    server = make_server(ENV | PATIENCE | {"MAX_SILENT_WAIT": "60"})
    proxy = Nginx(server.data, server, SILENCE)
    try:
        with busy(server):
            answer = httpx.post(f"{proxy.url}{CHAT}", json=ASKED, timeout=30)
            assert answer.status_code == 504 and "nginx" in answer.text
            wait_until(lambda: queued_seconds(server, "right") == [], 2.0)
    finally:
        proxy.stop()


def test_comments_keep_a_waiting_stream_alive_and_come_at_once(
    turns: RunningServer, nginx: Nginx
) -> None:
    came: list[tuple[float, str]] = []

    def read() -> None:
        body = ASKED | {"stream": True}
        with httpx.stream("POST", f"{nginx.url}{CHAT}", json=body, timeout=30) as answer:
            for line in answer.iter_lines():
                came.extend([(time.monotonic(), line)] if line else [])

    with ThreadPoolExecutor(1) as pool, busy(turns):
        reading = pool.submit(read)
        # While nothing but comments was said, they have passed the proxy's buffer.
        wait_until(lambda: sum(line.startswith(": queue") for _, line in came) >= 4)
        assert not any(line.startswith("data:") for _, line in came)
        assert came[-1][0] - came[0][0] > SILENCE
    reading.result(30)
    assert came[-1][1] == "data: [DONE]"


def test_tokens_pass_the_proxy_one_by_one(turns: RunningServer, nginx: Nginx) -> None:
    body = {"model": "left", "messages": user("one " * 20), "stream": True}
    with httpx.stream("POST", f"{nginx.url}{CHAT}", json=body, timeout=30) as answer:
        moments = [time.monotonic() for line in answer.iter_lines() if line.startswith("data: {")]
    # Twenty tokens a second: buffered they would all come in the same moment.
    assert moments[-1] - moments[1] > 0.5
