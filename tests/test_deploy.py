"""What is in deploy/ works: nginx in front of a server with its settings, the unit, the tunnel."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.conftest import MakeServer
from tests.proxies import NAME, Shipped
from tests.servers import ROOT, RunningServer, free_port, wait_until
from tests.test_docs import settings_read

DEPLOY = ROOT / "deploy"
ORIGIN = f"https://{NAME}"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


def shipped_settings() -> dict[str, str]:
    """The environment that deploy/llms-for-all.env makes."""
    lines = (DEPLOY / "llms-for-all.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_settings_exist() -> None:
    text = (DEPLOY / "llms-for-all.env").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    assert len(named) > 8 and named <= settings_read() | {"HOST", "PORT"}


def test_django_has_nothing_to_complain_of(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**os.environ, **shipped_settings(), "LLMS_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    unit = tmp_path / "llms-for-all.service"
    # The programs that it starts have to be there.
    unit.write_text((DEPLOY / unit.name).read_text().replace("/opt/llms-for-all", str(ROOT)))
    command = ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_the_unit_outwaits_a_drain() -> None:
    text = (DEPLOY / "llms-for-all.service").read_text()
    # SIGTERM for the server alone, which by default drains for 30 s.
    assert "KillMode=mixed" in text and "TimeoutStopSec=2min" in text


def test_the_tunnel_leads_to_the_server_and_keeps_the_figures_back() -> None:
    config = yaml.safe_load((DEPLOY / "cloudflared.yml").read_text())
    figures, site, rest = config["ingress"]
    assert re.match(figures["path"], "/metrics") and figures["service"] == "http_status:404"
    given = shipped_settings()
    assert site["service"] == f"http://{given['HOST']}:{given['PORT']}"
    assert figures["hostname"] == site["hostname"] == NAME and NAME in given["ALLOWED_HOSTS"]
    # Every list of rules ends with one for all that is left.
    assert rest == {"service": "http_status:404"}


# --- nginx -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(make_server: MakeServer) -> RunningServer:
    """A server with the shipped settings, at a port of its own."""
    given = shipped_settings()
    return make_server({**given, "PORT": str(free_port())})


@pytest.fixture(scope="module")
def nginx(house: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    proxy = Shipped(tmp_path_factory.mktemp("nginx"), house)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="module")
def key(house: RunningServer) -> dict[str, str]:
    """A key of the admin's."""
    made = house.manage("keys", "create", "--owner", "admin", "--name", "proxied").stdout.strip()
    return {"authorization": f"Bearer {made}"}


@pytest.mark.proxy
def test_plain_http_is_sent_to_https(nginx: Shipped) -> None:
    answer = httpx.get(f"http://127.0.0.1:{nginx.plain_port}/keys?a=b", headers={"host": NAME})
    assert (answer.status_code, answer.headers["location"]) == (301, f"{ORIGIN}/keys?a=b")


@pytest.mark.proxy
def test_a_page_past_the_proxy_sends_to_https(house: RunningServer) -> None:
    answer = httpx.get(f"{house.url}/docs", headers={"host": NAME})
    assert (answer.status_code, answer.headers["location"]) == (301, f"{ORIGIN}/docs")


@pytest.mark.proxy
def test_people_sign_in_and_chat_through_the_proxy(nginx: Shipped) -> None:
    with nginx.client() as client:
        page = client.get("/accounts/login/")
        assert page.headers["strict-transport-security"].startswith("max-age=31536000")
        token = TOKEN.search(page.text)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "login": "admin"}
        form["password"] = "a-long-test-password"
        for origin, status in (("https://evil.example", 403), (ORIGIN, 302)):
            answer = client.post("/accounts/login/", data=form, headers={"origin": origin})
            assert answer.status_code == status, answer.text
        cookies = answer.headers.get_list("set-cookie")
        assert cookies and all("Secure" in each for each in cookies)
        assert f"{ORIGIN}/v1" in client.get("/docs").text
        session = f"sessionid={client.cookies['sessionid']}"
    plain = socket.create_connection(("127.0.0.1", nginx.port))
    with connect(
        f"wss://{NAME}/ws/chat",
        sock=plain,
        ssl=nginx.trust,
        origin=Origin(ORIGIN),
        additional_headers={"Cookie": session},
    ) as line:
        assert json.loads(line.recv(timeout=20))["type"] == "models"
        asked = {"type": "chat", "id": "a", "model": "echo", "messages": user("hello there")}
        line.send(json.dumps(asked))
        kinds: list[str] = []
        while not kinds or kinds[-1] not in ("done", "error"):
            kinds.append(json.loads(line.recv(timeout=20))["type"])
    assert kinds[-1] == "done"


@pytest.mark.proxy
def test_programs_are_answered_through_the_proxy(nginx: Shipped, key: dict[str, str]) -> None:
    with nginx.client() as client:
        assert client.post(TEXT, json={"prompt": "x"}).status_code == 401
        answer = client.post(CHAT, json={"messages": user("one two")}, headers=key)
        assert answer.json()["choices"][0]["message"]["content"].split() == ["0:one", "1:two"]
        body = {"messages": user("one two"), "stream": True}
        with client.stream("POST", CHAT, json=body, headers=key) as stream:
            assert [line for line in stream.iter_lines() if line][-1] == "data: [DONE]"


@pytest.mark.proxy
def test_the_figures_stay_inside(nginx: Shipped, house: RunningServer) -> None:
    with nginx.client() as client:
        assert client.get("/metrics").status_code == 404
        # However the path is written, what the proxy passes on is not near.
        for path in ("/metrics/", "//metrics", "/v1/..%2fmetrics", "/./metrics"):
            answer = client.get(path)
            assert answer.status_code in (302, 401, 404) and "llms_" not in answer.text, path
    assert httpx.get(f"{house.url}/metrics").status_code == 200


@pytest.mark.proxy
def test_the_proxy_refuses_in_openais_words(nginx: Shipped, key: dict[str, str]) -> None:
    with nginx.client() as client:
        answer = client.post(TEXT, content=b"x" * (21 * 2**20), headers=key)
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "content_too_large"


@pytest.mark.proxy
def test_while_the_server_is_away_clients_are_told_to_come_back(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server({**shipped_settings(), "PORT": str(free_port())})
    proxy = Shipped(tmp_path, server)
    try:
        assert server.stop() == 0
        with proxy.client() as client:
            answer = wait_until(lambda: client.get("/v1/models"))
            assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
            assert error_of(answer)["code"] == "server_overloaded"
    finally:
        proxy.stop()
