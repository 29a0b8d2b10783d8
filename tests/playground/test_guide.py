"""`/docs`: every program on the page runs as it stands, and what is told is what is so."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from playground.errors import TABLE, UNEXPECTED
from playground.guide.errors import ADVICE, statuses
from playground.guide.examples import FOLDER, LANGUAGES, SECTIONS
from playground.guide.views import span
from tests.api.environments import node_folder, python_with
from tests.api.test_keys import make_key
from tests.conftest import MakeServer
from tests.servers import ROOT, RunningServer

PROGRAM = re.compile(r'<code id="example-(\w+)" data-language="\w+">(.*?)</code>', re.DOTALL)
CLIENTS = ROOT / "requirements" / "clients.txt"
NODE = shutil.which("node") or str(ROOT / ".venv" / "bin" / "node")
NAMES = [each.name for section in SECTIONS for each in section.examples]
# What the echo model says of the question; each client prints it in its own way.
ASKED = ("capital", "France?")
OPENAI = "import openai; answer = openai.OpenAI({}).chat.completions.create(model={!r}, messages=[{{'role': 'user', 'content': 'capital of France?'}}]); print(answer.choices[0].message.content)"  # noqa: E501


def programs(url: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    """The programs of the page, as people see them."""
    page = httpx.get(f"{url}/docs", headers=headers)
    assert page.status_code == 200
    return {name: html.unescape(text) for name, text in PROGRAM.findall(page.text)}


def run(*command: str, **env: str) -> str:
    """What a program prints."""
    done = subprocess.run(
        command,
        cwd=node_folder(),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def executed(name: str, program: str, model: str, old_python: Path) -> str:
    """Run it as its page says; of a configuration, ask with what it holds and nothing else."""
    python = sys.executable
    if name == "environment":
        return run("bash", "-euc", f'{program}\n"$0" -c "$1"', python, OPENAI.format("", model))
    if name == "continue":
        (chat,) = yaml.safe_load(program)["models"]
        given = f"base_url={chat['apiBase']!r}, api_key={chat['apiKey']!r}"
        return run(python, "-c", OPENAI.format(given, chat["model"]))
    if name == "zed":
        (found,) = json.loads(program)["language_models"]["openai_compatible"].values()
        (chat,) = found["available_models"]
        assert chat["max_tokens"] > 0
        given = f"base_url={found['api_url']!r}, api_key='any-key'"
        return run(python, "-c", OPENAI.format(given, chat["name"]))
    if name == "curl_stream":
        events = run("bash", "-euo", "pipefail", "-c", program).split("\n\n")
        assert "data: [DONE]" in events
        texts = [each.removeprefix("data: ") for each in events if each.startswith("data: {")]
        deltas = [json.loads(text)["choices"][0]["delta"] for text in texts]
        return "".join(each.get("content") or "" for each in deltas)
    if name == "curl":
        return run("bash", "-euo", "pipefail", "-c", program)
    if name in ("fetch", "openai_node"):
        # Modules find packages from where their file is.
        file = Path(node_folder()) / f"guide-{os.getpid()}-{name}.mjs"
        file.write_text(program)
        try:
            return run(NODE, str(file))
        finally:
            file.unlink()
    if name in ("langchain_chat", "litellm_chat"):
        # Else it fetches a list of prices when it is imported.
        return run(str(python_with(CLIENTS)), "-c", program, LITELLM_LOCAL_MODEL_COST_MAP="True")
    return run(str(old_python if name == "openai_028" else python), "-c", program)


@pytest.mark.parametrize("name", NAMES)
def test_every_program_runs_as_it_stands(
    server: RunningServer, old_python: Path, name: str
) -> None:
    program = programs(server.url)[name]
    assert server.url in program and "YOUR_" not in program and "ADDRESS" not in program
    said = executed(name, program, "echo", old_python)
    assert all(word in said for word in ASKED), said


@pytest.mark.slow
@pytest.mark.engine
def test_a_language_model_answers_every_program(make_server: MakeServer, old_python: Path) -> None:
    server = make_server({"DEFAULT_MODEL": "pocket"}, ready=False).wait_ready(240)
    for name, program in programs(server.url).items():
        said = executed(name, program, "pocket", old_python)
        assert "Paris" in said, (name, said)


def test_each_program_has_one_source_and_stands_on_the_page(server: RunningServer) -> None:
    found = programs(server.url)
    assert sorted(found) == sorted(NAMES) and len(set(NAMES)) == len(NAMES)
    files = {path.name for path in FOLDER.iterdir()}
    assert files == {each.file for section in SECTIONS for each in section.examples}
    assert {Path(file).suffix for file in files} == set(LANGUAGES)


@pytest.mark.database
def test_with_keys_the_page_is_open_and_tells_no_model(make_server: MakeServer) -> None:
    server = make_server({"AUTH_MODE": "key"})
    program = programs(server.url)["curl"]
    assert "YOUR_API_KEY" in program and "YOUR_MODEL" in program
    assert "echo" not in httpx.get(f"{server.url}/docs").text
    own = program.replace("YOUR_API_KEY", make_key(server, "docs")).replace("YOUR_MODEL", "echo")
    assert "capital" in run("bash", "-euc", own)
    assert server.stop() == 0


def test_a_name_that_means_something_in_a_shell_is_in_no_program(
    make_server: MakeServer, tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue.toml"
    card = '[[model]]\nid = {!r}\nsource = "echo"\nengine = "echo"\n'
    catalogue.write_text(card.format("'$(touch${IFS}x)'<b>") + card.format("plain"))
    server = make_server({"CATALOGUE": str(catalogue), "DEFAULT_MODEL": "'$(touch${IFS}x)'<b>"})
    page = httpx.get(f"{server.url}/docs").text
    assert "touch" not in page and "<b>" not in page
    assert '"model": "plain"' in programs(server.url)["curl"]
    assert server.stop() == 0


def test_every_refusal_is_told_with_what_to_do() -> None:
    told = {each.code: each for each in statuses()}
    table = {row.status: set[str]() for row in TABLE.values()}
    for row in (*TABLE.values(), UNEXPECTED):
        table.setdefault(row.status, set()).update([row.code] if row.code else [])
    assert {code: {each.code for each in status.refusals} for code, status in told.items()} == table
    assert set(ADVICE) == set(told)
    for status in told.values():
        for refusal in status.refusals:
            assert refusal.meaning.endswith("."), refusal
            assert len(refusal.meaning) < 250 and "`" not in refusal.meaning, refusal


def test_the_figures_of_the_pages_are_this_servers(make_server: MakeServer) -> None:
    env = {"WAIT_SECONDS": "420", "ACCOUNT_QUEUE_LIMIT": "1234", "MAX_BODY_BYTES": "3145728"}
    server = make_server(env | {"MAX_SILENT_WAIT": "75"})
    waiting = httpx.get(f"{server.url}/docs/waiting").text
    assert "<strong>7 minutes</strong>" in waiting and "75 seconds" in waiting
    limits = httpx.get(f"{server.url}/docs/limits").text
    assert "1,234" in limits and "3.0\xa0MB" in limits
    errors = httpx.get(f"{server.url}/docs/errors").text
    assert "model_queued" in errors and "Retry-After" in errors
    assert server.stop() == 0


def test_time_spans_are_words() -> None:
    spans = {0: "", 1: "1 second", 0.5: "0.5 seconds", 90: "90 seconds", 1200: "20 minutes"}
    assert {seconds: span(seconds) for seconds in spans} == spans
