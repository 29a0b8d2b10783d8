"""A Python program under cProfile from SIGUSR1 to SIGUSR2: `python -m bench.profiled OUT program…`.

Only its main thread, which is where the event loop runs. OUT appears when it is whole.
"""

from __future__ import annotations

import cProfile
import os
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType


def main(out: str, program: str) -> None:
    """Run the program as if it had been called by itself."""
    profile = cProfile.Profile()

    def end(number: int, frame: FrameType | None) -> None:
        profile.disable()
        profile.dump_stats(f"{out}.part")
        os.replace(f"{out}.part", out)

    signal.signal(signal.SIGUSR1, lambda number, frame: profile.enable())
    signal.signal(signal.SIGUSR2, end)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(program).resolve().parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:3])
