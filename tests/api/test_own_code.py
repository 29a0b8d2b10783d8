"""A model whose repository brings code of its own, asked through the API (M2)."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests import tiny_model
from tests.api.asking import TEXT, error_of
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = [pytest.mark.engine, pytest.mark.jail, pytest.mark.slow, pytest.mark.timeout(300)]
CODE = """
import os
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        print("RUNS AS", os.getuid(), sorted(os.listdir("/proc"))[:1], flush=True)
"""
CARDS = """
[[model]]
id = "echo"
source = "echo"
engine = "echo"

[[model]]
id = "own"
source = {source!r}
engine = "transformers"
dtype = "float32"
trust_remote_code = true

[[model]]
id = "not-trusted"
source = {source!r}
engine = "transformers"
"""


@pytest.fixture(scope="module")
def house(make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server with one repository under two cards."""
    root: Path = tmp_path_factory.mktemp("own")
    folder = root / "model"
    tiny_model.write_text(folder, 1)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    config |= {"model_type": "own", "architectures": ["OwnModel"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE)
    for file in folder.iterdir():
        file.chmod(0o644)
    (root / "cards.toml").write_text(CARDS.format(source=str(folder)))
    return make_server({"CATALOGUE": str(root / "cards.toml")})


def test_it_answers_from_a_jail(house: RunningServer) -> None:
    body = {"model": "own", "prompt": "Hello", "max_tokens": 5, "temperature": 0}
    answer = httpx.post(house.url + TEXT, json=body, timeout=240)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 5
    chat = {**body, "messages": [{"role": "user", "content": "Hello"}]}
    del chat["prompt"]
    said = httpx.post(f"{house.url}/v1/chat/completions", json=chat, timeout=60)
    assert said.status_code == 200, said.text
    logs = [file.read_text() for file in (house.data / "logs").glob("engine-*.log")]
    assert any("RUNS AS 65534" in log for log in logs)
    assert "RUNS AS" not in house.log.read_text()


def test_without_its_cards_word_it_is_refused(house: RunningServer) -> None:
    body = {"model": "not-trusted", "prompt": "Hello"}
    answer = httpx.post(house.url + TEXT, json=body, timeout=60)
    assert (answer.status_code, error_of(answer)["code"]) != (200, None)
    assert "auto_map" in error_of(answer)["message"], answer.text
