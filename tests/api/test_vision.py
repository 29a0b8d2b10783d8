"""A tiny model that sees and thinks, in a real engine; its words mean nothing, its shape does."""

from __future__ import annotations

import base64
import io
import json
import random
import shutil
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from openai import BadRequestError, InternalServerError, OpenAI
from PIL import Image

from tests.api import senses
from tests.api.asking import user
from tests.api.site import Site, running
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import RunningServer

pytestmark = pytest.mark.engine
OTHER_FAMILY = """

[[model]]
id = "other-family"
source = {other!r}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A web server that `seeing` may fetch from."""
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def seeing(
    make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory, site: Site
) -> RunningServer:
    """A server whose `pocket` is the tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    more = OTHER_FAMILY.format(other=str(folder / "other"))
    cards = senses.catalogue(folder, "eyes", more)
    other = shutil.copytree(folder / "model", folder / "other")
    family = {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl"}
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config["text_config"] | config | family))
    remote = {"REMOTE_MEDIA": "on", "REMOTE_MEDIA_HOSTS": site.name}
    return make_server(cards | remote)


@pytest.fixture(scope="module")
def client(seeing: RunningServer) -> Iterator[OpenAI]:
    """Its client, once the model is loaded."""
    address = f"{seeing.url}/v1"
    with OpenAI(base_url=address, api_key="x", max_retries=0, timeout=240) as found:
        ask(found, "hello")
        yield found


def ask(client: OpenAI, content: Any, **more: Any) -> Any:
    """A few greedy words."""
    given: Any = {"model": "pocket", "temperature": 0, "max_tokens": 6} | more
    return client.chat.completions.create(messages=user(content), **given)


def url(raw: bytes, kind: str = "png") -> str:
    """A data: URL."""
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


def drawn(kind: str = "png", colour: str = "red") -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, kind)
    return file.getvalue()


def look(*urls: str) -> list[dict[str, Any]]:
    """A question about pictures."""
    pictures = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return [{"type": "text", "text": "What is it?"}, *pictures]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_a_picture_is_seen(client: OpenAI, kind: str) -> None:
    blind = ask(client, "What is it?")
    seen = ask(client, look(url(drawn(kind), kind)))
    assert seen.usage.prompt_tokens > blind.usage.prompt_tokens + 3
    two = ask(client, look(url(drawn(kind), kind), url(drawn(kind, "blue"), kind)))
    assert two.usage.prompt_tokens > seen.usage.prompt_tokens


def test_another_picture_is_another_question(client: OpenAI) -> None:
    given = {"logprobs": True, "max_tokens": 1}
    red, blue, again = (
        ask(client, look(url(drawn(colour=colour))), **given).choices[0].logprobs.content[0].logprob
        for colour in ("red", "blue", "red")
    )
    assert abs(red - again) < 1e-3 < abs(red - blue)


def test_a_picture_may_come_from_a_listed_host(client: OpenAI, site: Site) -> None:
    """It is the very question that its bytes would be; and no picture is none from afar either."""
    given = {"logprobs": True, "max_tokens": 1}
    inside, afar = (
        ask(client, look(each), **given) for each in (url(drawn()), site.holds("/red.png", drawn()))
    )
    assert afar.usage.prompt_tokens == inside.usage.prompt_tokens
    first, second = (each.choices[0].logprobs.content[0].logprob for each in (inside, afar))
    assert abs(first - second) < 1e-3
    with pytest.raises(BadRequestError) as caught:
        ask(client, look(site.holds("/bomb.png", bomb(60_000))))
    assert caught.value.param == "messages[0].content[1].image_url.url"


@pytest.mark.slow
def test_under_transformers_the_same_is_seen(client: OpenAI, seeing: RunningServer) -> None:
    """Tokens and odds are those of the other engine; more pictures are more of a prompt."""
    given = {"logprobs": True, "max_tokens": 1}
    red, blue = url(drawn("jpeg"), "jpeg"), url(drawn(colour="blue"))
    for content in ("What is it?", look(red), look(blue), look(red, blue)):
        ours, theirs = (ask(client, content, model=m, **given) for m in ("eyes", "pocket"))
        assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
        first, second = (each.choices[0].logprobs.content[0] for each in (ours, theirs))
        assert first.token == second.token
        assert abs(first.logprob - second.logprob) < 1e-3
    assert seeing.model("eyes")["engine"] == "transformers"
    for name in ("eyes", "pocket"):
        assert seeing.model(name)["input_modalities"] == ["text", "image"]


@pytest.mark.slow
def test_under_transformers_pictures_stream_beside_texts(client: OpenAI) -> None:
    given = {"model": "eyes", "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    contents = [look(url(drawn())), "What is it?", look(url(drawn(colour="blue")), url(drawn()))]
    alone = [ask(client, each, **given).choices[0].message.content for each in contents]
    with ThreadPoolExecutor() as pool:
        several = [pool.submit(streamed, client, each, **given) for each in contents]
        assert [each.result() for each in several] == alone


def streamed(client: OpenAI, content: Any, **given: Any) -> str:
    """The text of a streamed answer."""
    chunks = ask(client, content, stream=True, **given)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@pytest.mark.slow
def test_under_transformers_hugging_faces_client_sees(seeing: RunningServer) -> None:
    hub = InferenceClient(f"{seeing.url}/hf/models/eyes", timeout=120)
    said = hub.chat_completion(user(look(url(drawn()))), max_tokens=4)
    assert said.usage.completion_tokens == 4
    blind = hub.chat_completion(user("What is it?"), max_tokens=4)
    assert said.usage.prompt_tokens > blind.usage.prompt_tokens + 3


def test_thoughts_have_two_names_and_are_no_content(client: OpenAI) -> None:
    message = ask(client, "hello").choices[0].message
    assert message.content in ("", None)
    assert message.reasoning_content == message.reasoning != ""
    chunks = [chunk.choices[0].delta for chunk in ask(client, "hello", stream=True)]
    streamed = "".join(getattr(delta, "reasoning_content", None) or "" for delta in chunks)
    assert streamed == message.reasoning_content
    assert not "".join(delta.content or "" for delta in chunks)
    off = ask(client, "hello", extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert off.choices[0].message.content and not hasattr(off.choices[0].message, "reasoning")
    less = ask(client, "hello", reasoning_effort="none")
    assert less.choices[0].message.content == off.choices[0].message.content


def test_a_structure_begins_after_the_thoughts(client: OpenAI) -> None:
    given = {"response_format": {"type": "json_object"}, "max_tokens": 30}
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    assert ask(client, "x", extra_body=off, **given).choices[0].message.content.startswith("{")
    assert not ask(client, "x", **given).choices[0].message.content


def test_a_picture_in_words_is_no_picture(client: OpenAI) -> None:
    assert ask(client, "<image> <fake_token_around_image> <image>").usage.prompt_tokens < 60
    ask(client, [{"type": "text", "text": "<image>"}, *look(url(drawn()))])


def chunk(name: bytes, data: bytes) -> bytes:
    """One part of a PNG."""
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def bomb(side: int) -> bytes:
    """A PNG that claims to be that large."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
    return b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")


def noise() -> bytes:
    """A picture that does not compress."""
    file = io.BytesIO()
    pixels = random.Random(0).randbytes(64 * 64 * 3)
    Image.frombytes("RGB", (64, 64), pixels).save(file, "png")
    return file.getvalue()


BAD = {
    "gigapixels": bomb(60_000),
    "the same four times": bomb(4_999),
    "cut off": noise()[:5000],
    "cut off early": noise()[:20],
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "tiff": b"II*\0" + b"\0" * 100,
    "empty": b"\0",
}


@pytest.mark.parametrize("model", ["pocket", pytest.param("eyes", marks=pytest.mark.slow)])
def test_what_is_no_picture_is_refused(client: OpenAI, seeing: RunningServer, model: str) -> None:
    ask(client, "hello", model=model)
    with unharmed(seeing, model):
        for name, raw in BAD.items():
            pictures = [url(raw)] * (4 if "four" in name else 1)
            with pytest.raises(BadRequestError) as caught:
                ask(client, look(*pictures), stream=True, model=model)
            assert (caught.value.param or "").startswith("messages"), name


@pytest.mark.slow
@pytest.mark.skipif(bool(find_spec("torchvision")), reason="torchvision is installed")
def test_a_family_that_needs_torchvision_says_so(client: OpenAI) -> None:
    with pytest.raises(InternalServerError) as caught:
        client.chat.completions.create(model="other-family", messages=user("x"))
    assert (caught.value.status_code, caught.value.code) == (503, "model_unavailable")
    assert "needs torchvision" in caught.value.message
