"""Requests that come in one piece and hold nothing odd: most of them, and read at once."""

from __future__ import annotations

import re
from typing import NamedTuple

# A head whose every byte is visible ASCII or a space in a value, each header on a line of its own.
PLAIN_HEAD = re.compile(
    rb"(GET|POST) (/[\x21-\x7e]*) HTTP/1\.1((?:\r\n[A-Za-z0-9-]+:[\x20-\x7e]*){0,100})"
)
MAX_PLAIN_HEAD = 8192
NEVER_PLAIN = {b"transfer-encoding", b"expect", b"upgrade", b"daphne-root-path"}


class Plain(NamedTuple):
    """A whole request."""

    method: bytes
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def plain_request(data: bytes) -> Plain | None:
    """The request that `data` is, if it is exactly one and could not be read in any other way."""
    head, end, body = data.partition(b"\r\n\r\n")
    found = PLAIN_HEAD.fullmatch(head) if end and len(head) <= MAX_PLAIN_HEAD else None
    if found is None:
        return None
    headers = []
    for line in found[3].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" ")))
    names = {name for name, _ in headers}
    lengths = [value for name, value in headers if name == b"content-length"]
    # Nothing to choose from, nothing to interpret: "+5", "05" and "5, 5" are Twisted's to judge.
    if names & NEVER_PLAIN or (lengths or [b"0"]) != [b"%d" % len(body)]:
        return None
    return Plain(found[1], found[2], headers, body)
