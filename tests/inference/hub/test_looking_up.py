"""Models by their id on the Hub: looked up, checked, made into cards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import ModelCard
from inference.errors import (
    InferenceError,
    LicenceRefused,
    ModelNotFound,
    ModelTooLarge,
    ModelUnavailable,
    UnsafeCode,
    UnsafeFormat,
    UnsupportedModel,
)
from inference.found import card_of, files_of, weights_of
from inference.hub import Found, is_id, look_up
from inference.known import transformers_classes, vllm_tasks
from inference.service import InferenceService
from inference.store import Store
from tests.hub import WEIGHTS, Hub, brought, repo, safetensors
from tests.inference.test_service import ask


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
        ("audio-text-to-text", "Qwen2AudioForConditionalGeneration", "text-generation"),
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


@pytest.mark.parametrize("tag", ["text-generation", ""])
def test_what_vllm_does_not_know_goes_to_transformers(tag: str) -> None:
    one = found({WEIGHTS: 1}, pipeline_tag=tag, config={"architectures": ["XGLMForCausalLM"]})
    assert "XGLMForCausalLM" not in vllm_tasks()
    card = card_of(one, vllm_tasks(), transformers_classes())
    assert (card.task, card.engine) == ("text-generation", "transformers")
    odd = found({WEIGHTS: 1}, pipeline_tag="mind-reading", config=one.config)
    with pytest.raises(UnsupportedModel, match="mind-reading"):
        card_of(odd, vllm_tasks(), transformers_classes())


def test_whoever_sees_and_speaks_is_chatted_with_under_transformers_too() -> None:
    kind = "KOSMOS2ForConditionalGeneration"
    known = frozenset({kind})
    sees = {"architectures": [kind], "vision_config": {}}
    for config, task in (
        (sees, "text-generation"),
        ({"architectures": [kind]}, "image-text-to-text"),
    ):
        one = found({WEIGHTS: 1}, pipeline_tag="image-text-to-text", config=config)
        card = card_of(one, {}, known)
        assert (card.task, card.engine) == (task, "transformers")


@pytest.mark.parametrize(
    ("config", "ears"),
    [
        ({"audio_config": {}}, True),
        ({"audio_model_id": "openai/whisper-small"}, True),
        ({"encoder_config": {}, "projector_config": {}}, True),
        ({"vision_config": {}}, False),
    ],
)
def test_whoever_hears_and_speaks_is_chatted_with(config: dict[str, Any], ears: bool) -> None:
    kind = "Qwen2AudioForConditionalGeneration"
    given = {"architectures": [kind], **config}
    one = found({WEIGHTS: 1}, pipeline_tag="audio-text-to-text", config=given)
    assert weights_of(one).sounds is ears
    if ears:
        card = card_of(one, {}, transformers_classes())
        assert (card.task, card.engine) == ("text-generation", "transformers")


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
