"""Servers with short deadlines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.servers import RunningServer

CATALOGUE = Path(__file__).parent / "catalogue.toml"
STALL, HEAD, BODY, IDLE = 2.0, 1.0, 2.0, 4.0
SHORT = {
    "CATALOGUE": str(CATALOGUE),
    "STALL_SECONDS": str(STALL),
    "CONNECTION_IDLE_SECONDS": str(IDLE),
    "HEAD_SECONDS": str(HEAD),
    "BODY_SECONDS": str(BODY),
    "ACCOUNT_QUEUE_LIMIT": "1000",
}


@pytest.fixture(scope="module")
def hasty(make_server: MakeServer) -> RunningServer:
    """Loses patience soon."""
    return make_server(SHORT)
