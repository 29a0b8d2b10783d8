"""Which model answers by default, and how the server follows the catalogue."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.db import connections

from inference import InferenceService, errors
from inference.devices import Device
from inference.models import CatalogueRow
from playground.reconcile import Reconciler

GIB = 2**30
CONFIG = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "max_position_embeddings": 8192,
}


def folder(path: Path, weight_bytes: int) -> str:
    """A model's folder as sizing sees it: a config, and weights that are all hole."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    with (path / "model.safetensors").open("wb") as file:
        file.truncate(weight_bytes)
    return str(path)


def fill(tmp_path: Path) -> None:
    CatalogueRow.objects.all().delete()
    for place, size in enumerate((1, 16, 60, 140)):
        source = folder(tmp_path / str(size), size * GIB)
        CatalogueRow.objects.create(id=f"m{size}", source=source, max_model_len=4096 + place)
    CatalogueRow.objects.create(id="away", source="nobody/not-on-this-hub")


def default() -> Any:
    return CatalogueRow.objects.filter(is_default=True).values_list("id", "wish").first()


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    """The thread that reads for a coroutine keeps a connection, and PostgreSQL minds."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [
        ([Device("cpu", "cpu", "", 16 * GIB, 24 * GIB)], "m1"),
        ([Device("0", "cuda", "", 22 * GIB, 24 * GIB)], "m1"),
        ([Device("0", "cuda", "", 44 * GIB, 48 * GIB)], "m16"),
        ([Device("0", "cuda", "", 128 * GIB, 139 * GIB)], "m60"),
    ],
    ids=["cpu", "24 GB", "48 GB", "139 GB"],
)
@pytest.mark.django_db(transaction=True)
async def test_first_start_chooses_the_best_card_that_fits(
    tmp_path: Path, settings: LazySettings, offline: None, devices: list[Device], chosen: str
) -> None:
    settings.DEFAULT_MODEL = ""
    await sync_to_async(fill)(tmp_path)
    service = InferenceService()
    service.devices = service._scheduler.devices = devices
    reconciler = Reconciler(service)
    await reconciler._choose_default()
    assert await sync_to_async(default)() == (chosen, "pin")
    # What an admin chose afterwards stays.
    await sync_to_async(CatalogueRow.objects.set_default)("m140")
    await reconciler._choose_default()
    assert (await sync_to_async(default)())[0] == "m140"
    settings.DEFAULT_MODEL = "m1"
    await reconciler._choose_default()
    assert (await sync_to_async(default)())[0] == "m1"


@pytest.mark.django_db(transaction=True)
async def test_unknown_default_is_refused(settings: LazySettings) -> None:
    settings.DEFAULT_MODEL = "nobody"
    with pytest.raises(errors.ModelNotFound):
        await Reconciler(InferenceService())._choose_default()


@pytest.mark.django_db(transaction=True)
async def test_catalogue_is_read_again_only_when_it_changed() -> None:
    reconciler = Reconciler(InferenceService())
    stamp, cards = await sync_to_async(reconciler._read)()
    assert cards
    reconciler._stamp = stamp
    assert (await sync_to_async(reconciler._read)())[1] is None
    row = await sync_to_async(CatalogueRow.objects.get)(id="pocket")
    await sync_to_async(row.ask)("preload")
    assert (await sync_to_async(reconciler._read)())[1]
