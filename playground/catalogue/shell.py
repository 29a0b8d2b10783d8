"""How commands on this machine are let in by the server that runs on it: the secret key signs."""

from __future__ import annotations

from django.core import signing

SCHEME = "Shell"
SALT = "llms-for-all.shell"
# Longer than clocks of processes of one machine differ, shorter than anybody could make use of.
SECONDS = 60


def token(name: str) -> str:
    """The Authorization header of whoever runs a command; good for a minute."""
    return f"{SCHEME} {signing.dumps(name, salt=SALT)}"


def holder(header: str) -> str | None:
    """Whose header it is; None for any other."""
    scheme, _, text = header.partition(" ")
    if scheme != SCHEME:
        return None
    try:
        return str(signing.loads(text, salt=SALT, max_age=SECONDS))
    except signing.BadSignature:
        return None
