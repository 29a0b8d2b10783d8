"""The documentation is tested: what exists is described, links lead somewhere, examples run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

from inference import Overview
from inference.catalogue import CARD_FIELDS
from playground.api.description.operations import OPERATIONS
from playground.errors import TABLE
from playground.metrics.counts import Counts
from playground.metrics.figures import Figures, Snapshot
from tests.api.described import whole
from tests.servers import ROOT, RunningServer

README = ROOT / "README.md"
API = (ROOT / "docs" / "api.md").read_text()
SETTINGS_PAGE = (ROOT / "docs" / "operations.md").read_text()
MODELS_PAGE = (ROOT / "docs" / "models.md").read_text()
PEOPLE_PAGE = (ROOT / "docs" / "people.md").read_text()
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "inference" / "pocket" / "README.md"]
ADDRESS = "http://127.0.0.1:8000"
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
READERS = {"text", "number", "boolean", "choice", "listing", "networks"}


def named(text: str) -> set[str]:
    """Everything that stands in backticks, word by word."""
    return {
        word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[ ,:=]+", span)
    }


def settings_read() -> set[str]:
    """The names of the environment variables that settings and their readers ask for."""
    found: set[str] = set()
    for name in ("settings.py", "environment.py"):
        for node in ast.walk(ast.parse((ROOT / "playground" / name).read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                function = ast.unparse(node.func).removeprefix("env.")
                found |= {str(node.args[0].value)} if function in READERS else set()
    return found


def own_commands() -> set[str]:
    """Management commands of this project."""
    ours = ("playground", "inference")
    return {name for name, app in get_commands().items() if str(app).startswith(ours)}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    plain = (re.sub(r"[^\w\- ]", "", each.lower()) for each in HEADING.findall(page.read_text()))
    return {each.strip().replace(" ", "-") for each in plain}


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in these languages."""
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


CURLS = [text for page in (README, ROOT / "docs" / "api.md") for text in blocks(page, "sh")]
CURLS = [text for text in CURLS if "curl " in text]
SNIPPETS = blocks(README, "python")
OLD = [text for text in SNIPPETS if "openai.api_base" in text]
NEW = [text for text in SNIPPETS if "openai.api_base" not in text]


def test_every_route_is_documented() -> None:
    routes = {f"{m.upper()} {path}" for path, ms in whole()["paths"].items() for m in ms}
    assert OPERATIONS and {route for route in routes if f"`{route}`" not in API} == set()


def test_every_parameter_is_documented() -> None:
    known = {
        name
        for view in OPERATIONS
        if hasattr(view, "serializer_class")
        for name in view.serializer_class.shared().fields
        # `prompt_cache_*` stands for all of them.
        if not name.startswith("prompt_cache_")
    }
    assert known - {word.partition(".")[0] for word in named(API)} == set()


def test_every_error_code_is_documented() -> None:
    assert {row.code for row in TABLE.values() if row.code} - named(API) == set()


def test_every_setting_is_documented() -> None:
    assert len(settings_read()) > 20
    assert settings_read() - named(SETTINGS_PAGE) == set()


def test_every_field_of_a_card_is_documented() -> None:
    assert (CARD_FIELDS | {"is_default"}) - named(MODELS_PAGE) == set()


def test_every_figure_is_documented() -> None:
    nothing = Snapshot(Overview((), (), (), ()), True, frozenset(), (), 0, 0)
    families = {each.name for each in Figures(nothing, Counts()).collect()}
    ours = {name for name in families if not name.startswith("process_")}
    told = named(SETTINGS_PAGE)
    assert len(ours) > 12
    assert {name for name in ours if not told & {name, f"{name}_total"}} == set()


def test_every_command_is_documented() -> None:
    assert "serve" in own_commands()
    told = SETTINGS_PAGE + MODELS_PAGE + PEOPLE_PAGE
    assert {n for n in own_commands() if f"manage.py {n}" not in told} == set()


def test_no_page_for_operators_outgrows_a_reader() -> None:
    for page in (SETTINGS_PAGE, MODELS_PAGE, PEOPLE_PAGE):
        assert len(page.splitlines()) < 300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.engine
@pytest.mark.parametrize("lines", CURLS)
def test_the_curl_lines_run(pocket_server: RunningServer, lines: str) -> None:
    said = run(["bash", "-euo", "pipefail", "-c", lines], lines, pocket_server)
    assert '"choices"' in said and "France" in said or "Paris" in said or '"embedding"' in said


@pytest.mark.engine
@pytest.mark.parametrize("program", NEW)
def test_the_python_snippets_run(pocket_server: RunningServer, program: str) -> None:
    assert "Paris" in run([sys.executable, "-c", program], program, pocket_server)


@pytest.mark.engine
@pytest.mark.parametrize("program", OLD)
def test_the_old_snippets_run(pocket_server: RunningServer, old_python: Path, program: str) -> None:
    assert "Paris" in run([str(old_python), "-c", program], program, pocket_server)


def test_the_readme_shows_each_way_to_ask() -> None:
    assert len(CURLS) >= 2 and len(NEW) >= 1 and len(OLD) == 1
    assert all(ADDRESS in text for text in [*CURLS, *SNIPPETS])


def run(command: list[str], program: str, server: RunningServer) -> str:
    """What the program prints: verbatim, but for the address, which is its last word."""
    assert command[-1] == program
    there = [*command[:-1], program.replace(ADDRESS, server.url)]
    done = subprocess.run(there, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
