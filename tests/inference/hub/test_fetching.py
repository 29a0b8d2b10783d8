"""Weights on their way from the Hub, and the disk that they lie on."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from inference.catalogue import Catalogue, ModelCard
from inference.downloads import UNKNOWN_SECONDS, Downloads, Flight, Limits, Parcel
from inference.errors import (
    AccountQueueFull,
    ModelUnavailable,
    QueueFull,
    Refused,
    StorageFull,
)
from inference.fetch import PIECE_BYTES
from inference.models import CatalogueRow
from inference.service import InferenceService
from inference.store import COMPLETE, Store
from tests.hub import WEIGHTS, Hub, brought, repo
from tests.inference.test_service import ask, until


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


@pytest.mark.parametrize(("there", "seconds"), [(600, 67), (0, UNKNOWN_SECONDS), (1, 120)])
@pytest.mark.parametrize(
    ("asked", "limits", "refusal"),
    [
        ({"queue_places": 1}, Limits(9, 9, 60), AccountQueueFull),
        ({"queue_places": None}, Limits(9, 1, 60), AccountQueueFull),
        ({"account": "bob"}, Limits(1, 9, 60), QueueFull),
    ],
)
async def test_who_may_not_wait_for_a_download_hears_when_one_is_there(
    tmp_path: Path,
    asked: dict[str, Any],
    limits: Limits,
    refusal: type[Refused],
    there: int,
    seconds: int,
) -> None:
    downloads = Downloads(Store(tmp_path, 0), "", limits, lambda: 100.0, set)
    parcel = Parcel("a", "c0ffee", {WEIGHTS: 1000})
    flight = Flight("a", parcel, 0.0, bytes=there, waiting={"other": ("anonymous", 0.0)})
    downloads.flights["a"] = flight
    question = replace(ask("a"), **asked)
    with pytest.raises(refusal) as caught:
        await downloads.bring(ModelCard("a", "a"), parcel, question)
    assert caught.value.retry_after == seconds
    assert getattr(caught.value, "limit", 1) == 1


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


def test_admin_shows_how_far_it_is(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    service = InferenceService()
    monkeypatch.setattr("inference.admin.get_service", lambda: service)
    card = ModelCard("alice/tiny", "alice/tiny", revision="c0ffee", found=True)
    CatalogueRow.objects.keep(card)
    service._catalogue = Catalogue([card])
    flight = Flight(card.id, Parcel(card.source, card.revision, {WEIGHTS: 4 * 2**30}), 0.0)
    flight.bytes = 2**30
    service.library.downloads.flights[card.id] = flight
    page = staff.get("/admin/inference/cataloguerow/").content.decode()
    assert '<progress value="0.25" max="1"></progress>' in page
    assert "downloading, 1.00 of 4.00 GiB" in page
    # Asked for again, or by its card: the row stays one.
    CatalogueRow.objects.keep(replace(card, revision="beef"))
    assert CatalogueRow.objects.get(id=card.id).revision == "beef"
