"""OpenAI's `x-ratelimit-*` headers: made here, whatever the limit is and wherever it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one limit leaves its caller: `remaining` of `limit`, all again in `reset` seconds."""

    limit: int
    remaining: int
    reset: float


def limit_headers(allowance: Allowance, of: str = "requests") -> dict[str, str]:
    """The three headers of one limit; `of` what: requests, tokens, device-seconds."""
    return {
        f"x-ratelimit-limit-{of}": str(allowance.limit),
        f"x-ratelimit-remaining-{of}": str(allowance.remaining),
        f"x-ratelimit-reset-{of}": duration(allowance.reset),
    }


def duration(seconds: float) -> str:
    """A time span as OpenAI writes it: `0s`, `20ms`, `7s`, `6m0s`, `1h0m0s`. Never too short."""
    if seconds <= 0:
        return "0s"
    if seconds <= 0.999:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
