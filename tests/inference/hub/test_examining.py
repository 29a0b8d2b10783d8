"""A card that cannot work is refused at the field at fault, before anything is fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import CardError, ModelCard
from inference.errors import LicenceRefused, ModelNotFound, ModelUnavailable
from inference.examining import Verdict
from inference.service import InferenceService
from tests.hub import WEIGHTS, Hub, repo

TINY = ModelCard("tiny", "alice/tiny", max_model_len=512)
HUGE = {"num_hidden_layers": 4000, "hidden_size": 8192, "max_position_embeddings": 131072}


def header(parameters: int) -> bytes:
    """The beginning of a large file: what it says of its size is all that is read."""
    told = {"w": {"dtype": "BF16", "shape": [parameters], "data_offsets": [0, 2 * parameters]}}
    text = json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text


async def refused(service: InferenceService, card: ModelCard) -> tuple[str, str]:
    with pytest.raises(CardError) as caught:
        await service.examine(card)
    return caught.value.field, str(caught.value)


async def test_what_fits_is_told_and_nothing_is_fetched(
    service: InferenceService, hub: Hub
) -> None:
    hub.repos["alice/tiny"] = made = repo(licence="mit")
    fit = await service.propose("alice/tiny")
    assert (fit.card.revision, fit.card.licence) == (made.commit, "mit")
    assert fit.weight_bytes == 800_000 < fit.fetch_bytes
    assert (fit.ways[0].rung, fit.ways[0].engine) == ("full", "vllm")
    # It is in no catalogue, and of its weights nothing but the header was asked for.
    with pytest.raises(ModelNotFound):
        service.card("alice/tiny")
    assert [r for m, p, r in hub.asked if p.endswith(WEIGHTS) and m == "GET"] == ["bytes=0-100000"]


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("source", {"source": "alice/none"}, "no model"),
        ("source", {"source": "no/such/folder"}, "neither a folder"),
        ("source", {"source": "alice/pickle"}, "safetensors"),
        ("trust_remote_code", {"source": "alice/code"}, "code of its own"),
        ("source", {"source": "alice/gated"}, "gated"),
        ("tool_parser", {"tool_parser": "mind-reader"}, "hermes"),
        ("reasoning_parser", {"reasoning_parser": "mind-reader"}, "qwen3"),
        ("quantization", {"quantization": "half a bit"}, "fp8"),
        ("engine", {"source": "alice/odd"}, "vLLM does not have NobodysModel"),
        ("engine", {"source": "alice/odd", "engine": "transformers"}, "NobodysModel"),
        ("task", {"source": "alice/bert", "max_model_len": None}, "rerank"),
        ("engine_args", {"engine_args": {"chat_template": "/etc/passwd"}}, "chat_template"),
        ("source", {"source": "alice/huge", "max_model_len": None}, "GiB"),
        ("max_model_len", {"source": "alice/long", "max_model_len": 10**6}, "GiB"),
        ("rungs", {"source": "alice/large", "rungs": ("full",)}, "GiB"),
        ("engine_args", {"engine_args": {"tensor_parallel_size": 8}}, "8 device"),
    ],
)
async def test_a_card_is_refused_at_the_field_at_fault(
    service: InferenceService, hub: Hub, field: str, change: dict[str, Any], said: str
) -> None:
    long = {"num_hidden_layers": 64, "hidden_size": 8192, "max_position_embeddings": 10**6}
    hub.repos |= {
        "alice/tiny": repo(),
        "alice/pickle": repo(more={"model.safetensors": b"", "pytorch_model.bin": b"x"}),
        "alice/code": repo(config={"auto_map": {"AutoModel": "x.Y"}}),
        "alice/gated": repo(gated="hf_somebody"),
        "alice/odd": repo(config={"architectures": ["NobodysModel"]}),
        "alice/bert": repo(config={"architectures": ["BertForSequenceClassification"]}),
        "alice/huge": repo(config=HUGE),
        "alice/long": repo(config=long),
        "alice/large": repo(more={WEIGHTS: header(5 * 10**9)}),
    }
    found = await refused(service, replace(TINY, **change))
    assert found[0] == field and said in found[1]
    assert not any(m == "GET" and p.endswith(WEIGHTS) and not r for m, p, r in hub.asked)


async def test_many_cards_are_judged_each_for_itself(
    service: InferenceService, hub: Hub, limits: LazySettings
) -> None:
    hub.repos |= {"alice/tiny": repo(), "alice/huge": repo(config=HUGE)}
    huge = replace(TINY, id="huge", source="alice/huge", max_model_len=None)
    none = replace(TINY, id="none", source="alice/none")
    well, large, lost = await service.verdicts([TINY, huge, none])
    assert well == Verdict()
    assert large.field == "source" and "GiB" in large.words
    assert lost.field == "source" and "no model" in lost.words
    limits.HUB_ENDPOINT = "http://127.0.0.1:9"
    [unseen] = await service.verdicts([replace(TINY, id="late", source="alice/late")])
    assert unseen.field == "" and "seen when it is loaded" in unseen.words


async def test_a_model_that_is_too_big_says_what_each_way_would_take(
    service: InferenceService, hub: Hub
) -> None:
    hub.repos["alice/huge"] = repo(config=HUGE)
    with pytest.raises(CardError, match="GiB on 1 device.* in 4 bits, .* partly on disk"):
        await service.propose("alice/huge")


async def test_refusals_of_the_finder_are_those_of_a_proposal(
    service: InferenceService, hub: Hub, limits: LazySettings
) -> None:
    hub.repos["alice/gated"] = repo(gated="hf_somebody")
    with pytest.raises(LicenceRefused):
        await service.propose("alice/gated")
    with pytest.raises(ModelNotFound):
        await service.propose("alice/none")
    await service.set_cards([TINY])
    with pytest.raises(CardError, match="already") as caught:
        await service.propose("tiny")
    assert caught.value.field == "id"


async def test_a_hub_that_is_away_refuses_nobody(
    service: InferenceService, limits: LazySettings
) -> None:
    limits.HUB_ENDPOINT = "http://127.0.0.1:9"
    with pytest.raises(ModelUnavailable):
        await service.examine(TINY)


async def test_a_folder_that_holds_no_model_is_no_source(
    service: InferenceService, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert await refused(service, replace(TINY, source=str(folder))) == (
        "source",
        "The folder `empty` has no readable config.json: FileNotFoundError.",
    )


async def test_the_embedded_model_fits(service: InferenceService) -> None:
    fit = await service.examine(ModelCard("pocket", "inference/pocket/model", tool_parser="hermes"))
    assert fit.fetch_bytes == 0 < fit.weight_bytes
    assert fit.toml().startswith('[[model]]\nid = "pocket"')
