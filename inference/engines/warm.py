"""Processes for engines that begin with the heavy imports done.

They are forked, but not from the server, whose sockets they would inherit. multiprocessing's fork
server is a process of its own that was started afresh; it imports vLLM once (`preload.py`), runs on
one thread and touches no GPU. An engine's own workers are then forked from the engine's process.
VLLM_WORKER_MULTIPROC_METHOD=spawn goes without all this.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing import context, forkserver
from pathlib import Path
from typing import Any

from inference.engines import child

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
# Read before vLLM is imported, which writes it.
COLD = os.environ.get(METHOD) == "spawn"
# So long may the imports of the fork server take on a busy machine.
SOUND_SECONDS = 120.0
OPENMP = (("torch", "../torch.libs", "libgomp*.so*"), ("torch", "lib", "libgomp*.so*"))
MALLOC = (("vllm", "libs", "libtcmalloc_minimal*.so*"), ("vllm", "libs", "libtcmalloc.so*"))


class ForkServer:
    """The one that this process has, and whether vLLM may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._libraries: str | None = None
        self._sound = False

    def begin(self, kind: str) -> None:
        """Start it if it does not run; it is ready some seconds later."""
        environment(kind)
        if COLD:
            return
        with self._lock:
            if self._libraries is None:
                self._libraries = self._set_up(kind)
            forkserver.ensure_running()

    def _set_up(self, kind: str) -> str:
        os.environ.setdefault(child.SERVER_PID, str(os.getpid()))
        _be_found_from_anywhere()
        if kind == "cpu":
            _preload_libraries()
        forkserver.set_forkserver_preload(["inference.engines.preload"])
        return os.environ.get("LD_PRELOAD", "")

    def adopt(self) -> None:
        """From now on vLLM starts the processes of this one from the fork server."""
        if COLD:
            return
        from vllm.v1.engine import coordinator, utils

        with self._lock:
            self._sound = self._sound or _proves_sound()
        utils.get_mp_context = coordinator.get_mp_context = self._context

    def worker(self, target: Callable[..., None], args: Any, env: Mapping[str, str]) -> Any:
        """A started process that calls `target` with this environment; None without the server.

        Blocks until the imports are done: call it in a thread.
        """
        with self._lock:
            if COLD or self._libraries is None:
                return None
            self._sound = self._sound or _proves_sound()
            if not self._sound:
                return None
        process = WarmWorker(env, target=target, args=args, daemon=True)
        process.start()
        return process

    def _context(self) -> Any:
        """What vLLM starts its processes by."""
        # It wants some libraries loaded before any other, and writes here which: too late for a
        # fork server that has others.
        if os.environ.get("LD_PRELOAD", "") == self._libraries and self._sound:
            return WarmContext()
        logger.warning("The fork server cannot be used; this engine starts afresh")
        return multiprocessing.get_context("spawn")


FORK_SERVER = ForkServer()


@functools.cache
def import_vllm() -> None:
    """Import here what the first load needs. Seconds: call it in a thread."""
    import vllm.engine.arg_utils
    import vllm.v1.engine.async_llm  # noqa: F401

    # Else each full collection looks at half a million objects that stay for ever, and nobody
    # else in this process runs meanwhile: 0.3 s.
    gc.freeze()


def environment(kind: str) -> None:
    """Before vLLM is imported: no telemetry, few words, no fork of this process."""
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        METHOD: "spawn",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if kind == "cpu":
        defaults["VLLM_TARGET_DEVICE"] = "cpu"
        # The first request for logprobs would start a C++ compiler, and without one end the engine.
        defaults["TORCH_COMPILE_DISABLE"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


class WarmProcess(context.ForkServerProcess):
    """A process whose environment is that of its starter, not that of the fork server."""

    def start(self) -> None:
        """Start it with the environment of this moment."""
        self._environment = dict(os.environ)
        super().start()

    def run(self) -> None:
        """In the child: become what a process started afresh would be, then do its work."""
        os.environ.clear()
        os.environ.update(self._environment)
        child.arm()
        child.fork_workers()
        super().run()


class WarmWorker(WarmProcess):
    """One that runs a program of ours."""

    def __init__(self, env: Mapping[str, str], **named: Any) -> None:
        super().__init__(**named)
        self._environment = dict(env)

    def start(self) -> None:
        """Start it with the environment that was given."""
        context.ForkServerProcess.start(self)

    def run(self) -> None:
        """In the child: become what a process started afresh would be, then do its work."""
        os.environ.clear()
        os.environ.update(self._environment)
        child.arm()
        child.take_threads()
        context.ForkServerProcess.run(self)


class WarmContext(context.ForkServerContext):
    """multiprocessing's, with processes of ours."""

    Process = WarmProcess


def _proves_sound() -> bool:
    """Whether a child of the fork server could use a GPU: not if an import has touched one."""
    ours, theirs = multiprocessing.Pipe()
    process = WarmContext().Process(target=_tell, args=(theirs,), daemon=True)
    with ours:
        try:
            process.start()
            theirs.close()
            found = ours.poll(SOUND_SECONDS) and bool(ours.recv())
        except (EOFError, OSError):  # the fork server or its child ended
            return False
    process.join()
    return found


def _tell(connection: Any) -> None:
    import torch

    connection.send(not torch.cuda._is_in_bad_fork())


def _be_found_from_anywhere() -> None:
    """The fork server looks for this package before anybody tells it our path."""
    known = os.environ.get("PYTHONPATH", "")
    if str(ROOT) not in known.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), known)))


def _preload_libraries() -> None:
    """On a CPU vLLM wants torch's own OpenMP and a quick malloc, in this order."""
    given = os.environ.get("LD_PRELOAD", "")
    found = [given] if given else []
    if not any(name in given for name in ("libomp", "libgomp", "libiomp")):
        found += _first(OPENMP)
    if "libtcmalloc" not in given:
        found = [*_first(MALLOC), *found]
    if found:
        os.environ["LD_PRELOAD"] = ":".join(found)


def _first(places: tuple[tuple[str, str, str], ...]) -> list[str]:
    for package, folder, pattern in places:
        spec = importlib.util.find_spec(package)
        for base in (spec.submodule_search_locations or ()) if spec else ():
            for path in Path(base, folder).glob(pattern):
                return [os.path.normpath(path)]
    return []
