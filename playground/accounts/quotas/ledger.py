"""Who has used how much, and who may begin another request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from playground.errors import RateLimited
from playground.limits import Allowance

from ..access import FREE, Caller, Limits, Terms
from ..identity import group_account
from .windows import Window

MINUTE, DAY = 60.0, 86400.0
# When to come back where nothing but somebody's end makes room.
SOON_SECONDS = 2.0
# Old costs count for less: of the most that a request of a model has cost lately, this part stays.
FADING = 0.98
FORGET_AFTER = 20_000
SECONDS = "device-seconds"
WORDS = {
    "tokens": "tokens a minute, counting what running requests may still use (max_tokens)",
    SECONDS: "device-seconds in 24 hours",
}


@dataclass(slots=True)
class Book:
    """What one caller, or all of a group together, used lately and have promised to use."""

    requests: Window = field(default_factory=lambda: Window(MINUTE, 1.0))
    tokens: Window = field(default_factory=lambda: Window(MINUTE, 1.0))
    seconds: Window = field(default_factory=lambda: Window(DAY, 600.0))
    running: int = 0
    promised_tokens: float = 0.0
    promised_seconds: float = 0.0

    def check(self, limits: Limits, now: float, whose: str) -> None:
        """Raise RateLimited where there is no room for another request."""
        per_minute = limits.requests_per_minute
        if per_minute is not None and self.requests.used(now) >= per_minute:
            wait = self.requests.fits_in(per_minute - 1, now)
            raise _over(per_minute, wait, "requests", whose, "requests a minute")
        together = limits.concurrent_requests
        if together is not None and self.running >= together:
            raise _over(together, SOON_SECONDS, "requests", whose, "requests at a time")
        limit: float | None = limits.tokens_per_minute
        if limit is not None and self.tokens.used(now) + self.promised_tokens >= limit:
            raise _over_sum(self.tokens, self.promised_tokens, limit, now, "tokens", whose)
        limit = limits.device_seconds_per_day
        if limit is not None and self.seconds.used(now) + self.promised_seconds >= limit:
            raise _over_sum(self.seconds, self.promised_seconds, limit, now, SECONDS, whose)

    def allowances(self, limits: Limits, now: float) -> dict[str, Allowance]:
        """What is left of each limit that there is."""
        found = {}
        for name, window, promised, limit in (
            ("requests", self.requests, 0.0, limits.requests_per_minute),
            ("tokens", self.tokens, self.promised_tokens, limits.tokens_per_minute),
            (SECONDS, self.seconds, self.promised_seconds, limits.device_seconds_per_day),
        ):
            if limit is not None:
                left = max(0, math.floor(limit - window.used(now) - promised))
                found[name] = Allowance(limit, left, window.fits_in(0.0, now))
        return found

    def empty(self, now: float) -> bool:
        """Whether nothing is left to remember."""
        used = self.requests.used(now) or self.tokens.used(now) or self.seconds.used(now)
        return not (self.running or used)


def _over_sum(
    window: Window, promised: float, limit: float, now: float, kind: str, whose: str
) -> RateLimited:
    """What is promised goes when a request ends, and nobody knows when that will be."""
    room = limit - promised
    wait = window.fits_in(math.ceil(room) - 1, now) if room > 0 else 0.0
    return _over(int(limit), wait or SOON_SECONDS, kind, whose, WORDS[kind])


def _over(limit: int, wait: float, kind: str, whose: str, what: str) -> RateLimited:
    when = f"in {wait:.0f} s" if wait < 600 else f"in {wait / 3600:.1f} hours"
    message = f"Rate limit reached: {whose} {limit} {what}. Try again {when}."
    return RateLimited(message, limit, wait, kind)


class Claim:
    """One request's part in the books: taken once, settled once."""

    __slots__ = ("_books", "_ledger", "_model", "_most", "_seconds", "_taken", "_tokens")

    def __init__(
        self,
        ledger: Ledger,
        books: list[tuple[Book, Limits, str]],
        model: str,
        most: Callable[[], int | None],
    ) -> None:
        self._ledger, self._books, self._model, self._most = ledger, books, model, most
        self._taken = False
        self._tokens = self._seconds = 0.0

    def take(self) -> None:
        """Enter the request. Raises RateLimited, and then nothing was entered."""
        now = self._ledger.clock()
        for book, limits, whose in self._books:
            book.check(limits, now, whose)
        self._taken = True
        self._tokens = self._most_tokens()
        self._seconds = self._ledger.largest.get(self._model, 0.0)
        for book, _, _ in self._books:
            book.requests.add(1, now)
            book.running += 1
            book.promised_tokens += self._tokens
            book.promised_seconds += self._seconds

    def settle(self, tokens: int, device_seconds: float) -> None:
        """Enter what it cost in the end, in place of what it might have."""
        if not self._taken:
            return
        self._taken = False
        now = self._ledger.clock()
        self._ledger.note(self._model, device_seconds)
        for book, _, _ in self._books:
            book.running -= 1
            book.promised_tokens -= self._tokens
            book.promised_seconds -= self._seconds
            if not book.running:
                # Sums of floats do not come back to nothing by themselves.
                book.promised_tokens = book.promised_seconds = 0.0
            book.tokens.add(tokens, now)
            book.seconds.add(device_seconds, now)

    def _most_tokens(self) -> float:
        """What it may cost at most; without a bound it could be all that there is."""
        limits = [each.tokens_per_minute for _, each, _ in self._books]
        known = [each for each in limits if each is not None]
        if not known:
            return 0.0
        most = self._most()
        return float(max(known) if most is None else most)


class Ledger:
    """The books of this process. Used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        # The most device-seconds that a request of each model has cost lately.
        self.largest: dict[str, float] = {}
        self._books: dict[str, Book] = {}

    def claim(self, caller: Caller, model: str, most: Callable[[], int | None]) -> Claim | None:
        """A claim for one request; None where no limit holds. `most`: its tokens at most."""
        terms = caller.terms_for(model)
        if terms is None:
            return None
        books = [
            (self._book(account), limits, whose)
            for account, limits, whose in self._limited(caller, terms)
        ]
        return Claim(self, books, model, most) if books else None

    def allowances(self, caller: Caller, terms: Terms) -> dict[str, dict[str, Allowance]]:
        """What is left to a caller and to the group, by account and kind of limit."""
        now = self.clock()
        return {
            account: self._book(account).allowances(limits, now)
            for account, limits, _ in self._limited(caller, terms)
        }

    def left(self, caller: Caller, model: str) -> dict[str, Allowance]:
        """What a caller may still ask of a model, by kind of limit: of several, the tightest."""
        terms = caller.terms_for(model)
        if terms is None:
            return {}
        found: dict[str, Allowance] = {}
        for kinds in self.allowances(caller, terms).values():
            for kind, allowance in kinds.items():
                known = found.get(kind)
                if known is None or allowance.remaining < known.remaining:
                    found[kind] = allowance
        return found

    def note(self, model: str, device_seconds: float) -> None:
        """What a request of a model has cost."""
        self.largest[model] = max(device_seconds, FADING * self.largest.get(model, 0.0))

    def restore(self, used: Iterable[tuple[str, float, float, float, float]]) -> None:
        """What was used before this process began: account, seconds ago, requests, tokens,
        device-seconds; the oldest first."""
        now = self.clock()
        for account, ago, requests, tokens, device_seconds in used:
            book = self._book(account)
            book.seconds.add(device_seconds, now - ago)
            if ago < MINUTE:
                book.requests.add(requests, now - ago)
                book.tokens.add(tokens, now - ago)

    def _limited(self, caller: Caller, terms: Terms) -> list[tuple[str, Limits, str]]:
        """The books that count for a caller: the caller's own, and the group's."""
        found = []
        own = caller.limits_under(terms)
        if own != FREE:
            found.append((caller.account, own, "you have"))
        if terms.together != FREE and terms.group_id is not None:
            # A class key is the group's account already, under the same name.
            found.append(
                (group_account(terms.group_id), terms.together, f"the group {terms.name} has")
            )
        return found

    def _book(self, account: str) -> Book:
        book = self._books.get(account)
        if book is None:
            if len(self._books) >= FORGET_AFTER:
                self._forget()
            book = self._books[account] = Book()
        return book

    def _forget(self) -> None:
        now = self.clock()
        for account in [name for name, book in self._books.items() if book.empty(now)]:
            del self._books[account]


ledger = Ledger()
