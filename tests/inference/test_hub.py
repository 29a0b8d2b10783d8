"""Models by their id on the Hub: looked up, checked, fetched, kept; against a Hub of our own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import Catalogue, ModelCard
from inference.errors import (
    InferenceError,
    LicenceRefused,
    ModelNotFound,
    ModelTooLarge,
    ModelUnavailable,
    StorageFull,
    UnsafeCode,
    UnsafeFormat,
    UnsupportedModel,
)
from inference.fetch import PIECE_BYTES
from inference.found import card_of, files_of
from inference.hub import Found, is_id, look_up
from inference.known import transformers_classes, vllm_tasks
from inference.service import InferenceService
from inference.store import COMPLETE, Store
from tests.hub import Hub, repo, running, safetensors
from tests.inference.test_service import ask, until

WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as made:
        yield made


@pytest.fixture
def limits(
    settings: LazySettings, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> LazySettings:
    settings.LLMS_DATA = tmp_path
    settings.HUB_ENDPOINT = hub.url
    settings.HUB_SECONDS = 5
    settings.CPU_MEMORY_BYTES = 8 * 2**30
    # Nothing is loaded here.
    settings.WARM_START = False
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return settings


@pytest.fixture
async def service(limits: LazySettings) -> AsyncIterator[InferenceService]:
    made = InferenceService()
    await made.start()
    yield made
    await made.shutdown(0.1)


async def brought(service: InferenceService, name: str = "alice/tiny") -> ModelCard:
    """The model, found and on disk; no engine is asked."""
    card = await service.find(name, may_add=True)
    await service.library.bring(card, ask(card.id))
    return card


# --- looking up -----------------------------------------------------------------------------------


async def test_id_becomes_a_card_at_one_commit(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = made = repo(licence="apache-2.0")
    card = await service.find("alice/tiny", may_add=True)
    assert (card.id, card.source, card.revision) == ("alice/tiny", "alice/tiny", made.commit)
    assert (card.task, card.engine, card.licence) == ("text-generation", "vllm", "apache-2.0")
    assert card.found and card.wish == "none" and card.max_model_len == 512
    # From now on it is a model like any other, and the Hub is not asked again.
    asked = len(hub.asked)
    assert await service.find("alice/tiny", may_add=False) == card
    assert len(hub.asked) == asked
    place = service.model_status("alice/tiny").place
    assert place is None
    # Nothing but the header of its weights was fetched for that.
    assert [r for m, p, r in hub.asked if p.endswith(WEIGHTS) and m == "GET"] == ["bytes=0-100000"]


async def test_size_is_what_the_headers_say(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo(1_000_000)
    card = await service.find("alice/tiny", may_add=True)
    assert (await service.library.weights(card)).bytes == 2_000_000


async def test_many_who_ask_share_one_look(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo()
    cards = await asyncio.gather(*(service.find("alice/tiny", may_add=True) for _ in range(20)))
    assert len({id(card) for card in cards}) == 1
    assert hub.count("GET", "/api/models/alice/tiny/tree") == 1


async def test_unknown_id_is_not_found_and_remembered(service: InferenceService, hub: Hub) -> None:
    for _ in range(3):
        with pytest.raises(ModelNotFound):
            await service.find("nobody/nothing", may_add=True)
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..",
        "a/..",
        "a/b/c",
        "a/b\0",
        "%2e%2e/%2e%2e",
        "http://127.0.0.1/x",
        "a//b",
        "/etc/passwd",
        "a/b?x=1",
        "a/b#c",
        "a@b/c",
        "a\\b/c",
        "é/b",
        "a/b--c",
        "x" * 10_000,
    ],
)
async def test_odd_names_reach_neither_network_nor_disk(
    service: InferenceService, hub: Hub, tmp_path: Path, name: str
) -> None:
    assert not is_id(name)
    with pytest.raises(ModelNotFound):
        await service.find(name, may_add=True)
    with pytest.raises(ModelNotFound):
        look_up(name)
    with pytest.raises(ValueError):
        Store(tmp_path, 0).folder(name, "0123abc")
    assert not hub.asked


async def test_nobody_else_may_add(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo()
    with pytest.raises(ModelNotFound):
        await service.find("alice/tiny", may_add=False)
    assert not hub.asked


async def test_found_name_is_never_a_folder_of_ours(service: InferenceService, hub: Hub) -> None:
    hub.repos["inference/pocket"] = repo()
    card = await service.find("inference/pocket", may_add=True)
    assert await service.library.locate(card) is None


async def test_hub_that_is_away_is_no_missing_model(
    service: InferenceService, limits: LazySettings
) -> None:
    limits.HUB_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(ModelUnavailable, match="did not answer"):
        await service.find("alice/tiny", may_add=True)


PICKLE = {WEIGHTS: b"", "pytorch_model.bin": b"\x80\x04"}
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], type[InferenceError], str]] = [
    ({"more": PICKLE}, {}, UnsafeFormat, "pickles"),
    ({"config": {"auto_map": {"AutoModel": "x.Y"}}}, {}, UnsafeCode, "code of its own"),
    ({"config": {"architectures": ["NobodysModel"]}}, {}, UnsupportedModel, "NobodysModel"),
    ({"more": {"config.json": b""}}, {}, UnsupportedModel, "without a config"),
    ({"licence": "secret-1.0"}, {"HUB_LICENCES": ("mit", "apache*")}, LicenceRefused, "secret"),
    ({}, {"HUB_MAX_BYTES": 1000}, ModelTooLarge, "are fetched"),
    ({}, {"MODEL_DISK_BYTES": 1000}, ModelTooLarge, "on this disk"),
    ({}, {"CPU_MEMORY_BYTES": 2**20}, ModelTooLarge, "does not fit"),
]


@pytest.mark.parametrize(("facts", "set_to", "error", "said"), REFUSALS)
async def test_refusals_come_before_anything_is_fetched(
    limits: LazySettings,
    hub: Hub,
    facts: dict[str, Any],
    set_to: dict[str, Any],
    error: type[InferenceError],
    said: str,
) -> None:
    for name, value in set_to.items():
        setattr(limits, name, value)
    hub.repos["alice/odd"] = made = repo(**facts)
    service = InferenceService()
    await service.start()
    with pytest.raises(error, match=said):
        await service.find("alice/odd", may_add=True)
    assert "alice/odd" not in {status.card.id for status in service.models()}
    assert made.sent.get(WEIGHTS, 0) <= 100_001
    await service.shutdown(0.1)


async def test_gated_model_needs_the_servers_token(
    service: InferenceService, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["alice/gated"] = repo(gated="hf_right")
    for token in ("", "hf_wrong"):
        service.library.finder._refused.clear()
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(LicenceRefused, match="HF_TOKEN"):
            await service.find("alice/gated", may_add=True)
    service.library.finder._refused.clear()
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    card = await brought(service, "alice/gated")
    assert await service.library.locate(card)


# --- which files ----------------------------------------------------------------------------------


def found(files: dict[str, int], **more: Any) -> Found:
    return Found("alice/m", "c0ffee", files, more.pop("config", {}), **more)


def test_one_cut_of_the_weights_is_taken() -> None:
    files = {
        "config.json": 1,
        "model-00001-of-00002.safetensors": 5,
        "model-00002-of-00002.safetensors": 5,
        "model.safetensors.index.json": 1,
        "consolidated.safetensors": 10,
        "original/consolidated.00.pth": 10,
        "onnx/model.onnx": 10,
        "pytorch_model.bin": 10,
        "tokenizer.json": 1,
        "tokenizer.model": 1,
        "merges.txt": 1,
        "chat_template.jinja": 1,
        "1_Pooling/config.json": 1,
        "modeling_alice.py": 1,
        "../evil.json": 1,
        ".git/config.json": 1,
        "README.md": 1,
    }
    assert set(files_of(found(files))) == {
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer.model",
        "merges.txt",
        "chat_template.jinja",
        "1_Pooling/config.json",
    }


@pytest.mark.parametrize(
    ("tag", "architecture", "task"),
    [
        ("text-generation", "LlamaForCausalLM", "text-generation"),
        ("image-text-to-text", "Qwen2VLForConditionalGeneration", "text-generation"),
        ("sentence-similarity", "BertModel", "embedding"),
        ("feature-extraction", "LlamaModel", "embedding"),
        ("", "LlamaForCausalLM", "text-generation"),
        ("text-ranking", "BertForSequenceClassification", "rerank"),
    ],
)
def test_engine_and_task_follow_from_what_the_hub_says(
    tag: str, architecture: str, task: str
) -> None:
    one = found({WEIGHTS: 1}, pipeline_tag=tag, config={"architectures": [architecture]})
    card = card_of(one, vllm_tasks(), transformers_classes())
    assert (card.task, card.engine) == (task, "vllm")


def test_engines_tables_are_read() -> None:
    assert "text-generation" in vllm_tasks()["Qwen3ForCausalLM"]
    assert {"BertForTokenClassification", "ViTForImageClassification"} <= transformers_classes()


@pytest.mark.slow
def test_tables_are_those_that_the_engines_use() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    from vllm.model_executor.models.registry import ModelRegistry

    assert set(vllm_tasks()) <= set(ModelRegistry.get_supported_archs())
    classes = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    assert {each for each in classes if isinstance(each, str)} <= transformers_classes()


# --- fetching -------------------------------------------------------------------------------------


async def test_two_who_ask_at_once_fetch_once(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = made = repo()
    card = await service.find("alice/tiny", may_add=True)
    made.sent.clear()
    hub.hold = threading.Event()
    asking = [asyncio.create_task(service.library.bring(card, ask(card.id))) for _ in range(2)]
    requests = service.library.downloads
    await until(lambda: card.id in requests.flights and requests.flights[card.id].bytes > 0)
    status = service.model_status(card.id)
    assert (status.state, status.waiting) == ("downloading", 2)
    assert "of 0.00 GiB" in status.detail and status.download is not None
    (first, second) = requests.flights[card.id].waiting
    waits = [service.waiting(each) for each in (first, second)]
    assert [w.position for w in waits if w] == [1, 2]
    assert all(w and w.stage == "downloading" and 0 < (w.progress or 0) < 1 for w in waits)
    assert len(service.queue("anonymous")) == 2
    (download,) = service.overview().downloads
    assert 0 < download.bytes < download.total_bytes
    hub.hold.set()
    await asyncio.gather(*asking)
    assert made.sent[WEIGHTS] == len(made.files[WEIGHTS])
    folder = await service.library.locate(card)
    assert folder is not None and service.library.source(card) == str(folder)
    assert (folder / WEIGHTS).read_bytes() == made.files[WEIGHTS]
    assert not (folder / "README.md").exists()


async def test_what_was_cut_goes_on_where_it_was(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = made = repo(2_000_000)
    card = await service.find("alice/tiny", may_add=True)
    made.sent.clear()
    # The Hub's client tries again by itself, from the byte that it has.
    hub.cut_after, hub.cuts = 1_000_000, 2
    await service.library.bring(card, ask(card.id))
    size = len(made.files[WEIGHTS])
    assert size <= made.sent[WEIGHTS] <= size + 3 * PIECE_BYTES
    folder = await service.library.locate(card)
    assert folder is not None and (folder / WEIGHTS).read_bytes() == made.files[WEIGHTS]


async def test_client_that_leaves_stops_it_and_the_next_goes_on(
    service: InferenceService, hub: Hub
) -> None:
    hub.repos["alice/tiny"] = made = repo(2_000_000)
    card = await service.find("alice/tiny", may_add=True)
    made.sent.clear()
    hub.hold = threading.Event()
    leaving = asyncio.create_task(service.library.bring(card, ask(card.id)))
    flights = service.library.downloads.flights
    # Half of it is on disk, and the Hub holds the rest back.
    part = service.library.store.folder(card.source, card.revision) / f"{WEIGHTS}.part"
    await until(lambda: part.exists() and part.stat().st_size > 1_500_000)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await until(lambda: not flights)
    assert service.model_status(card.id).state == "unloaded"
    assert not await service.library.locate(card)
    hub.hold.set()
    hub.hold = None
    await service.library.bring(card, ask(card.id))
    ranges = [r for m, p, r in hub.asked if m == "GET" and p.endswith(WEIGHTS)]
    assert int(ranges[-1].removeprefix("bytes=").rstrip("-")) > 1_500_000
    folder = await service.library.locate(card)
    assert folder is not None and (folder / WEIGHTS).read_bytes() == made.files[WEIGHTS]


async def test_hub_that_goes_away_meanwhile_is_told(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo()
    card = await service.find("alice/tiny", may_add=True)
    del hub.repos["alice/tiny"]
    with pytest.raises(ModelUnavailable, match="broke off"):
        await service.library.bring(card, ask(card.id))
    assert not service.library.downloads.flights


async def test_token_of_the_server_is_all_that_the_child_is_told(
    service: InferenceService, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", "s3cret")
    hub.repos["alice/tiny"] = repo()
    card = await service.find("alice/tiny", may_add=True)
    hub.hold = threading.Event()
    asking = asyncio.create_task(service.library.bring(card, ask(card.id)))
    flights = service.library.downloads.flights
    await until(lambda: card.id in flights and flights[card.id].bytes > 0)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    mine = [c for c in children if b"inference.fetch" in Path(f"/proc/{c}/cmdline").read_bytes()]
    assert mine
    for child in mine:
        assert b"s3cret" not in Path(f"/proc/{child}/environ").read_bytes()
    hub.hold.set()
    await asking


# --- the disk -------------------------------------------------------------------------------------


async def test_quota_gives_up_what_was_used_longest_ago(
    service: InferenceService, hub: Hub
) -> None:
    names = [f"alice/m{i}" for i in range(4)]
    for name in names:
        hub.repos[name] = repo()
    size = len(hub.repos[names[0]].files[WEIGHTS])
    store = service.library.store
    cards = [await brought(service, name) for name in names[:3]]
    store.quota = int(3.5 * size)
    for age, card in enumerate(cards):
        mark = store.folder(card.source, card.revision) / COMPLETE
        os.utime(mark, (1000 + age, 1000 + age))
    # Somebody wished for the oldest one: it stays.
    service._catalogue = Catalogue([replace(cards[0], wish="preload"), *cards[1:]])
    cards.append(await brought(service, names[3]))
    here = [bool(await service.library.locate(card)) for card in cards]
    assert here == [True, False, True, True]
    assert not list(store.root.glob(".going-*"))


async def test_no_room_that_could_be_made_is_typed(service: InferenceService, hub: Hub) -> None:
    hub.repos["alice/tiny"] = repo()
    card = await service.find("alice/tiny", may_add=True)
    service.library.store.quota = 1000
    with pytest.raises(StorageFull, match="are needed"):
        await service.library.bring(card, ask(card.id))
    service.library.store.quota = 0
    await service.library.bring(card, ask(card.id))
    assert await service.library.locate(card)


async def test_disk_that_is_full_leaves_no_corrupt_file(
    service: InferenceService, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on a file's size stands in for the disk: writes beyond it fail in the same way."""
    monkeypatch.setattr("inference.downloads.COMMAND", LIMITED)
    hub.repos["alice/tiny"] = made = repo(2_000_000)
    card = await service.find("alice/tiny", may_add=True)
    with pytest.raises(StorageFull, match="disk is full"):
        await service.library.bring(card, ask(card.id))
    assert not await service.library.locate(card)
    monkeypatch.undo()
    await service.library.bring(card, ask(card.id))
    folder = await service.library.locate(card)
    assert folder is not None and (folder / WEIGHTS).read_bytes() == made.files[WEIGHTS]


LIMITED = (
    "-c",
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20));"
    "from inference.fetch import main; main()",
)


# --- folders --------------------------------------------------------------------------------------


async def test_folders_are_held_to_the_same_rules(
    service: InferenceService, tmp_path: Path
) -> None:
    import json

    for name, config, files, error in (
        ("pickles", {}, {"pytorch_model.bin": b"x"}, UnsafeFormat),
        ("code", {"auto_map": {}}, {WEIGHTS: safetensors(10)}, UnsafeCode),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        for path, body in files.items():
            (folder / path).write_bytes(body)
        await service.set_cards([ModelCard(name, str(folder))])
        with pytest.raises(error):
            await service.generate(ask(name))
