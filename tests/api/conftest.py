"""Clients for the shared server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.servers import RunningServer


@pytest.fixture
def client(server: RunningServer) -> Iterator[OpenAI]:
    """The current openai client, which tries once: a retry would hide a failure."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="irrelevant", max_retries=0) as found:
        yield found


@pytest.fixture
async def async_client(server: RunningServer) -> AsyncIterator[AsyncOpenAI]:
    """The same client for asyncio."""
    address = f"{server.url}/v1"
    async with AsyncOpenAI(base_url=address, api_key="irrelevant", max_retries=0) as found:
        yield found


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """HTTP without any client's helping hand."""
    with httpx.Client(base_url=server.url, timeout=30) as found:
        yield found
