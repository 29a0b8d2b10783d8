"""The program this service was made for, verbatim but for address and model, on openai 0.28."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers import RunningServer

SEED = """
import openai

openai.api_base = {base!r}
openai.api_key = "irrelevant"

for token in openai.Completion.create(
    model={model!r},
    prompt="What's the capitol of France?",
    max_tokens=200,
    temperature=0.7,
    stream=True,
):
    print(token.choices[0].text, end="", flush=True)
"""
OLDER = """
import openai

openai.api_base = {base!r}
openai.api_key = "irrelevant"
by_engine = openai.Completion.create(engine="echo", prompt="one two")
print(by_engine.choices[0].text)
chat = openai.ChatCompletion.create(model="echo", messages=[{{"role": "user", "content": "hi"}}])
print(chat.choices[0].message.content)
print([model.id for model in openai.Model.list().data][0])
try:
    openai.Completion.create(model="nope", prompt="x")
except openai.error.InvalidRequestError as exc:
    print(exc.code)
"""


def run(python: Path, program: str) -> str:
    """What the program prints."""
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_old_client_works(old_python: Path, server: RunningServer) -> None:
    said = run(old_python, OLDER.format(base=f"{server.url}/v1")).splitlines()
    assert said == ["0:one 1:two ", "0:hi ", "echo", "model_not_found"]


@pytest.mark.engine
def test_the_seed_program_is_answered(old_python: Path, pocket_server: RunningServer) -> None:
    said = run(old_python, SEED.format(base=f"{pocket_server.url}/v1", model="pocket"))
    assert "Paris" in said
