"""How much callers may use: counted in memory, checked before a request asks for its turn.

A `Claim` belongs to one request. It is taken when the request begins, with the most that it can
cost, and settled when it ends, with what it did cost. So nobody gets more than one request over a
limit, however many are asked at once.
"""

from .bounds import most_tokens
from .ledger import Claim, Ledger, ledger
from .windows import Window

__all__ = ["Claim", "Ledger", "Window", "ledger", "most_tokens"]
