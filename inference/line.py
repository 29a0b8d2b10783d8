"""The requests that wait for one model, in the order in which they will be served. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from inference.decisions import Ticket
from inference.requests import Lane

Key = tuple[float, int]


class Line:
    """Tickets in order of their rank, by lane, and interactive ones in order of their age too.

    A rank is a moment, in seconds of the scheduler's clock: that of the arrival, later for accounts
    that have had more than their share (`inference/fairness.py`). Adding and removing is a binary
    search and a short copy; the place of a request is found without walking the line.
    """

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[Key]] = {lane: [] for lane in Lane}
        self._ages: list[Key] = []
        self._keys: dict[str, Key] = {}
        self._tickets: dict[int, Ticket] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._keys

    def __iter__(self) -> Iterator[str]:
        """Request ids in order of rank."""
        return (ticket.request_id for ticket in self.values())

    def values(self) -> Iterator[Ticket]:
        """Tickets in order of rank."""
        keys = sorted(key for lane in self._lanes.values() for key in lane)
        return (self._tickets[number] for _, number in keys)

    def add(self, ticket: Ticket, rank: float) -> None:
        """A request takes its place, behind those of equal rank."""
        self._count += 1
        key = (rank, self._count)
        self._keys[ticket.request_id] = key
        self._tickets[self._count] = ticket
        insort(self._lanes[ticket.lane], key)
        if ticket.lane is Lane.INTERACTIVE:
            insort(self._ages, (ticket.queued_at, self._count))

    def remove(self, request_id: str) -> Ticket:
        """A request leaves. Raises KeyError when it is not here."""
        key = self._keys.pop(request_id)
        ticket = self._tickets.pop(key[1])
        lane = self._lanes[ticket.lane]
        del lane[bisect_left(lane, key)]
        if ticket.lane is Lane.INTERACTIVE:
            del self._ages[bisect_left(self._ages, (ticket.queued_at, key[1]))]
        return ticket

    def ranked(self, lane: Lane) -> Iterator[tuple[float, Ticket]]:
        """Ranks and tickets of a lane, lowest ranks first."""
        return ((rank, self._tickets[number]) for rank, number in self._lanes[lane])

    def position(self, request_id: str) -> int | None:
        """The place in the line, from 1; the batch lane stands behind the other."""
        key = self._keys.get(request_id)
        if key is None:
            return None
        lane = self.lane(request_id)
        ahead = self.waiting(Lane.INTERACTIVE) if lane is Lane.BATCH else 0
        return 1 + ahead + bisect_left(self._lanes[lane], key)

    def lane(self, request_id: str) -> Lane:
        """The lane of a request that is here."""
        return self._tickets[self._keys[request_id][1]].lane

    def before(self, rank: float) -> int:
        """How many interactive ones have at most this rank."""
        return bisect_left(self._lanes[Lane.INTERACTIVE], (rank, self._count + 1))

    def waiting(self, lane: Lane) -> int:
        """How many wait in a lane."""
        return len(self._lanes[lane])

    def rank(self, lane: Lane, number: int) -> float:
        """The rank of one in a lane, from 0."""
        return self._lanes[lane][number][0]

    def head(self, lane: Lane) -> float:
        """The lowest rank in a lane; infinity when nobody waits there."""
        keys = self._lanes[lane]
        return keys[0][0] if keys else float("inf")

    def oldest(self) -> Iterator[Ticket]:
        """Interactive tickets in order of arrival."""
        return (self._tickets[number] for _, number in self._ages)
