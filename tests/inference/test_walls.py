"""M2: code that comes with a model is refused without its card's word, and with it jailed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.catalogue import CardError, ModelCard, check_card
from inference.engines import walls
from inference.engines.base import Engine, Resources, make_engine
from inference.errors import EngineCrashed, LoadFailed, OutOfMemory, UnsafeCode
from inference.found import files_of
from inference.hub import Found
from inference.requests import TaskRequest
from inference.weights import measure
from tests.servers import ROOT

SECRET = "a-secret-of-the-server"
# What such code may try when it is imported, and when it is asked.
OWN = """
import json
import os
import socket
from pathlib import Path

from transformers import BertConfig, BertForSequenceClassification


def tried(what, work):
    try:
        found = work()
    except Exception as error:
        found = type(error).__name__
    print("TRIED", json.dumps([what, str(found)]), flush=True)


class OwnConfig(BertConfig):
    model_type = "own"


class OwnClassifier(BertForSequenceClassification):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        tried("network", lambda: socket.create_connection(("127.0.0.1", <port>), 5))
        tried("names", lambda: socket.getaddrinfo("huggingface.co", 443))
        tried("secret", lambda: os.environ.get("LLMS_SECRET_KEY"))
        tried("environment", lambda: <secret> in str(dict(os.environ)))
        tried("file", lambda: Path(<file>).read_text())
        tried("processes", lambda: len([x for x in os.listdir("/proc") if x.isdigit()]))
        tried("own file", lambda: (Path(<folder>) / "config.json").write_text("x"))
        tried("who", os.getuid)

    def forward(self, *args, **named):
        while <greedy>:
            MUCH.append(bytearray(b"x" * 2**24))
        return super().forward(*args, **named)


MUCH = []
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier."""
    folder = tmp_path_factory.mktemp("own") / "plain"
    command = [sys.executable, "-m", "tests.tiny_tasks", "text-classification", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    return folder


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody in this machine's network who hears of every connection."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.setblocking(False)
        yield found


def own(plain: Path, folder: Path, port: int, secret_file: Path, greedy: bool = False) -> ModelCard:
    """The same classifier as a repository with code of its own."""
    folder.mkdir()
    folder.chmod(0o755)
    for file in plain.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    classes = {"AutoConfig": "own.OwnConfig"}
    classes["AutoModelForSequenceClassification"] = "own.OwnClassifier"
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "architectures": ["OwnClassifier"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    given: dict[str, Any] = {"port": port, "secret": SECRET, "greedy": greedy}
    given |= {"file": str(secret_file), "folder": str(folder)}
    code = OWN
    for name, value in given.items():
        code = code.replace(f"<{name}>", repr(value))
    (folder / "own.py").write_text(code)
    return ModelCard(
        "own", str(folder), task="text-classification", engine="transformers", dtype="float32"
    )


@asynccontextmanager
async def started(card: ModelCard, log: Path) -> AsyncIterator[Engine]:
    resources = Resources(card.source, log, "cpu", ("0",), 2**30, 0, 2**32)
    engine = make_engine(card, resources)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.stop()


async def asked(engine: Engine, text: str) -> Any:
    question = TaskRequest(model="own", task="text-classification", inputs=text)
    prepared = await engine.prepare(question)
    (output,) = [output async for output in engine.generate(prepared)]
    return output.data


@pytest.mark.jail
@pytest.mark.timeout(240)
async def test_such_code_runs_in_a_jail(
    plain: Path,
    tmp_path: Path,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMS_SECRET_KEY", SECRET)
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    card = own(plain, tmp_path / "repository", listener.getsockname()[1], secret_file)
    log = tmp_path / "log"
    async with started(replace(card, trust_remote_code=True), log) as engine:
        [labels] = await asked(engine, "bad")
        assert {"label", "score"} <= labels[0].keys()
    lines = [line for line in log.read_text().splitlines() if line.startswith("TRIED ")]
    tried = dict(json.loads(line.removeprefix("TRIED ")) for line in lines)
    assert tried["network"] in ("OSError", "ConnectionRefusedError")
    assert tried["names"] == "gaierror"
    assert (tried["secret"], tried["environment"]) == ("None", "False")
    assert tried["file"] == "FileNotFoundError"
    assert tried["own file"] in ("OSError", "PermissionError")
    assert int(tried["processes"]) < 6
    assert int(tried["who"]) == 65534
    with pytest.raises(BlockingIOError):
        listener.accept()
    assert json.loads((tmp_path / "repository" / "config.json").read_text())["auto_map"]


@pytest.mark.jail
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_what_takes_too_much_memory_is_ended(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that grows: the worker ends, its caller hears why, the server lives."""
    monkeypatch.setattr(walls, "BESIDE_BYTES", 2**30)
    card = own(plain, tmp_path / "repository", 9, tmp_path / "secret", greedy=True)
    async with started(replace(card, trust_remote_code=True), tmp_path / "log") as engine:
        with pytest.raises((EngineCrashed, OutOfMemory)):
            await asked(engine, "bad")


async def test_without_its_cards_word_nothing_of_it_runs(plain: Path, tmp_path: Path) -> None:
    card = own(plain, tmp_path / "repository", 9, tmp_path / "secret")
    with pytest.raises(UnsafeCode, match="auto_map"):
        await asyncio.to_thread(measure, card, Path(card.source))
    log = tmp_path / "log"
    with pytest.raises(LoadFailed):
        async with started(card, log):
            pass
    assert "TRIED" not in log.read_text()


async def test_without_a_jail_it_does_not_load(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.jail.problem", lambda: "bwrap is missing: install bubblewrap.")
    card = own(plain, tmp_path / "repository", 9, tmp_path / "secret")
    log = tmp_path / "log"
    with pytest.raises(LoadFailed, match="only in a jail. bwrap is missing"):
        async with started(replace(card, trust_remote_code=True), log):
            pass
    assert not log.exists()


@pytest.mark.jail
@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands over to somebody else")
async def test_files_that_nobody_may_read_are_told_so(plain: Path, tmp_path: Path) -> None:
    card = own(plain, tmp_path / "repository", 9, tmp_path / "secret")
    (tmp_path / "repository" / "tokenizer.json").chmod(0o600)
    with pytest.raises(LoadFailed, match=r"chmod -R a\+rX the folder of `tokenizer.json`"):
        async with started(replace(card, trust_remote_code=True), tmp_path / "log"):
            pass


@pytest.mark.parametrize("engine", ["vllm", "echo", "custom"])
def test_no_other_engine_takes_such_code(engine: str) -> None:
    card = ModelCard("m", "m", engine=engine, trust_remote_code=True)
    with pytest.raises(CardError, match="in a jail"):
        check_card(card)


def test_code_is_fetched_only_where_it_is_trusted() -> None:
    files = {"model.safetensors": 9, "config.json": 1, "own.py": 3, "evil.sh": 1, "a/own.py": 3}
    found = Found("a/b", "0123", files, {"auto_map": {}})
    assert set(files_of(found)) == {"model.safetensors", "config.json"}
    assert set(files_of(found, with_code=True)) == {"model.safetensors", "config.json", "own.py"}
