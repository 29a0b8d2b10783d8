"""What is stored in place of a secret."""

from __future__ import annotations

import hashlib


def digest_of(text: str) -> str:
    """SHA-256 in hex: with 256 random bits in the text, a plain hash cannot be reversed."""
    return hashlib.sha256(text.encode()).hexdigest()
