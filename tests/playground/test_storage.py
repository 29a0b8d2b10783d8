"""Static files: collected when one has changed, and not at each start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.finders import get_finder

from playground.storage import STAMP, collect_static_files


@pytest.fixture
def source(tmp_path: Path, settings: Any) -> Path:
    """The one static file there is."""
    source = tmp_path / "source" / "a.css"
    source.parent.mkdir()
    source.write_text("a { color: red }")
    settings.STATICFILES_DIRS = [source.parent]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "root"
    get_finder.cache_clear()
    return source


def collected(settings: Any) -> set[str]:
    """What the stored files say."""
    return {path.read_text() for path in settings.STATIC_ROOT.glob("a*.css")}


def test_files_are_collected_once(source: Path, settings: Any) -> None:
    assert collect_static_files()
    (kept,) = settings.STATIC_ROOT.glob("a.*.css")
    kept.write_text("untouched")
    assert not collect_static_files()
    assert kept.read_text() == "untouched"


@pytest.mark.parametrize("change", ["content", "time", "new", "emptied"])
def test_what_changed_is_collected_again(source: Path, settings: Any, change: str) -> None:
    assert collect_static_files()
    match change:
        case "content":
            source.write_text("a { color: blue }")
        case "time":
            source.write_text("a { color: tan }")
            os.utime(source, (1, 1))
        case "new":
            (source.parent / "ab.css").write_text("b { color: blue }")
        case "emptied":
            (settings.STATIC_ROOT / STAMP).unlink()
    assert collect_static_files()
    sources = {path.read_text() for path in source.parent.iterdir()}
    assert sources <= collected(settings)
