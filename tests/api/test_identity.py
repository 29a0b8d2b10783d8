"""Under which name a caller is counted."""

from __future__ import annotations

import pytest

from playground.accounts.identity import address_account, client_address

PROXY, INNER, CLIENT, LIAR = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        (CLIENT, "", (), CLIENT),
        (CLIENT, LIAR, (), CLIENT),
        (CLIENT, LIAR, (PROXY,), CLIENT),
        (PROXY, CLIENT, (PROXY,), CLIENT),
        (PROXY, f"{LIAR}, {CLIENT}", (PROXY,), CLIENT),
        (PROXY, f"{LIAR}, {CLIENT}, {INNER}", (PROXY, INNER), CLIENT),
        (PROXY, f"{CLIENT}, {INNER}", ("10.0.0.0/8",), CLIENT),
        (PROXY, "", (PROXY,), PROXY),
        (f"::ffff:{PROXY}", CLIENT, (PROXY,), CLIENT),
        (f"::ffff:{PROXY}", f"{CLIENT}, ::ffff:{INNER}", ("10.0.0.0/8",), CLIENT),
        (PROXY, CLIENT, (f"::ffff:{PROXY}",), CLIENT),
        (f"::ffff:{PROXY}", CLIENT, ("::ffff:10.0.0.0/104",), CLIENT),
        (f"::ffff:{PROXY}", CLIENT, ("::/0",), f"::ffff:{PROXY}"),
        ("", "", (PROXY,), ""),
    ],
)
def test_only_trusted_proxies_are_believed(
    peer: str, forwarded: str, trusted: tuple[str, ...], expected: str
) -> None:
    assert client_address(peer, forwarded, trusted) == expected


@pytest.mark.parametrize(
    ("address", "account"),
    [
        (CLIENT, f"ip:{CLIENT}"),
        (f"::ffff:{CLIENT}", f"ip:{CLIENT}"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "ip:2001:db8:1:2::/64"),
        ("", "ip:unknown"),
        ("a\r\nb", "ip:unknown"),
    ],
)
def test_an_address_is_one_account(address: str, account: str) -> None:
    assert address_account(address) == account
