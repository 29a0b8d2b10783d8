"""What was used in the last minute, or the last day."""

from __future__ import annotations


class Window:
    """A sum over the last `span` seconds, kept in slots of `slot` seconds.

    A slot counts until all of it is `span` seconds old: the sum is never too small, and what it
    forgets it forgets at most one slot late. Time comes in as an argument and never goes back.
    """

    __slots__ = ("_entries", "_slot", "_span", "_sum")

    def __init__(self, span: float, slot: float) -> None:
        self._span, self._slot = span, slot
        # [number of the slot, amount], the oldest first. Few: a list is smaller than a deque.
        self._entries: list[list[float]] = []
        self._sum = 0.0

    def add(self, amount: float, now: float) -> None:
        """Count it at `now`."""
        number = now // self._slot
        if self._entries and self._entries[-1][0] >= number:
            self._entries[-1][1] += amount
        else:
            self._entries.append([number, amount])
        self._sum += amount

    def used(self, now: float) -> float:
        """The sum."""
        entries = self._entries
        while entries and self._end(entries[0]) <= now:
            self._sum -= entries.pop(0)[1]
        if not entries:
            # What floats leave behind must not add up.
            self._sum = 0.0
        return self._sum

    def fits_in(self, least: float, now: float) -> float:
        """Seconds until the sum is `least` or less; 0 where it is."""
        left = self.used(now)
        if left <= least:
            return 0.0
        for entry in self._entries:
            left -= entry[1]
            if left <= least:
                return self._end(entry) - now
        return self._span

    def _end(self, entry: list[float]) -> float:
        return (entry[0] + 1) * self._slot + self._span
