"""OpenAI's audio routes through its own client, on tiny models that hear and speak."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import jsonschema
import pytest
import soundfile
from openai import BadRequestError, OpenAI

from inference import ModelCard
from playground.accounts.access import Caller, Limits, Terms
from playground.api.audio import formats
from playground.api.audio.views import SPEAKING, SpeechView
from tests import tiny_tasks
from tests.api.described import component, whole
from tests.conftest import MakeServer
from tests.servers import RunningServer
from tests.tiny_tasks import samples
from tests.tiny_tasks.cards import CARD

TASKS = ("automatic-speech-recognition", "text-to-speech")
SOUND = ("a.wav", samples.sound(), "audio/wav")
CHUNKS = {
    "text": " one two",
    "chunks": [
        {"text": " one", "timestamp": [0.0, 1.5]},
        {"text": " two", "timestamp": [3661.25, None]},
    ],
}


@pytest.fixture(scope="module")
def hearing(make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server with one model of each."""
    root: Path = tmp_path_factory.mktemp("audio")
    cards = []
    for task in TASKS:
        folder = tiny_tasks.write(task, root / task)
        cards.append(CARD.format(task=task, folder=folder))
    echo = '[[model]]\nid = "echo"\nsource = "echo"\nengine = "echo"\n'
    (root / "catalogue.toml").write_text("\n".join([echo, *cards]))
    return make_server({"CATALOGUE": str(root / "catalogue.toml")})


@pytest.fixture(scope="module")
def openai(hearing: RunningServer) -> OpenAI:
    return OpenAI(base_url=f"{hearing.url}/v1", api_key="none", timeout=180, max_retries=0)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_was_heard_is_written(openai: OpenAI) -> None:
    model = "tiny/automatic-speech-recognition"
    heard = openai.audio.transcriptions.create(model=model, file=SOUND)
    assert heard.text
    told = openai.audio.transcriptions.create(model=model, file=SOUND, response_format="srt")
    assert str(told).startswith("1\n00:00:00,000 --> 00:00:00,")
    wordy = openai.audio.transcriptions.create(
        model=model, file=SOUND, response_format="verbose_json"
    )
    assert wordy.text == heard.text and wordy.segments and wordy.duration > 0
    for told in (heard, wordy):
        jsonschema.Draft202012Validator(component("Heard")).validate(told.to_dict(mode="json"))


# The client calls this route of its own deprecated; servers still have it.
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_model_of_one_language_says_so(openai: OpenAI) -> None:
    model = "tiny/automatic-speech-recognition"
    with pytest.raises(BadRequestError, match="trained for") as caught:
        openai.audio.translations.create(model=model, file=SOUND)
    assert caught.value.param == "model"
    with pytest.raises(BadRequestError, match="trained for") as caught:
        openai.audio.transcriptions.create(model=model, file=SOUND, language="fr")
    assert caught.value.param == "language"


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("form", "kind"), [("mp3", "MP3"), ("opus", "OGG"), ("flac", "FLAC"), ("wav", "WAV")]
)
def test_a_text_is_spoken(openai: OpenAI, form: str, kind: str) -> None:
    spoken = openai.audio.speech.create(
        model="tiny/text-to-speech", voice="alloy", input="hello", response_format=form
    )
    with soundfile.SoundFile(io.BytesIO(spoken.content)) as file:
        assert file.format == kind and file.frames > 0
    assert spoken.response.headers["x-llms-ignored"] == "voice"


@pytest.mark.parametrize(
    ("path", "form", "param"),
    [
        ("transcriptions", {"data": {"model": "echo"}, "files": {"other": b"a"}}, "file"),
        ("transcriptions", {"data": {"model": "echo"}, "files": {"file": b"a"}}, "model"),
        (
            "transcriptions",
            {"data": {"model": "echo", "response_format": "doc"}, "files": {"file": b"a"}},
            "response_format",
        ),
        (
            "transcriptions",
            {"data": {"model": "echo", "temperature": "hot"}, "files": {"file": b"a"}},
            "temperature",
        ),
        ("translations", {"json": {"model": "echo"}}, "file"),
        ("speech", {"json": {"model": "echo"}}, "input"),
        ("speech", {"json": {"model": "echo", "input": "a"}}, "model"),
        ("speech", {"json": {"model": "echo", "input": "a" * 5000}}, "input"),
        ("speech", {"json": {"input": "a", "response_format": "aac"}}, "response_format"),
        ("speech", {"json": {"input": "a", "speed": 2}}, "speed"),
    ],
)
def test_each_field_is_checked(http: httpx.Client, path: str, form: dict, param: str) -> None:
    answer = http.post(f"/v1/audio/{path}", **form)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


async def test_a_groups_terms_hold_for_sounds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    card = ModelCard("speaker", "speaker", task="text-to-speech")

    async def found(name: str) -> ModelCard:
        return card

    view = SpeechView()
    view.request_id = "one"
    view.caller = Caller("user:1", 1, terms=(Terms(weight=3.0, each=Limits(queue_places=2)),))
    monkeypatch.setattr(view, "found", found)
    question = await view.question("speaker", SPEAKING, "hello", {})
    assert (question.queue_places, question.weight) == (2, 3.0)
    # By which its answers tell what is left.
    assert view.model == "speaker"


@pytest.mark.parametrize("path", ["transcriptions", "translations", "speech"])
def test_every_field_of_the_document_is_known(http: httpx.Client, path: str) -> None:
    """A value that the document allows is never what is refused; one that it does not name is."""
    operation = whole()["paths"][f"/v1/audio/{path}"]["post"]
    [(kind, content)] = operation["requestBody"]["content"].items()
    for name, schema in content["schema"]["properties"].items():
        if name in ("file", "model"):
            continue
        given = {name: schema.get("enum", [schema.get("const", "0.5")])[-1]}
        body: dict = {"data": {"model": "echo", **given}, "files": {"file": b"a"}}
        if kind == "application/json":
            body = {"json": {"model": "echo", "input": "a", **given}}
        answer = http.post(f"/v1/audio/{path}", **body)
        # The only thing wrong is what this model is for.
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model"), name


def test_a_broken_form_is_told_so(http: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"--x\r\nnothing", b"", b"\xff" * 100):
        answer = http.post("/v1/audio/transcriptions", content=body, headers=headers)
        assert answer.status_code == 400, answer.text


def test_subtitles_have_hours_and_ends() -> None:
    srt = formats.response(CHUNKS, "srt", "transcribe", "").content.decode()
    assert srt == (
        "1\n00:00:00,000 --> 00:00:01,500\none\n\n2\n01:01:01,250 --> 01:01:01,250\ntwo\n\n"
    )
    vtt = formats.response(CHUNKS, "vtt", "transcribe", "").content.decode()
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\none\n")
    assert formats.response(CHUNKS, "text", "transcribe", "").content == b"one two\n"
