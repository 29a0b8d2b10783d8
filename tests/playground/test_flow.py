"""Who may open how many connections."""

from __future__ import annotations

from typing import Any

from playground.flow import Doors


def test_a_proxy_of_a_trusted_network_brings_other_peoples(settings: Any) -> None:
    settings.CONNECTIONS_PER_ADDRESS, settings.TRUSTED_PROXIES = 2, ("10.0.0.0/8",)
    doors = Doors(7)
    assert [doors.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [doors.enter("10.1.2.3") for _ in range(6)] == [True] * 5 + [False]
    doors.leave("192.0.2.1")
    assert doors.enter("192.0.2.1") and not doors.enter("192.0.2.2")
