"""A server with a tiny model that sees or hears, in real engines; its words mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT

CARDS = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"

[[model]]
id = "echo-slow"
source = "echo"
engine = "echo"
engine_args = {{ tokens_per_second = 20 }}

[[model]]
id = "pocket"
source = {source!r}
max_num_seqs = 4
dtype = "float32"

[[model]]
id = "{name}"
source = {source!r}
engine = "transformers"
max_num_seqs = 4
dtype = "float32"
"""


def catalogue(folder: Path, name: str, more: str = "") -> dict[str, str]:
    """The setting for a tiny model under both engines: `pocket` is vLLM's, `name` transformers'.

    `name` is "eyes" or "ears"; the model is in `folder`/model. `more` cards come after these.
    """
    write(folder / "model", name)
    cards = CARDS.format(source=str(folder / "model"), name=name)
    (folder / "cards.toml").write_text(cards + more)
    return {"CATALOGUE": str(folder / "cards.toml")}


def write(folder: Path, name: str) -> None:
    """A model that sees ("eyes") or hears ("ears"), by a process that imports what that takes."""
    command = [sys.executable, "-m", "tests.tiny_model", str(folder), name]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
