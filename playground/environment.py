"""Reading settings from environment variables, failing loudly on what cannot be read."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    """The variable as text; an empty one counts as not set."""
    return os.environ.get(name) or default


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """The variable, which must be one of `allowed`."""
    value = text(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be one of {', '.join(allowed)}.")
    return value


def number(name: str, default: float, least: float = 0.0) -> float:
    """The variable as a number that is at least `least`."""
    raw = text(name, str(default))
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {raw!r}; it must be a number.") from None
    if not least <= value < float("inf"):
        raise ImproperlyConfigured(f"{name} is {raw}; it must be at least {least:g}.")
    return value


def boolean(name: str, default: bool = False) -> bool:
    """The variable as yes or no: 1/0, true/false, yes/no, on/off."""
    raw = text(name, "1" if default else "0").lower()
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {raw!r}; it must be 1 or 0.")


def listing(name: str, default: str = "") -> list[str]:
    """The variable as a comma-separated list, without empty entries."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def networks(name: str, default: str = "") -> list[str]:
    """The variable as a list of addresses and networks (`10.0.0.0/8`)."""
    found = listing(name, default)
    for each in found:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} has {each!r}, which is neither an address nor a network."
            ) from None
    return found


def secret_key(folder: Path) -> str:
    """The signing key: DJANGO_SECRET_KEY, else a file made once in `folder` (mode 0600)."""
    if given := text("DJANGO_SECRET_KEY"):
        return given
    path = folder / "secret_key"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # O_EXCL: of two processes that start at once, one makes the key and the other reads it.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_secret(path)
    with os.fdopen(handle, "w") as file:
        key = secrets.token_urlsafe(64)
        file.write(key)
    return key


def _read_secret(path: Path) -> str:
    key = path.read_text().strip()
    if len(key) < 50:
        raise ImproperlyConfigured(
            f"{path} holds no usable secret key; remove it to have one made."
        )
    return key
