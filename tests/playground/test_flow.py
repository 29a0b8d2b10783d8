"""Who may open how many connections, and who is cut off."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from playground.flow import Doors, Outlet


def test_a_proxy_of_a_trusted_network_brings_other_peoples(settings: Any) -> None:
    settings.CONNECTIONS_PER_ADDRESS, settings.TRUSTED_PROXIES = 2, ("10.0.0.0/8",)
    doors = Doors(7)
    assert [doors.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [doors.enter("10.1.2.3") for _ in range(6)] == [True] * 5 + [False]
    doors.leave("192.0.2.1")
    assert doors.enter("192.0.2.1") and not doors.enter("192.0.2.2")


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_a_customer_of_many_addresses_is_one(
    settings: Any, address: str, same: str, other: str
) -> None:
    settings.CONNECTIONS_PER_ADDRESS = 2
    doors = Doors(9)
    assert doors.enter(address) and doors.enter(same)
    assert not doors.enter(same) and not doors.enter(address)
    assert doors.enter(other)
    doors.leave(same)
    assert doors.enter(address) and not doors.enter(same)


@pytest.fixture
def line(settings: Any) -> Any:
    """A transport with a little unsent, not enough for it to say so."""
    settings.STALL_SECONDS = 1.0
    return SimpleNamespace(dataBuffer=b"x" * 10, offset=0, _tempDataLen=0, disconnecting=False)


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_last_piece_that_nobody_takes_is_a_stall(line: Any, taken: int) -> None:
    cut = asyncio.Event()
    outlet = Outlet(line, cut.set)
    outlet.watch()
    line.offset += taken
    assert outlet.watched and not outlet.full
    async with asyncio.timeout(5):
        await cut.wait()
    assert not outlet.watched


async def test_who_takes_a_little_at_a_time_is_not_cut_off(line: Any) -> None:
    outlet = Outlet(line, pytest.fail)
    outlet.watch()
    began = asyncio.get_running_loop().time()
    while line.offset < 10:
        await asyncio.sleep(0.15)  # the reader's slowness itself
        line.offset += 1
    async with asyncio.timeout(5):
        while outlet.watched:
            await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() - began > 1.0


async def test_a_stalled_reader_gains_no_time_by_more_answers(line: Any) -> None:
    cut = asyncio.Event()
    outlet = Outlet(line, cut.set)
    async with asyncio.timeout(5):
        while not cut.is_set():
            outlet.watch()
            line._tempDataLen += 1
            await asyncio.sleep(0.01)  # between two answers
