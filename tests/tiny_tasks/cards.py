"""A catalogue with a tiny model of each task, written when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from . import WRITERS, write

CARD = """\
[[model]]
id = "tiny/{task}"
source = "{folder}"
task = "{task}"
engine = "transformers"
"""
ECHO = '[[model]]\nid = "echo"\nsource = "echo"\nengine = "echo"\n'


class TinyModels:
    """The folder of the models, one for each task, beside other cards."""

    def __init__(self, folder: Path, more: str = ECHO) -> None:
        self.folder = folder
        self.catalogue = folder / "catalogue.toml"
        cards = [CARD.format(task=task, folder=folder / task) for task in WRITERS]
        self.catalogue.write_text("\n".join([more, *cards]))

    def named(self, task: str) -> str:
        """The id of a task's model, which is there from now on."""
        if not (self.folder / task).exists():
            write(task, self.folder / task)
        return f"tiny/{task}"
