"""vLLM's command line, also where its package has another name than `vllm` (as the CPU build has).

Its own `vllm` command asks for the version of a package of that name, and fails there.
"""

from __future__ import annotations

import importlib.metadata

import vllm

_version = importlib.metadata.version


def version(distribution_name: str) -> str:
    """A package's version; that of vLLM by what it says itself."""
    try:
        return _version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return str(vllm.__version__)


if __name__ == "__main__":
    importlib.metadata.version = version
    from vllm.entrypoints.cli.main import main

    main()
