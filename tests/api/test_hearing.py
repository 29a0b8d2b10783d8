"""A tiny model that hears, in real engines; its words mean nothing, its shape does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from openai import BadRequestError, OpenAI

from inference.engines.pipelines.media import written
from tests.api import senses
from tests.api.asking import user
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = pytest.mark.engine
RATE = 16_000


@pytest.fixture(scope="module")
def hearing(
    make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with the tiny model under both engines: `pocket` is vLLM's."""
    yield make_server(senses.catalogue(tmp_path_factory.mktemp("ears"), "ears"))


@pytest.fixture(scope="module")
def client(hearing: RunningServer) -> Iterator[OpenAI]:
    """Its client."""
    address = f"{hearing.url}/v1"
    with OpenAI(base_url=address, api_key="x", max_retries=0, timeout=240) as found:
        yield found


def ask(client: OpenAI, content: Any, **more: Any) -> Any:
    """A few greedy words."""
    given: Any = {"model": "ears", "temperature": 0, "max_tokens": 6} | more
    return client.chat.completions.create(messages=user(content), **given)


def tone(pitch: float, seconds: float = 1.0, form: str = "wav") -> bytes:
    """A sound as a file."""
    time = np.arange(int(seconds * RATE)) / RATE
    return written(np.sin(2 * np.pi * pitch * time) * np.exp(-time), RATE, form).data


def listen(*files: bytes, form: str = "wav") -> list[dict[str, Any]]:
    """A question about sounds."""
    held = [{"data": base64.b64encode(file).decode(), "format": form} for file in files]
    sounds = [{"type": "input_audio", "input_audio": each} for each in held]
    return [{"type": "text", "text": "What is it?"}, *sounds]


@pytest.mark.parametrize("form", ["wav", "mp3"])
def test_a_sound_is_heard(client: OpenAI, form: str) -> None:
    deaf = ask(client, "What is it?").usage.prompt_tokens
    one = ask(client, listen(tone(440, 0.5, form), form=form)).usage.prompt_tokens
    two = ask(client, listen(tone(440, 0.5, form), tone(220, 0.5, form), form=form))
    assert deaf + 3 < one < two.usage.prompt_tokens


def test_another_sound_is_another_question(client: OpenAI) -> None:
    given = {"logprobs": True, "max_tokens": 1}
    high, low, again = (
        ask(client, listen(tone(pitch)), **given).choices[0].logprobs.content[0].logprob
        for pitch in (880, 110, 880)
    )
    assert abs(high - again) < 1e-3 < abs(high - low)


@pytest.mark.slow
def test_both_engines_hear_the_same(client: OpenAI, hearing: RunningServer) -> None:
    """Tokens and odds are those of vLLM; sounds of other rates are brought to the model's."""
    given = {"logprobs": True, "max_tokens": 1}
    for content in ("What is it?", listen(tone(440)), listen(tone(440), tone(110, 0.5))):
        ours, theirs = (ask(client, content, model=m, **given) for m in ("ears", "pocket"))
        assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
        first, second = (each.choices[0].logprobs.content[0] for each in (ours, theirs))
        assert first.token == second.token
        assert abs(first.logprob - second.logprob) < 1e-3
    engines = [hearing.model(name)["engine"] for name in ("ears", "pocket")]
    assert engines == ["transformers", "vllm"]


def test_sounds_stream_beside_texts(client: OpenAI) -> None:
    contents = [listen(tone(880)), "What is it?", listen(tone(110), tone(440, 0.5))]
    alone = [ask(client, each).choices[0].message.content for each in contents]
    with ThreadPoolExecutor() as pool:
        several = [pool.submit(streamed, client, each) for each in contents]
        assert [each.result() for each in several] == alone


def streamed(client: OpenAI, content: Any) -> str:
    """The text of a streamed answer."""
    return "".join(
        each.choices[0].delta.content or "" for each in ask(client, content, stream=True)
    )


def test_hugging_faces_client_is_heard(hearing: RunningServer) -> None:
    hub = InferenceClient(f"{hearing.url}/hf/models/ears", timeout=120)
    said = hub.chat_completion(user(listen(tone(440))), max_tokens=4)
    deaf = hub.chat_completion(user("What is it?"), max_tokens=4)
    assert said.usage.prompt_tokens > deaf.usage.prompt_tokens + 3


def test_what_a_model_takes_is_told(hearing: RunningServer) -> None:
    for name in ("ears", "pocket"):
        assert hearing.model(name)["input_modalities"] == ["text", "audio"]
    assert hearing.model("echo")["input_modalities"] == ["text"]


BAD = {
    "no sound": b"hello",
    "cut off": tone(440)[:30],
    "empty": tone(440, 0),
    "another format": tone(440, 1, "flac"),
    "longer than it hears": tone(440, 31),
}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}}


@pytest.mark.parametrize("model", ["ears", pytest.param("pocket", marks=pytest.mark.slow)])
def test_what_cannot_be_heard_is_refused(
    client: OpenAI, hearing: RunningServer, model: str
) -> None:
    ask(client, "hello", model=model)
    with unharmed(hearing, model):
        for name, raw in BAD.items():
            with pytest.raises(BadRequestError) as caught:
                ask(client, listen(tone(440), raw), stream=True, model=model)
            assert caught.value.param == "messages[0].content[2].input_audio.data", name
        with pytest.raises(BadRequestError) as caught:
            ask(client, [PICTURE], model=model)
        assert caught.value.code == "unsupported_parameter"


WRONG = [
    ({"data": "AAAA"}, "format", "missing_required_parameter"),
    ({"format": "wav"}, "data", "missing_required_parameter"),
    ({"data": "AAAA", "format": "ogg"}, "format", None),
    ({"data": "not base64!", "format": "wav"}, "data", "invalid_value"),
    ({"data": "data:audio/wav;base64,AAAA", "format": "wav"}, "data", "invalid_value"),
    ({"data": 5, "format": "wav"}, "data", "invalid_type"),
]


@pytest.mark.parametrize(("part", "field", "code"), WRONG)
def test_a_wrong_part_is_refused_by_name(
    client: OpenAI, part: dict[str, Any], field: str, code: str | None
) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, [{"type": "input_audio", "input_audio": part}], model="echo")
    assert caught.value.param == f"messages[0].content[0].input_audio.{field}"
    assert code is None or caught.value.code == code


def test_a_model_that_does_not_hear_says_so(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        ask(client, listen(tone(440)), model="echo")
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param == "messages[0].content[1].input_audio.data"
    system: Any = [{"role": "system", "content": listen(tone(440))}, *user("x")]
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="echo", messages=system)
    assert caught.value.param == "messages[0].content[1].type"
