"""What the fork server imports before it forks engines. Nobody else imports this module.

See `warm.py`. It must start no threads that a child would miss, and touch no GPU.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import setproctitle

from inference.engines import child

# What an engine's processes import on their way to a loaded model, the largest parts first.
MODULES = (
    "torch",
    "transformers",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker"
    if os.environ.get("VLLM_TARGET_DEVICE") == "cpu"
    else "vllm.v1.worker.gpu_worker",
)


def main() -> None:
    """Import them all; end when the server is gone meanwhile."""
    # Forked processes give themselves names; that works only if the first to do so is this one.
    setproctitle.setproctitle("llms fork server")
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a child will meet it again, and log it where it is looked for
            print(f"{name} is not preloaded: {error}", file=sys.stderr)
        if child.server_is_gone():
            os._exit(0)
    # Else the first collection in a child would write to every page that it shares with this one.
    gc.collect()
    gc.freeze()


main()
