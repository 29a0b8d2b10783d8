"""A Hub and a service that asks it; no engine is loaded here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings

from inference.service import InferenceService
from tests.hub import Hub, running


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
