"""Loads that take long, or never come to an end: R7, R13."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.api.asking import TEXT, error_of
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import wait_until

CARDS = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"

[[model]]
id = "echo-slow"
source = "echo"
engine = "echo"
engine_args = { tokens_per_second = 20 }

[[model]]
id = "wished-for"
source = "echo"
engine = "echo"
wish = "pin"
engine_args = { load_seconds = 6 }

[[model]]
id = "broken"
source = "echo"
engine = "echo"
engine_args = { fail_load = "the disk is made of cheese" }
"""


MUTE = """
[[model]]
id = "mute"
source = "echo"
engine = "echo"
wish = "pin"
engine_args = { silent_after = 0 }
"""


# R13
@pytest.mark.parametrize("wish", ["pin", "preload"])
def test_ready_is_who_has_loaded_what_was_wished_for(
    make_server: MakeServer, tmp_path: Path, wish: str
) -> None:
    (tmp_path / "catalogue.toml").write_text(CARDS.replace('"pin"', f'"{wish}"'))
    env = {"CATALOGUE": str(tmp_path / "catalogue.toml"), "KEEPALIVE_SECONDS": "0.5"}
    server = make_server(env, ready=False)
    with httpx.Client(base_url=server.url, timeout=30) as http:

        def status(path: str) -> int:
            try:
                return http.get(path).status_code
            except httpx.TransportError:
                return 0

        wait_until(lambda: status("/healthz") == 200, 60, "it lives")
        assert status("/readyz") == 503
        wait_until(lambda: status("/v1/models/wished-for") == 200, 10, "the catalogue was read")
        wait_until(lambda: server.model("wished-for")["state"] == "loading", 10, "it loads")
        assert status("/readyz") == 503
        assert server.model("wished-for")["state"] == "loading", (
            "it has been ready too soon to tell"
        )
        # Whoever waits meanwhile is told so, again and again.
        body = {"model": "wished-for", "prompt": "one two", "stream": True}
        heard, last, longest = [], time.monotonic(), 0.0
        with http.stream("POST", TEXT, json=body) as stream:
            for each in stream.iter_lines():
                now = time.monotonic()
                longest, last = max(longest, now - last), now
                heard.append(each)
        assert stream.status_code == 200 and heard[-2] == "data: [DONE]"
        assert any(each.startswith(": queue position=1") for each in heard)
        assert longest < 3.0  # the first comes when a clean error is no longer possible
        assert status("/healthz") == 200
        wait_until(lambda: status("/readyz") == 200, 5, "it is ready")


# R13
def test_ready_is_who_has_answered(make_server: MakeServer, tmp_path: Path) -> None:
    """A model that loads, and then says nothing, is not there."""
    (tmp_path / "catalogue.toml").write_text(CARDS.replace('wish = "pin"', "") + MUTE)
    env = {"CATALOGUE": str(tmp_path / "catalogue.toml"), "DEFAULT_MODEL": "mute"}
    patience = {"LOAD_SECONDS": "3", "FIRST_TOKEN_SECONDS": "6"}
    server = make_server(env | patience, ready=False)
    with httpx.Client(base_url=server.url, timeout=30) as http:

        def state() -> str:
            try:
                return str(server.model("mute")["state"])
            except (httpx.TransportError, KeyError):
                return ""

        wait_until(lambda: state() == "loading", 60, "it loads")
        assert http.get("/readyz").status_code == 503
        refused = http.post(TEXT, json={"model": "mute", "prompt": "one"})
        assert refused.status_code == 503
        assert error_of(refused)["code"] == "model_unavailable"
        assert "did not answer within 3 s" in error_of(refused)["message"]


# R7
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_never_loads_is_tried_less_and_less_and_then_given_up(
    make_server: MakeServer, tmp_path: Path
) -> None:
    (tmp_path / "catalogue.toml").write_text(CARDS.replace("load_seconds = 6", ""))
    server = make_server({"CATALOGUE": str(tmp_path / "catalogue.toml")})
    with unharmed(server), httpx.Client(base_url=server.url, timeout=60) as http:
        began, said = time.monotonic(), ""
        while "failed to load 5 times" not in said:
            answer = http.post(TEXT, json={"model": "broken", "prompt": "one"})
            assert answer.status_code == 503
            assert error_of(answer)["code"] == "model_unavailable"
            said = error_of(answer)["message"]
            assert "cheese" in said
            assert http.post(TEXT, json={"model": "echo", "prompt": "one"}).status_code == 200
        # One, two, four and eight seconds between five tries.
        assert time.monotonic() - began > 14
        assert server.model("broken")["state"] == "failed"
        refused = http.post(TEXT, json={"model": "broken", "prompt": "one"})
        assert refused.status_code == 503 and refused.elapsed.total_seconds() < 1
