"""Who is measured: our server, vLLM's own server, and AsyncLLM with no server round it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import client, procs
from bench.client import Job
from inference.engines.vllm_base import ONE_PROCESS

# The one place that names the peer.
VLLM_SERVER = "vllm.entrypoints.openai.api_server"
VLLM_CLI = "bench.vllm_cli"
LOAD_SECONDS = 300.0
# Both servers: CPU threads, logging and telemetry as ours sets them.
ENGINE_ENV = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",
}
MAKE_KEY = """
from django.contrib.auth import get_user_model
from playground.accounts.models import ApiKey
key = ApiKey(owner=get_user_model().objects.first(), name="bench")
text = key.draw()
key.save()
print(text)
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all contenders have in common."""

    model: str
    engine: str
    max_num_seqs: int
    max_model_len: int
    kv_cache_bytes: int
    cpu: bool
    folder: Path
    dtype: str = "auto"

    def engine_args(self) -> dict[str, Any]:
        """vLLM's arguments, in its own names."""
        return {
            "model": self.model,
            "max_num_seqs": self.max_num_seqs,
            "max_model_len": self.max_model_len,
            "kv_cache_memory_bytes": self.kv_cache_bytes,
            "load_format": "safetensors",
            "dtype": self.dtype,
            "disable_log_stats": True,
            **({"enforce_eager": True} if self.cpu else {}),
        }

    def executor(self) -> dict[str, Any]:
        """That in which ours starts an engine otherwise than vLLM does by itself."""
        return {"distributed_executor_backend": ONE_PROCESS} if self.cpu else {}


class Contender(Protocol):
    """Something that answers jobs; `fronts` are the processes that speak with clients."""

    name: str

    def fronts(self) -> list[int]: ...

    def engines(self) -> list[int]: ...

    def run(self, job: dict[str, Any]) -> dict[str, float]: ...


class HttpServer:
    """A server, asked by a client process of its own."""

    client = "bench.client"

    def __init__(self, name: str, child: procs.Child, port: int, model: str, key: str) -> None:
        self.name, self.front = name, child.pid
        self._child, self.port, self._model, self.key = child, port, model, key

    def fronts(self) -> list[int]:
        """The front process alone."""
        return [self.front]

    def engines(self) -> list[int]:
        """Everything behind the front process."""
        return self._child.below()

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Until something holds that the server does. Raises Trouble."""
        self._child.wait_until(condition, seconds, what)

    def run(self, job: dict[str, Any]) -> dict[str, float]:
        """Let a client process do the job; its figures."""
        whole = Job(port=self.port, model=self._model, key=self.key, **job)
        command = [sys.executable, "-m", self.client, client.as_text(whole)]
        done = subprocess.run(command, cwd=procs.ROOT, capture_output=True, text=True)
        if done.returncode:
            raise procs.Trouble(f"{self.name}: {done.stderr.strip()[-1500:]}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures


class Pages(HttpServer):
    """Our server, asked over its websocket."""

    client = "bench.pages"


class SeveralFronts(HttpServer):
    """vLLM's server with several processes that speak HTTP, below one that watches them."""

    def fronts(self) -> list[int]:
        """The one that watches, and those that it started to speak HTTP."""
        return [self.front, *filter(_speaks_http, self._child.below())]

    def engines(self) -> list[int]:
        """All others."""
        return [pid for pid in self._child.below() if not _speaks_http(pid)]


def _speaks_http(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith("VLLM::APIServer")


class InProcess:
    """AsyncLLM in a process of ours, called without HTTP: what no server can undercut."""

    name = "AsyncLLM alone"

    def __init__(self, child: procs.Child) -> None:
        self.front, self._child = child.pid, child

    def fronts(self) -> list[int]:
        """The process that calls it."""
        return [self.front]

    def engines(self) -> list[int]:
        """The engine's own processes."""
        return self._child.below()

    def run(self, job: dict[str, Any]) -> dict[str, float]:
        """Send one line, read one line."""
        self._child.stdin.write(json.dumps(job).encode() + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise procs.Trouble(f"{self.name} ended:\n{self._child.log.read_text()[-2000:]}")
        figures: dict[str, float] = json.loads(line)
        return figures


@contextmanager
def ours(
    setup: Setup, under: Sequence[str] = (), more: Mapping[str, str] | None = None
) -> Iterator[Contender]:
    """`manage.py serve` with one model, asking for keys; `under` these arguments of Python."""
    settings = {**(more or {}), "DEFAULT_MODEL": "bench", "AUTH_MODE": "key"}
    with serving(setup.folder / "ours", card(setup), settings, under) as (child, port, env):
        key = manage(env, "shell", "--no-imports", "-v0", "-c", MAKE_KEY).split()[-1]
        yield HttpServer("ours", child, port, "bench", key)


@contextmanager
def pages(setup: Setup) -> Iterator[Contender]:
    """The same, asked by pages of the playground, which need no sign-in."""
    more = {"DEFAULT_MODEL": "bench", "AUTH_MODE": "open"}
    with serving(setup.folder / "pages", card(setup), more) as (child, port, _):
        yield Pages("pages", child, port, "bench", "")


@contextmanager
def serving(
    data: Path, cards: str, more: Mapping[str, str], under: Sequence[str] = ()
) -> Iterator[tuple[procs.Child, int, dict[str, str]]]:
    """`manage.py serve` with a data folder and a catalogue of its own: process, port, settings."""
    data.mkdir()
    catalogue, port = data / "catalogue.toml", procs.free_port()
    catalogue.write_text(cards)
    env = {
        **ENGINE_ENV,
        "LLMS_DATA": str(data),
        "CATALOGUE": str(catalogue),
        "HOST": "127.0.0.1",
        **more,
    }
    manage(env, "prepare")
    command = [sys.executable, *under, "manage.py", "serve", "--port", str(port)]
    with procs.Child(command, data / "server.log", env) as child:
        child.wait_until(lambda: procs.answers(port, "/readyz"), LOAD_SECONDS, "our server")
        yield child, port, env


def card(setup: Setup) -> str:
    """The catalogue of our server: one model with the engine arguments that all get."""
    lines = [
        "[[model]]",
        'id = "bench"',
        f"source = {json.dumps(setup.model)}",
        f'engine = "{setup.engine}"',
        'wish = "pin"',
        f"max_num_seqs = {setup.max_num_seqs}",
        f'dtype = "{setup.dtype}"',
    ]
    if setup.engine == "vllm":
        lines.append(f"max_model_len = {setup.max_model_len}")
        lines.append(f"engine_args = {{ kv_cache_memory_bytes = {setup.kv_cache_bytes} }}")
    else:
        lines.append(f"engine_args = {{ context = {setup.max_model_len} }}")
    return "\n".join(lines)


def manage(env: dict[str, str], *args: str) -> str:
    """Run a management command; what it prints."""
    child = subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=procs.ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    if child.returncode:
        raise procs.Trouble(f"manage.py {args[0]}: {child.stdout}{child.stderr}")
    return child.stdout


@contextmanager
def vllm(setup: Setup) -> Iterator[Contender]:
    """vLLM's own server."""
    with _vllm(setup, ["-m", VLLM_SERVER], ["--model", setup.model]) as (child, port, key):
        yield HttpServer("vLLM's", child, port, "bench", key)


@contextmanager
def vllm_one(setup: Setup) -> Iterator[Contender]:
    """The same with the engine in one process, as ours has it."""
    more = ["--model", setup.model, *_as_options(setup.executor())]
    with _vllm(setup, ["-m", VLLM_SERVER], more) as (child, port, key):
        yield HttpServer("vLLM's, our engine", child, port, "bench", key)


@contextmanager
def vllm_two(setup: Setup) -> Iterator[Contender]:
    """The same with two processes that speak HTTP."""
    start = ["-m", VLLM_CLI, "serve", setup.model]
    with _vllm(setup, start, ["--api-server-count", "2"]) as (child, port, key):
        yield SeveralFronts("vLLM's, two fronts", child, port, "bench", key)


@contextmanager
def _vllm(
    setup: Setup, start: Sequence[str], more: Sequence[str]
) -> Iterator[tuple[procs.Child, int, str]]:
    port, key = procs.free_port(), secrets.token_hex(16)
    options = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "bench"]
    options += ["--api-key", key, "--disable-uvicorn-access-log", *more]
    args = setup.engine_args()
    options += _as_options({name: args[name] for name in args.keys() - {"model"}})
    command = [sys.executable, *start, *options]
    env = ENGINE_ENV | ({"VLLM_TARGET_DEVICE": "cpu"} if setup.cpu else {})
    with procs.Child(command, setup.folder / "vllm.log", env) as child:
        child.wait_until(lambda: procs.answers(port, "/health"), LOAD_SECONDS, "vLLM's server")
        yield child, port, key


def _as_options(args: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in args.items():
        found.append(f"--{name.replace('_', '-')}")
        found += [] if value is True else [str(value)]
    return found


@contextmanager
def floor(setup: Setup) -> Iterator[Contender]:
    """AsyncLLM, called in process, with the engine that ours has."""
    args = {**setup.engine_args(), **setup.executor()}
    command = [sys.executable, "-m", "bench.floor", json.dumps(args)]
    with procs.Child(command, setup.folder / "floor.log", ENGINE_ENV, talks=True) as child:
        if child.stdout.readline().strip() != b"ready":
            raise procs.Trouble(f"AsyncLLM did not load:\n{child.log.read_text()[-2000:]}")
        yield InProcess(child)
