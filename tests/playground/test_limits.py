"""OpenAI's words for what a limit leaves."""

from __future__ import annotations

import pytest

from playground.limits import Allowance, duration, limit_headers


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.0001, "1ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (6.2, "7s"),
        (59.5, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (86_400, "24h0m0s"),
    ],
)
def test_a_time_span_is_written_as_openai_writes_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_limit_is_told_in_three_headers() -> None:
    assert limit_headers(Allowance(150_000, 149_984, 0.006), "tokens") == {
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6ms",
    }
