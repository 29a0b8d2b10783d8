"""Every task through Hugging Face's own client, over HTTP, on a tiny model under transformers."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError
from PIL import Image

from tests import tiny_tasks
from tests.conftest import MakeServer
from tests.inference.test_pipelines import NEED_TORCHVISION, TASKS, TORCHVISION
from tests.servers import RunningServer
from tests.tiny_tasks import samples
from tests.tiny_tasks.calls import BOXES, LABELS, TABLE, TEXT
from tests.tiny_tasks.cards import TinyModels

PICTURE, SOUND = samples.picture(), samples.sound()
NAMES = LABELS["candidate_labels"]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def labelled(found: Any) -> bool:
    """Labels with scores, best first."""
    scores = [each.score for each in found]
    return bool(found) and all(each.label for each in found) and scores == sorted(scores)[::-1]


# How the client asks, and whether that is an answer. Some tasks have no method of their own.
METHODS: Mapping[str, Callable[[InferenceClient], bool]] = {
    "audio-classification": lambda c: labelled(c.audio_classification(SOUND, top_k=2)),
    "automatic-speech-recognition": lambda c: bool(c.automatic_speech_recognition(SOUND).text),
    "document-question-answering": lambda c: bool(
        c.document_question_answering(PICTURE, "what is red?", word_boxes=BOXES)[0].answer
    ),
    "feature-extraction": lambda c: c.feature_extraction(TEXT).shape[2] == 32,
    "fill-mask": lambda c: len(c.fill_mask("paris is [MASK].", top_k=3)) == 3,
    "image-classification": lambda c: labelled(c.image_classification(PICTURE)),
    "image-segmentation": lambda c: c.image_segmentation(PICTURE)[0].mask.size == (48, 40),
    "image-to-image": lambda c: c.image_to_image(PICTURE).width >= 96,
    "image-to-text": lambda c: c.image_to_text(PICTURE).generated_text is not None,
    "object-detection": lambda c: c.object_detection(PICTURE, threshold=0.0)[0].box.xmax > 0,
    "question-answering": lambda c: c.question_answering("who?", TEXT).answer in TEXT,
    "sentence-similarity": lambda c: c.sentence_similarity(TEXT, [TEXT])[0] > 0.999,
    "summarization": lambda c: c.summarization(TEXT).summary_text is not None,
    "table-question-answering": lambda c: (
        c.table_question_answering(TABLE, "how many cat").answer is not None
    ),
    "text-classification": lambda c: labelled(c.text_classification(TEXT, top_k=2)),
    "text-to-audio": lambda c: c.text_to_speech("hello").startswith(b"RIFF"),
    "text-to-speech": lambda c: c.text_to_speech("hello").startswith(b"RIFF"),
    "token-classification": lambda c: c.token_classification(TEXT)[0].word in TEXT,
    "translation": lambda c: c.translation(TEXT).translation_text is not None,
    "visual-question-answering": lambda c: (
        c.visual_question_answering(PICTURE, "what is red?", top_k=1)[0].answer is not None
    ),
    "zero-shot-classification": lambda c: labelled(c.zero_shot_classification(TEXT, NAMES)),
    "zero-shot-image-classification": lambda c: labelled(
        c.zero_shot_image_classification(PICTURE, NAMES)
    ),
}
# The client has no method for these, so what it would send is sent by hand.
BODIES: Mapping[str, tuple[Any, Callable[[Any], bool]]] = {
    "any-to-any": ({"inputs": "what"}, lambda found: "generated_text" in found[0]),
    "depth-estimation": (
        {"inputs": b64(PICTURE)},
        lambda found: Image.open(io.BytesIO(base64.b64decode(found["depth"]))).size == (48, 40),
    ),
    "image-feature-extraction": ({"inputs": b64(PICTURE)}, lambda found: len(found[0][0]) == 32),
    "image-text-to-text": (
        {
            "inputs": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": f"data:;base64,{b64(PICTURE)}"}},
                        {"type": "text", "text": "what is this"},
                    ],
                }
            ],
            "parameters": {"max_new_tokens": 4},
        },
        lambda found: "generated_text" in found[0],
    ),
    "keypoint-matching": (
        {"inputs": [b64(PICTURE), b64(samples.picture(2))]},
        lambda found: {"keypoint_image_0", "score"} <= set(found[0]),
    ),
    "mask-generation": ({"inputs": b64(PICTURE)}, lambda found: isinstance(found, list)),
    "text2text-generation": ({"inputs": TEXT}, lambda found: "generated_text" in found[0]),
    "video-classification": (
        {"inputs": b64(samples.film())},
        lambda found: {"label", "score"} <= set(found[0]),
    ),
    "zero-shot-audio-classification": (
        {"inputs": b64(SOUND), "parameters": LABELS},
        lambda found: {each["label"] for each in found} == set(NAMES),
    ),
    "zero-shot-object-detection": (
        {"inputs": b64(PICTURE), "parameters": {**LABELS, "threshold": 0.0}},
        lambda found: {"box", "label", "score"} <= set(found[0]),
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """A model of each task; written when first asked for."""
    return TinyModels(tmp_path_factory.mktemp("models-by-task"))


@pytest.fixture(scope="module")
def tiny(make_server: MakeServer, models: TinyModels) -> RunningServer:
    """A server with all of them."""
    return make_server({"CATALOGUE": str(models.catalogue)})


@pytest.fixture(scope="module")
def asked(tiny: RunningServer, models: TinyModels) -> Callable[[str], str]:
    """The address of a task's model."""
    return lambda task: f"{tiny.url}/hf/models/{models.named(task)}"


QUICK = {"image-classification", "text-classification"}
SLOW = [pytest.param(t, marks=pytest.mark.slow) for t in TASKS if t not in QUICK]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("task", [*sorted(QUICK), *SLOW])
def test_a_task_is_answered_through_the_hubs_client(asked: Any, task: str) -> None:
    address = asked(task)
    if task in METHODS:
        assert METHODS[task](InferenceClient(model=address, timeout=180))
    if task in BODIES:
        body, right = BODIES[task]
        answer = httpx.post(address, json=body, timeout=180)
        assert answer.status_code == 200, answer.text
        assert right(answer.json())


@pytest.mark.timeout(240)
def test_raw_bytes_and_base64_are_the_same_question(asked: Any) -> None:
    address = asked("image-classification")
    headers = {"Content-Type": "image/png"}
    raw = httpx.post(address, content=PICTURE, headers=headers, timeout=180)
    form = httpx.post(address, content=PICTURE, headers={"Content-Type": "application/x-www"})
    text = httpx.post(address, json={"inputs": b64(PICTURE)}, timeout=60)
    assert raw.status_code == 200 and raw.json() == text.json() == form.json()


@pytest.mark.timeout(240)
def test_bad_bytes_are_refused_by_name(asked: Any) -> None:
    client = InferenceClient(model=asked("image-classification"), timeout=180)
    with pytest.raises(BadRequestError, match="no PNG, JPEG, WebP or GIF") as caught:
        client.image_classification(b"\x00\x01 no picture")
    assert caught.value.response.json()["param"] == "inputs"


@pytest.mark.timeout(240)
def test_many_at_once_are_answered_as_one_by_one(asked: Any) -> None:
    client = InferenceClient(model=asked("text-classification"), timeout=180)
    texts = [f"{TEXT} {'the dog is good ' * (i % 5)}" for i in range(40)]
    alone = [client.text_classification(text) for text in texts[:5]]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(client.text_classification, texts))
    for i, each in enumerate(found):
        pairs = zip(each, alone[i % 5], strict=True)
        assert all(
            a.label == b.label and math.isclose(a.score, b.score, abs_tol=1e-4) for a, b in pairs
        )


@pytest.mark.slow
@pytest.mark.skipif(TORCHVISION, reason="torchvision is installed")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("task", sorted(NEED_TORCHVISION))
def test_what_cannot_run_here_says_why(asked: Any, task: str) -> None:
    answer = httpx.post(asked(task), json=BODIES[task][0], timeout=180)
    assert answer.status_code == 503 and "torchvision" in answer.json()["error"]


def test_every_task_is_asked_for() -> None:
    assert set(METHODS) | set(BODIES) == set(tiny_tasks.WRITERS)
