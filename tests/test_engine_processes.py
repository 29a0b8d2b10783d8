"""An engine's processes: forked with the imports done, holding nothing of the server's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, RunningServer, alive, descendants, wait_until

pytestmark = pytest.mark.engine


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def sockets(pid: int) -> set[str]:
    """What /proc calls the open sockets of a process."""
    found = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    return {target for target in found if target.startswith("socket:")}


def engines(server: RunningServer) -> list[int]:
    return [pid for pid in server.children() if name(pid).startswith("VLLM::")]


def test_engine_is_forked_where_vllm_is_imported(pocket_server: RunningServer) -> None:
    cores = [pid for pid in engines(pocket_server) if "EngineCore" in name(pid)]
    assert cores
    assert {name(parent(pid)) for pid in cores} == {"llms fork server"}
    assert "fork server cannot be used" not in pocket_server.log.read_text()


def test_no_engine_holds_a_socket_of_the_server(pocket_server: RunningServer) -> None:
    with httpx.Client(base_url=pocket_server.url) as client:
        client.get("/healthz")  # so that there is a connection of a client's
        ours = sockets(pocket_server.process.pid)
        assert len(ours) > 1
        for pid in engines(pocket_server):
            assert not sockets(pid) & ours, name(pid)


def test_a_model_on_one_device_computes_where_vllm_would_have_bound_its_worker(
    pocket_server: RunningServer,
) -> None:
    """OpenMP reads this at a process's start, which a fork is not: it is done by hand."""
    with httpx.Client(base_url=pocket_server.url, timeout=60) as client:
        asked = {"model": "pocket", "prompt": "Hello", "max_tokens": 2}
        client.post("/v1/completions", json=asked).raise_for_status()
    # It may not be the only model there, but each has one device.
    found = engines(pocket_server)
    assert found
    assert all("EngineCore" in name(pid) for pid in found)
    cores = os.cpu_count() or 1
    assert all(len(os.sched_getaffinity(pid)) <= max(1, cores - 1) for pid in found)
    # Threads that read and write for the one that was asked may run beside it.
    tasks = [int(path.name) for pid in found for path in Path(f"/proc/{pid}/task").iterdir()]
    assert max(len(os.sched_getaffinity(task)) for task in tasks) == cores


def test_engine_logs_to_its_file(pocket_server: RunningServer) -> None:
    (core, *_) = engines(pocket_server)
    assert os.readlink(f"/proc/{core}/fd/2").startswith(str(pocket_server.data / "logs"))


def environment() -> dict[str, str]:
    """Without the settings that engines of other tests in this process leave in its own."""
    ours = ("VLLM_", "LLMS_", "TORCH")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**rest, "PYTHONPATH": str(ROOT)}


FIRST_OF_ALL = """
import os, sys
from inference.engines import warm
warm.FORK_SERVER.begin("cpu")
if __name__ == "__main__":
    process = warm.FORK_SERVER.worker(print, ("at work",), os.environ)
    process.join()
"""


def test_a_worker_is_forked_where_vllm_was_never_loaded(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(FIRST_OF_ALL)
    ended = subprocess.run(
        [sys.executable, program], env=environment(), cwd=tmp_path, capture_output=True, text=True
    )
    assert (ended.stdout, ended.returncode) == ("at work\n", 0), ended.stderr
    assert "Traceback" not in ended.stderr


PROGRAM = """
import os, signal, sys
from inference.engines import child, warm
os.environ[child.LOG_FILE] = sys.argv[1]
warm.FORK_SERVER.begin("cpu")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["SAID_LATE"] = "yes"
from tests import test_engine_processes as here
process = warm.WarmContext().Process(target=here.tell)
if __name__ == "__main__":
    process.start()
    print(process.pid, flush=True)
    signal.pause()
"""


def tell() -> None:
    """In a child of the fork server: what it finds there."""
    import torch

    modules = [m for m in ("vllm.v1.engine.core", "transformers") if m in sys.modules]
    print(os.environ["SAID_LATE"], torch.get_num_threads(), len(modules), flush=True)
    signal.pause()


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that started a warm child, and the child's log."""
    log, program = tmp_path / "log", tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(log)]
    with subprocess.Popen(
        command, env=environment(), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as one:
        yield one, log
        one.kill()


def test_child_has_the_environment_of_now_and_ends_with_its_server(
    starter: tuple[subprocess.Popen[str], Path],
) -> None:
    process, log = starter
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"), 60, "the child spoke")
    # What is imported there is the law of another test; here it is whose environment counts.
    assert log.read_text().split()[:2] == ["yes", "1"]
    below = descendants(process.pid)
    assert pid in below
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(alive, below)), 10, "all ended with their server")
