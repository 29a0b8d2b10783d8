"""What staff approve is built once: its own pinned wheels, and the types of `run`."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from django.conf import LazySettings

from inference import custom, jail
from inference.engines.custom import folder

CODE = """
from tinywords import GREETING

def load():
    raise OSError("not while it is built")

def run(model, text: str) -> str:
    return GREETING
"""


@pytest.fixture
def wheels(settings: LazySettings, tmp_path: Path) -> Path:
    """The operator's folder of wheels, and a data folder of its own."""
    settings.LLMS_DATA = tmp_path / "data"
    found = tmp_path / "wheels"
    found.mkdir()
    settings.CUSTOM_WHEELS = str(found)
    return found


def put_wheel(into: Path) -> None:
    info = "tinywords-1.0.dist-info"
    files = {
        "tinywords.py": 'GREETING = "hello"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tinywords\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(into / "tinywords-1.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in files))


def put_source(into: Path) -> None:
    """What would run code when it is built."""
    data = b"raise SystemExit('it ran')\n"
    with tarfile.open(into / "sourceonly-1.0.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("sourceonly-1.0/setup.py")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


@pytest.mark.jail
def test_pinned_wheels_are_beside_the_code(wheels: Path) -> None:
    put_wheel(wheels)
    built = custom.build(CODE, "tinywords==1.0\n")
    assert (built.folder / folder.WHEELS / "tinywords.py").exists()
    assert built.digest == custom.digest_of(CODE, "tinywords==1.0\n") == built.folder.name
    assert built.task == "custom" and [p.name for p in built.signature.parameters] == ["text"]
    assert folder.is_as_approved(built.folder, built.digest, False)
    assert not folder.is_as_approved(built.folder, built.digest, True)
    assert built.folder.stat().st_mode & 0o077 == 0
    assert sorted(os.listdir(built.folder)) == ["model.py", "requirements.txt", "site"]
    # Once more: the same place, as new.
    assert custom.build(CODE, "tinywords==1.0\n").folder == built.folder


@pytest.mark.jail
@pytest.mark.parametrize(
    ("requirements", "said"),
    [("tinywords==2.0", "tinywords"), ("sourceonly==1.0", "No matching distribution")],
)
def test_wheels_that_are_not_there_are_told(wheels: Path, requirements: str, said: str) -> None:
    put_wheel(wheels)
    put_source(wheels)
    with pytest.raises(custom.CustomError, match="could not be installed") as failed:
        custom.build(CODE, requirements)
    assert said in failed.value.trace and "it ran" not in failed.value.trace
    assert os.listdir(wheels.parent / "data" / "custom") == []


@pytest.mark.jail
def test_a_task_is_one_of_the_hubs(wheels: Path) -> None:
    code = "TASK = {!r}\ndef load(): pass\ndef run(model, text: str): pass\n"
    assert custom.build(code.format("summarization"), "").task == "summarization"
    for task in ("embedding", "anything", 5):
        with pytest.raises(custom.CustomError):
            custom.build(code.format(task), "")


def test_without_a_jail_nothing_is_built(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "PROGRAMS", ("bwrap-that-nobody-has",))
    jail.problem.cache_clear()
    try:
        with pytest.raises(custom.CustomError, match="off: .*is missing: install bubblewrap"):
            custom.build(CODE, "")
    finally:
        monkeypatch.undo()
        jail.problem.cache_clear()


@pytest.mark.jail
@pytest.mark.slow
def test_wheels_come_from_the_index(settings: LazySettings, tmp_path: Path) -> None:
    settings.LLMS_DATA = tmp_path
    code = "import snowballstemmer\ndef load(): pass\ndef run(model, text: str): pass\n"
    built = custom.build(code, "snowballstemmer==3.0.1")
    assert (built.folder / folder.WHEELS / "snowballstemmer").is_dir()
