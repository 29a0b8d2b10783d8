"""Who may open how many connections."""

from __future__ import annotations

from typing import Any

import pytest

from playground.flow import Doors


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
