"""Pictures that a message names by their address, where the operator allows it (`REMOTE_MEDIA`).

They are fetched here and travel on as `data:` URLs, so that no engine ever opens an address. A
server that fetches what strangers name can be turned against the network it stands in, so:

- a name is resolved once, every address that it has is checked, and the connection goes to one
  that was checked (a moment later the name may mean another machine);
- loopback, private, link-local, metadata, multicast and reserved addresses are refused, in IPv6's
  disguises too, but for `host:port` pairs that the operator listed;
- a redirect leads to a new address, with all checks, and there may be few;
- time and bytes are bounded, and nothing is decoded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, cast

import httpx
from django.conf import settings
from django.utils.http import is_same_domain

from inference.requests import Message

from . import checks

T = TypeVar("T")
Place = tuple[int, int]  # which message, which of its parts

PORTS = {"http": 80, "https": 443}
MAX_ADDRESS = 2048
MAX_PICTURES = 16
MAX_REDIRECTS = 3
AT_ONCE = 32
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
}
# Public to Python, and yet they answer only inside a cloud, with what it knows of the machine.
METADATA = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))
# An IPv4 address in the last 32 bits (RFC 6052): a gateway would lead there.
NAT64 = ipaddress.ip_network("64:ff9b::/96")
HEADERS = {"Accept": "image/png, image/jpeg, image/webp, image/gif", "Accept-Encoding": "identity"}

_places = asyncio.Semaphore(AT_ONCE)


class Unfetchable(Exception):
    """Why there is no picture at an address; the text is for the caller."""


class Budget:
    """Bytes that the pictures of one request may still have together."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int) -> None:
        """Raises Unfetchable when it is used up."""
        self._left -= size
        if self._left < 0:
            raise Unfetchable(f"there are more than {settings.REMOTE_MEDIA_BYTES} bytes to fetch")


def is_remote(address: str) -> bool:
    """Whether it leads to the web, and the operator allows that."""
    return settings.REMOTE_MEDIA and address[:8].lower().startswith(("http://", "https://"))


async def bring(question: T) -> T:
    """The question with its pictures inside it. Raises BadValue that names the part."""
    messages: Sequence[Message] = getattr(question, "messages", None) or ()
    wanted = _wanted(messages) if settings.REMOTE_MEDIA else {}
    if not wanted:
        return question
    if len(wanted) > MAX_PICTURES:
        checks.bad("messages", f"expected at most {MAX_PICTURES} pictures to fetch.")
    left = Budget(settings.REMOTE_MEDIA_BYTES)
    tasks = [asyncio.create_task(_picture(*each, left)) for each in wanted.items()]
    try:
        found = dict(zip(wanted, await asyncio.gather(*tasks), strict=True))
    finally:
        for task in tasks:
            task.cancel()
    told = tuple(_with(message, i, found) for i, message in enumerate(messages))
    return cast("T", dataclasses.replace(cast("Any", question), messages=told))


def _wanted(messages: Sequence[Message]) -> dict[Place, str]:
    """The addresses in a conversation."""
    return {
        (i, k): part["image_url"]["url"]
        for i, message in enumerate(messages)
        if message.content is not None and not isinstance(message.content, str)
        for k, part in enumerate(message.content)
        if part["type"] == "image_url" and is_remote(part["image_url"]["url"])
    }


def _with(message: Message, i: int, found: dict[Place, str]) -> Message:
    if all(place[0] != i for place in found):
        return message
    parts = [
        {**part, "image_url": {**part["image_url"], "url": found[i, k]}}
        if (i, k) in found
        else part
        for k, part in enumerate(cast("Sequence[Any]", message.content))
    ]
    return dataclasses.replace(message, content=tuple(parts))


async def _picture(place: Place, address: str, left: Budget) -> str:
    param = f"messages[{place[0]}].content[{place[1]}].image_url.url"
    return await picture_at(address, param, left)


async def picture_at(address: str, param: str, left: Budget) -> str:
    """A `data:` URL, or a refusal that says where and why."""
    try:
        async with asyncio.timeout(settings.REMOTE_MEDIA_SECONDS), _places:
            raw = await fetch(address, left)
        return await asyncio.to_thread(_data_url, raw)
    except TimeoutError:
        reason = f"it took longer than {settings.REMOTE_MEDIA_SECONDS:g} seconds"
    except Unfetchable as exc:
        reason = str(exc)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        reason = "its server does not answer as one should"
    checks.bad(param, f"the picture could not be fetched: {reason}.", "invalid_image_url")


async def fetch(address: str, left: Budget) -> bytes:
    """What is there, after a few redirects. Raises Unfetchable, httpx.HTTPError, OSError."""
    url = httpx.URL(address)
    client = httpx.AsyncClient(verify=_trust(), trust_env=False, timeout=None, headers=HEADERS)
    async with client:
        for _ in range(MAX_REDIRECTS + 1):
            found = await _ask(client, url, await checked(url), left)
            if isinstance(found, bytes):
                return found
            url = found
    raise Unfetchable(f"it leads through more than {MAX_REDIRECTS} redirects")


async def checked(url: httpx.URL) -> str:
    """The one address to connect to. Raises Unfetchable when the URL may lead nowhere good."""
    host = url.raw_host.decode("ascii")
    if url.scheme not in PORTS or not host or url.userinfo:
        raise Unfetchable("only http and https addresses without a password are fetched")
    port = url.port or PORTS[url.scheme]
    inside = f"{host}:{port}" in settings.REMOTE_MEDIA_HOSTS
    if not inside:
        _check_name(host, port, url.scheme)
    addresses = await resolve(host, port)
    # All of them: one that is public must not speak for one that is not.
    if not addresses or not (inside or all(is_public(each) for each in addresses)):
        raise Unfetchable("its host is none that may be asked")
    return addresses[0]


def _check_name(host: str, port: int, scheme: str) -> None:
    listed = settings.REMOTE_MEDIA_HOSTS
    if port != PORTS[scheme] or (listed and not any(is_same_domain(host, each) for each in listed)):
        raise Unfetchable("its host is none that may be asked")


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the order in which to try them."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return [str(sockaddr[0]) for *_, sockaddr in found]


def is_public(text: str) -> bool:
    """Whether an address belongs to the world at large, however it is written."""
    try:
        address = _unwrapped(ipaddress.ip_address(text))
    except ValueError:
        return False
    if address.is_multicast or address.is_reserved or any(address in each for each in METADATA):
        return False
    return address.is_global and not getattr(address, "is_site_local", False)


def _unwrapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, address))[1]


async def _ask(
    client: httpx.AsyncClient, url: httpx.URL, address: str, left: Budget
) -> bytes | httpx.URL:
    """One answer from exactly this address: the bytes, or where else to look."""
    request = client.build_request(
        "GET",
        url.copy_with(host=address),
        headers={"Host": url.netloc.decode("ascii")},
        # The certificate has to be that of the name, not of the address.
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )
    response = await client.send(request, stream=True)
    try:
        if response.has_redirect_location:
            return url.join(response.headers["location"])
        if response.status_code != 200:
            raise Unfetchable(f"its server answers {response.status_code}")
        return await _body(response, left)
    finally:
        await response.aclose()


async def _body(response: httpx.Response, left: Budget) -> bytes:
    """Whatever the answer says of its length, no more is read than there is room for."""
    pieces = []
    async for piece in response.aiter_raw():
        left.take(len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _data_url(raw: bytes) -> str:
    """By its first bytes, whatever its server calls it; the engine's checks read its header."""
    kind = next((kind for sign, kind in SIGNATURES.items() if raw.startswith(sign)), "")
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        kind = "webp"
    if not kind:
        raise Unfetchable("this is no PNG, JPEG, WebP or GIF")
    return f"data:image/{kind};base64,{b64encode(raw).decode()}"


@cache
def _trust() -> ssl.SSLContext:
    """Made once: to read all certificates takes longer than most pictures."""
    return ssl.create_default_context()
