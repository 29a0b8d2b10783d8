"""Seeds under a real engine: the same answer, however many come at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.servers import RunningServer

TOGETHER = 8
# Eight of these are more than one step of the engine reads, so that some are read in parts.
WORDS = "one two three four five " * 200


@pytest.mark.engine
def test_a_seed_gives_the_same_answer_however_its_prompt_is_read(
    pocket_server: RunningServer,
) -> None:
    """vLLM's own way with it ended the engine, and with it the answers of everybody."""

    def answer(number: int) -> str:
        body: dict[str, Any] = {
            "model": "pocket",
            "prompt": f"{number} {WORDS}",
            "max_tokens": 12,
            "seed": 7,
            "temperature": 1.5,
        }
        found = httpx.post(f"{pocket_server.url}/v1/completions", json=body, timeout=120)
        assert found.status_code == 200, found.text
        return str(found.json()["choices"][0]["text"])

    with ThreadPoolExecutor(TOGETHER) as pool:
        together = list(pool.map(answer, range(TOGETHER)))
    assert [answer(number) for number in range(TOGETHER)] == together
