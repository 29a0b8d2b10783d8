"""The last rung for real: a model of which a part stays on disk answers as it does in memory."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.api.asking import TEXT
from tests.conftest import MakeServer
from tests.servers import ROOT

CARDS = f"""
[[model]]
id = "echo"
source = "echo"
engine = "echo"

[[model]]
id = "roomy"
source = "{ROOT}/inference/pocket/model"
engine = "transformers"
max_num_seqs = 1

[[model]]
id = "tight"
source = "{ROOT}/inference/pocket/model"
engine = "transformers"
# So many side by side would need more memory for what they say than there is.
max_num_seqs = 400
"""
BUDGET = 1500 * 2**20
PROMPTS = ("The capital of France is", "A week has", "Hello")


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_same_tokens_from_disk_as_from_memory(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "cards.toml").write_text(CARDS)
    server = make_server(
        {
            "CATALOGUE": str(tmp_path / "cards.toml"),
            "CPU_MEMORY_BYTES": str(BUDGET),
            "MAX_SILENT_WAIT": "600",
        }
    )
    said: dict[str, list[str]] = {}
    for model, rung in (("roomy", "full"), ("tight", "disk_offload")):
        for prompt in PROMPTS:
            body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 24}
            answer = httpx.post(server.url + TEXT, json=body, timeout=600)
            assert answer.status_code == 200, f"{answer.text}\n{server.log.read_text()}"
            assert answer.headers["x-llms-placement"].startswith(f"rung={rung}; engine=transform")
            said.setdefault(model, []).append(answer.json()["choices"][0]["text"])
    assert said["tight"] == said["roomy"] and all(said["roomy"])
    place = server.model("tight")["placement"]
    assert (place["rung"], place["loaded"]) == ("disk_offload", True)
    assert "disk" in place["quality"] and place["tokens_per_second"] > 0
