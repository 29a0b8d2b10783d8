"""On a CPU: the model computes in the engine's own process, without a worker beside it.

vLLM starts a worker there even for one device, since a process reads OpenMP's settings only as it
starts (vLLM 0.32.0, `CpuPlatform.check_and_update_config`). Of the two one computes while the other
spins, waiting for it, and on few cores the server has to wait for both. Here the settings are made
by hand, as they are for a worker that was forked.

vLLM imports this module, because `distributed_executor_backend` names its class.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from vllm.utils.ompmultiprocessing import OMPProcessManager
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from inference.engines import child


class OneProcess(UniProcExecutor):
    """vLLM's own executor for one device, on the cores that its worker would have had."""

    def _init_executor(self) -> None:
        everywhere = os.sched_getaffinity(0)
        with OMPProcessManager(self.vllm_config).configure_omp_envs(0, 0):
            child.take_threads()
        super()._init_executor()
        self._everywhere: set[int] | None = everywhere

    def execute_model(self, *args: Any, **named: Any) -> Any:
        """One step of the batch."""
        if self._everywhere is not None:
            self._set_others_free(self._everywhere)
            self._everywhere = None
        return super().execute_model(*args, **named)

    @staticmethod
    def _set_others_free(cores: set[int]) -> None:
        """Threads that move bytes were started by the one that computes, and inherited its cores,
        where they would wait for it to pause."""
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.native_id is not None:
                os.sched_setaffinity(thread.native_id, cores)
