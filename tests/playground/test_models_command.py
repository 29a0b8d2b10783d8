"""`manage.py models` where no server runs, and how it tells how far a model is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.models import CatalogueRow
from playground.catalogue.progress import Progress, line_of
from tests.servers import ROOT

AWAY = ("--port", "9")
HALF = f"[{'#' * 12}{'.' * 12}]"
LOADING = {"id": "a", "state": "loading", "detail": "loading for 3 s"}


def said(*args: str) -> str:
    out = io.StringIO()
    call_command("models", *AWAY, *args, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_wishes_are_written_all_the_same() -> None:
    assert "the server does not run" in said("list")
    assert "it follows when it starts" in said("preload", "pocket")
    assert CatalogueRow.objects.get(id="pocket").wish == "preload"
    assert said("drain", "pocket", "--no-wait") == "pocket: asked to drain.\n"
    assert CatalogueRow.objects.get(id="pocket").wish == "drain"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("test", "pocket"), "No server answers at http://127.0.0.1:9"),
        (("add", "alice/tiny"), "No server answers"),
        (("pin", "nobody"), "does not exist"),
        (("import", "/no/such/file"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(args: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said(*args)


def test_before_there_is_a_database_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "models", "list"]
    env = {**os.environ, "LLMS_DATA": str(tmp_path)}
    env.pop("DATABASE_URL", None)
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = "CommandError: There is no database yet: `manage.py prepare` makes it.\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.django_db
def test_a_file_goes_out_and_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "catalogue.toml"
    said("export", str(file))
    assert said("export") == file.read_text()
    file.write_text('[[model]]\nid = "new"\nsource = "echo"\nengine = "echo"\n')
    assert said("import", str(file)) == "1 added, 0 changed.\n"
    assert "new: The server does not run. Whether it fits" in capsys.readouterr().err
    file.write_text('[[model]]\nid = "new"\nmax_num_seqs = 0\n')
    with pytest.raises(CommandError, match="new, max_num_seqs: At least one request"):
        said("import", str(file))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("known", "line"),
    [
        ({}, "a: loading for 3 s"),
        (
            {"progress": 0.5, "ready_in": 3.2},
            f"a: loading for 3 s [{'#' * 12}{'.' * 12}] 50 %, about 3 s left",
        ),
        ({"progress": 1, "ready_in": None}, f"a: loading for 3 s [{'#' * 24}] 100 %"),
        ({"detail": ""}, "a: loading"),
    ],
)
def test_a_line_says_how_far_it_is(known: dict[str, Any], line: str) -> None:
    assert line_of({**LOADING, **known}) == line


def test_a_terminal_has_one_line_and_a_file_has_some() -> None:
    times = iter([0.0, 0.0, 1.0, 6.0, 6.0])
    file, terminal = io.StringIO(), Terminal()
    quiet, loud = Progress(file, lambda: next(times)), Progress(terminal)
    for seconds in (1, 2, 3):
        model = {**LOADING, "detail": f"loading for {seconds} s"}
        quiet.show(model)
        loud.show(model)
    quiet.end()
    loud.end()
    assert file.getvalue() == "a: loading for 1 s\na: loading for 3 s\n"
    assert terminal.getvalue().count("\r\x1b[K") == 3 and terminal.getvalue().endswith("3 s\n")
