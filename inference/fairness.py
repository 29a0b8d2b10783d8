"""Fair share between accounts: who has had how much, in device-seconds. Pure.

Every account has a virtual clock (L. Zhang, "VirtualClock", 1990). A request's rank is the later of
the present and its account's clock; then the clock goes on by what the request costs, at the rate
at which the account may spend: its weight's part of all devices, among the accounts that have
something waiting or running now. So the first request of anybody ranks at its arrival, the fiftieth
of one account at the moment when fifty would have been its turn, and what nobody else wanted costs
nothing afterwards: a clock never stays behind the present.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Account:
    """`clock` in seconds of the scheduler's clock; `open` requests wait or run, `waiting` wait."""

    clock: float = 0.0
    weight: float = 1.0
    open: int = 0
    waiting: int = 0


@dataclass(slots=True)
class FairShare:
    """The clocks of all accounts. `latest`: how far a rank may lie behind an arrival, seconds."""

    latest: float
    devices: int = 1
    accounts: dict[str, Account] = field(default_factory=dict)
    _weights: float = 0.0
    _forget_at: int = 64

    def enter(self, name: str, weight: float, cost: float, now: float) -> float:
        """A request of `cost` device-seconds (as far as is known) arrives. Returns its rank."""
        if len(self.accounts) >= self._forget_at:
            self.forget(now)
        account = self.accounts.setdefault(name, Account())
        if not account.open:
            account.weight = max(weight, 1e-6)
            self._weights += account.weight
        account.open += 1
        rank = min(max(now, account.clock), now + self.latest)
        account.clock = max(now, account.clock)
        self._advance(account, cost)
        return rank

    def charge(self, name: str, seconds: float) -> None:
        """Device-seconds beyond what was said at the arrival; fewer where it is negative."""
        if account := self.accounts.get(name):
            self._advance(account, seconds)

    def leave(self, name: str, now: float) -> None:
        """A request ended or went away."""
        account = self.accounts[name]
        account.open -= 1
        if account.open:
            return
        self._weights -= account.weight
        if account.clock <= now:
            del self.accounts[name]

    def forget(self, now: float) -> None:
        """Drop accounts that have nothing open and whose clocks the present has reached."""
        done = [name for name, a in self.accounts.items() if not a.open and a.clock <= now]
        for name in done:
            del self.accounts[name]
        # So that looking through all of them stays rare however many there are.
        self._forget_at = max(64, 2 * len(self.accounts))

    def _advance(self, account: Account, seconds: float) -> None:
        others = max(self._weights, account.weight)
        account.clock += seconds * others / (account.weight * max(1, self.devices))
