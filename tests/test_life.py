"""The server's life: starting twice, draining, dying, and what becomes of its engines."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import le
from pathlib import Path

import httpx
import pytest

from tests.api.test_metrics import figure, figures
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import DEFAULTS, ROOT, RunningServer, alive, wait_until
from tests.usage import rows

HANG_SECONDS = float(DEFAULTS["HANG_SECONDS"])
# Of a default watchdog's twenty seconds; and how much longer than its load an engine may be away.
END_SECONDS, BACK_SECONDS = 10.0, 10.0
WORDS = " ".join(f"w{i}" for i in range(60))
NOBODY = "from django.contrib.auth.models import User; User.objects.all().delete()"


def stream(server: RunningServer, model: str, text: str, **more: object) -> Iterator[str]:
    """The data of each SSE event of a chat completion."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": text}], **more}
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ")


def load_seconds(server: RunningServer) -> float:
    """What all loads of `pocket` took together."""
    return figure(figures(server), "switch_seconds_total", model="pocket", kind="load", failed="0")


def text_of(events: list[str]) -> str:
    chunks = [json.loads(e) for e in events if e != "[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


@pytest.mark.database
def test_second_start_changes_nothing(make_server: MakeServer) -> None:
    first = make_server({"DJANGO_SUPERUSER_PASSWORD": ""})
    secret = first.data / "secret_key"
    before = secret.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    again = first.manage("prepare")
    assert "First admin" not in again.stdout
    assert secret.read_text() == before
    assert first.stop() == 0


def test_first_admin_is_told_once_and_a_given_password_never(tmp_path: Path) -> None:
    def manage(*command: str, **env: str) -> str:
        run = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**os.environ, "LLMS_DATA": str(tmp_path), **env},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    assert "First admin: admin, password: " in manage("prepare")
    assert manage("prepare") == ""
    manage("shell", "--no-imports", "-v0", "-c", NOBODY)
    said = manage("prepare", DJANGO_SUPERUSER_PASSWORD="swordfish-swordfish")
    assert "First admin: admin" in said and "swordfish" not in said


def test_sigterm_lets_running_answers_finish(make_server: MakeServer) -> None:
    server = make_server()
    httpx.post(
        f"{server.url}/v1/completions", json={"model": "echo-slow", "prompt": "x"}, timeout=30
    )
    with ThreadPoolExecutor(20) as pool:
        streams = [pool.submit(list, stream(server, "echo-slow", WORDS)) for _ in range(20)]
        wait_until(lambda: server.model("echo-slow")["running"] == 20, what="20 streams run")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        refused = httpx.post(f"{server.url}/v1/completions", json={"prompt": "x"})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "server_shutting_down"
        for one in streams:
            events = one.result(timeout=30)
            assert events[-1] == "[DONE]"
            assert text_of(events).split() == [f"{i}:w{i}" for i in range(60)]
    assert server.process.wait(20) == 0


def test_past_the_drain_limit_a_stream_ends_with_a_typed_event(make_server: MakeServer) -> None:
    server = make_server({"DRAIN_SECONDS": "1"})
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(list, stream(server, "echo-slow", "word " * 1000))
        wait_until(lambda: server.model("echo-slow")["running"] == 1)
        assert server.stop() == 0
        events = one.result(timeout=10)
    assert json.loads(events[-2])["error"]["code"] == "server_shutting_down"
    assert events[-1] == "[DONE]"


def test_sigterm_lets_a_whole_answer_reach_its_reader(make_server: MakeServer) -> None:
    """It is written in one go; most of it then waits for a client who reads as it can."""
    server = make_server()
    body = json.dumps({"model": "echo", "prompt": "x" * 8_000_000}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        line.settimeout(30)
        line.connect(("127.0.0.1", server.port))
        line.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        found = bytearray(line.recv(1000))
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        while piece := line.recv(2**20):
            found += piece
    answer = json.loads(found.partition(b"\r\n\r\n")[2])
    assert len(answer["choices"][0]["text"]) > 8_000_000
    assert server.process.wait(20) == 0


def test_ctrl_c_ends_with_exit_code_0(make_server: MakeServer) -> None:
    server = make_server()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0


def test_port_in_use_is_said_and_exits_1(make_server: MakeServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = make_server(ready=False)
        run = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", str(taken.getsockname()[1])],
            cwd=ROOT,
            env=server.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert run.returncode == 1
    assert "Listen failure" in run.stderr
    server.wait_ready()
    assert server.stop() == 0


def test_unknown_default_model_is_said_and_exits_1(make_server: MakeServer) -> None:
    server = make_server({"DEFAULT_MODEL": "nobody"}, ready=False)
    assert server.process.wait(30) == 1
    assert "The model `nobody` does not exist" in server.log.read_text()


def test_open_mode_beyond_loopback_is_warned_of(make_server: MakeServer) -> None:
    server = make_server({"HOST": "0.0.0.0"})
    assert "without a key" in server.log.read_text()
    assert server.stop() == 0


@pytest.mark.parametrize(
    "variable", [{"PORT": "x"}, {"AUTH_MODE": "maybe"}, {"DRAIN_SECONDS": "-1"}]
)
def test_bad_setting_is_named(variable: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, **variable},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert next(iter(variable)) in run.stderr.splitlines()[-1]


def test_check_imports_no_torch() -> None:
    code = (
        "import sys, django; django.setup(); from django.core.management import call_command;"
        "call_command('check');"
        "print([m for m in ('torch', 'vllm', 'transformers') if m in sys.modules])"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "playground.settings"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert run.stdout.strip().endswith("[]"), run.stdout + run.stderr


# R6, R8
@pytest.mark.engine
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_engine_that_breaks_in_mid_stream_comes_back(
    pocket_server: RunningServer, fault: signal.Signals
) -> None:
    """Who hears its answer is told, who waits for a place gets one after the restart."""
    server = pocket_server
    places = 32  # as the catalogue of these tests says
    # A process that is gone is seen at once; of one that is silent that has to be found out.
    silence = HANG_SECONDS if fault == signal.SIGSTOP else 0.0
    begun = threading.Semaphore(0)

    def read() -> list[str]:
        events = []
        for event in stream(server, "pocket", "hi", max_tokens=1900, ignore_eos=True):
            events.append(event)
            if len(events) == 4:
                begun.release()
        return events

    def ask() -> httpx.Response:
        body = {"model": "pocket", "prompt": "What is the capital of France?", "max_tokens": 16}
        return httpx.post(f"{server.url}/v1/completions", json=body, timeout=180)

    with unharmed(server), ThreadPoolExecutor(places + 10) as pool:
        streams = [pool.submit(read) for _ in range(places)]
        for _ in streams:
            assert begun.acquire(timeout=60)
        queued = [pool.submit(ask) for _ in range(10)]
        wait_until(lambda: server.model("pocket")["waiting"] == 10, 30, "ten wait")
        # Other models of the shared server may have engines too; all of them come back.
        engines = [p for p in server.children() if _name(p).startswith("VLLM::EngineCor")]
        loads = load_seconds(server)
        began = time.monotonic()
        for engine in engines:
            os.kill(engine, fault)
        told = []
        for each in streams:
            events = each.result(timeout=60)
            assert json.loads(events[-2])["error"]["code"] == "engine_crashed"
            assert events[-1] == "[DONE]"
            # One event for the role, one for the failure, and [DONE].
            told.append(len(events) - 3)
        assert time.monotonic() - began < silence + END_SECONDS
        # Its sockets go before its memory does.
        wait_until(lambda: not any(map(alive, engines)), 10, "the engines are gone")
        wait_until(lambda: server.model("pocket")["state"] == "ready", 180, "it is back")
        back = time.monotonic() - began
        answers = [each.result(timeout=60) for each in queued]
    for again in answers:
        assert again.status_code == 200, again.text
        assert "Paris" in again.json()["choices"][0]["text"]
    assert engines
    # The second load: what it took by itself, and nothing much beside it.
    load = load_seconds(server) - loads
    assert back < silence + load + BACK_SECONDS, (back, load)

    def failed() -> bool:
        ended = [row["completion_tokens"] for row in rows(server) if row["outcome"] == "failed"]
        last = sorted(ended[-places:])
        return len(last) == places and all(map(le, sorted(told), last))

    wait_until(failed, 10, "each has a record with the tokens that it was told")


# R15
@pytest.mark.engine
def test_no_engine_outlives_its_server(make_server: MakeServer) -> None:
    server = make_server({"DEFAULT_MODEL": "pocket"}, ready=False).wait_ready(180)
    children = server.children()
    assert any(_name(p).startswith("VLLM::") for p in children)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not any(map(alive, children)), 10, "the engines ended")


@pytest.mark.engine
def test_sigterm_while_loading_ends_everything(make_server: MakeServer) -> None:
    server = make_server({"DEFAULT_MODEL": "pocket"}, ready=False)
    wait_until(lambda: any(_name(p).startswith("VLLM::") for p in server.children()), 90)
    children = server.children()
    assert server.stop(40) == 0
    wait_until(lambda: not any(map(alive, children)), 5, "the engines ended")


@pytest.mark.engine
def test_engine_needs_no_compiler(pocket_server: RunningServer) -> None:
    """None is on the PATH of any server of these tests, and this one's engine answers."""
    path = pocket_server.env["PATH"]
    assert not any(shutil.which(name, path=path) for name in ("cc", "gcc", "g++", "c++", "clang"))
    assert shutil.which("lscpu", path=path)


@pytest.mark.engine
def test_no_library_reports_usage(pocket_server: RunningServer) -> None:
    # Engines rename themselves over what /proc tells of their environment; the process that
    # multiprocessing starts beside them keeps it.
    found = [Path(f"/proc/{pid}/environ").read_bytes() for pid in pocket_server.children()]
    kept = [env.split(b"\0") for env in found if b"LLMS_SERVER_PID=" in env]
    assert kept
    for env in kept:
        assert {b"VLLM_NO_USAGE_STATS=1", b"DO_NOT_TRACK=1", b"HF_HUB_DISABLE_TELEMETRY=1"} <= {
            *env
        }


def _name(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
    return command.strip()
