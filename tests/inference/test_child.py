"""What vLLM's processes do first, and what their logs tell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engines import child
from tests.servers import ROOT, alive, wait_until


def test_child_ends_when_its_server_is_gone(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    code = (
        "from inference.engines import child; child.arm(); import time; print('x'); time.sleep(60)"
    )
    env = {**os.environ, child.SERVER_PID: str(server.pid), child.LOG_FILE: str(tmp_path / "log")}
    engine = subprocess.Popen([sys.executable, "-uc", code], cwd=ROOT, env=env)
    wait_until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "x\n")
    server.kill()
    server.wait()
    wait_until(lambda: not alive(engine.pid), 5, "the child ended")
    assert engine.wait() == -9


def test_server_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(child.SERVER_PID, "")
    monkeypatch.setenv(child.LOG_FILE, "")
    child.announce(tmp_path / "logs" / "engine.log")
    child.arm()
    assert not child._armed.is_set()


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("(Worker pid=1) ERROR [a.py:1] ValueError: no such dtype\nlater words", "no such dtype"),
        ("subprocess.CalledProcessError: Command 'lscpu' failed", "lscpu"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB", "CUDA out of memory"),
        ("a.b_c.SafetensorError: cut short\nException: It failed. See root cause above.", "cut"),
        ("all is well: really", ""),
        ("", ""),
    ],
)
def test_cause_of_a_failed_load_is_found_in_the_log(tmp_path: Path, log: str, cause: str) -> None:
    path = tmp_path / "log"
    path.write_text(log)
    found = child.last_error(path)
    assert cause in found
    assert bool(found) == bool(cause)
    assert child.last_error(tmp_path / "none") == ""


# In a process of its own, as an engine's process is: what it prints is its log.
WORKERS = """
import multiprocessing, os, sys
from inference.engines import child
from vllm.v1.executor.multiproc_executor import UnreadyWorkerProcHandle, WorkerProc

def work(end, ready):
    if end == "failed":
        ready.send({"status": "FAILED"})
        sys.exit(1)
    os.kill(os.getpid(), int(end))

child.tell_of_workers()
context = multiprocessing.get_context("fork")
for end in sys.argv[1:]:
    os.dup2(os.open(f"{end}.log", os.O_WRONLY | os.O_CREAT), 2)
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=work, args=(end, theirs), name="VllmWorker-1")
    worker.start()
    theirs.close()
    try:
        WorkerProc.wait_for_ready([UnreadyWorkerProcHandle(worker, 1, ours)])
    except Exception as error:
        print(f"Exception: {error}", file=sys.stderr, flush=True)
"""


@pytest.mark.engine
def test_a_worker_that_was_killed_while_it_loaded_is_told(tmp_path: Path) -> None:
    killed = {"9": True, "15": False, "failed": False}
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORKERS, *killed]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=200)
    for end, expected in killed.items():
        log = tmp_path / f"{end}.log"
        assert "WorkerProc initialization failed" in log.read_text()
        assert child.worker_was_killed(log) is expected


def test_only_a_log_that_says_so_tells_of_a_killed_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not child.worker_was_killed(log)
    log.write_text("(EngineCore) ERROR Worker proc VllmWorker-1 died (exit code: -11)\n")
    assert not child.worker_was_killed(log)
    log.write_text("before\nWorker proc VllmWorker-1 was killed\nafter\n")
    assert child.worker_was_killed(log)
