"""Who is asking: the name under which the queue and the usage count a caller.

A key's owner and the same person signed in at the playground are one account. Without either it is
the client's address, never the text of a key: a thousand made-up keys are still one caller.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache

# Whose account it was nobody knows any more.
GONE = "deleted"
Customer = ipaddress.IPv4Address | ipaddress.IPv6Network
# Of an IPv6 address that stands for an IPv4 one, what comes before that.
MAPPED_BITS = 96


def user_account(user_id: int) -> str:
    """The account of a person."""
    return f"user:{user_id}"


def group_account(group_id: int) -> str:
    """The account of a class key: whoever uses it is one caller."""
    return f"group:{group_id}"


def address_account(address: str) -> str:
    """The account of an address."""
    return f"ip:{customer_of(address) or 'unknown'}"


@lru_cache(maxsize=4096)
def customer_of(address: str) -> Customer | None:
    """Who has an address: one IPv6 customer owns a whole /64, so that counts as one.

    None for a text that is no address.
    """
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return ipaddress.IPv6Network((parsed, 64), strict=False)
    return parsed


def client_address(peer: str, forwarded_for: str, trusted: Collection[str]) -> str:
    """The nearest address that is no proxy of ours. X-Forwarded-For counts only from a proxy."""
    address = peer
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    while hops and is_among(address, trusted):
        address = hops.pop()
    return address


def is_among(address: str, networks: Collection[str]) -> bool:
    """Whether the address is one of these, or in one of these networks."""
    return _is_among(address, tuple(networks))


@lru_cache(maxsize=4096)
def _is_among(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in _network(each) for each in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, if it is one. One who listens for both kinds gets IPv4 as `::ffff:192.0.2.1`."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The same for what operators write."""
    found = ipaddress.ip_network(text, strict=False)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is None or found.prefixlen < MAPPED_BITS:
        return found
    return ipaddress.IPv4Network((mapped, found.prefixlen - MAPPED_BITS))
