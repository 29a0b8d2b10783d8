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


def user_account(user_id: int) -> str:
    """The account of a person."""
    return f"user:{user_id}"


def group_account(group_id: int) -> str:
    """The account of a class key: whoever uses it is one caller."""
    return f"group:{group_id}"


def address_account(address: str) -> str:
    """The account of an address. One IPv6 customer owns a whole /64, so that counts as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "ip:unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return f"ip:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"ip:{getattr(parsed, 'ipv4_mapped', None) or parsed}"


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
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(each, strict=False) for each in networks)
