"""Connections to PostgreSQL that all threads of the server share, and that are given up in time."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import IsolationLevel
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from playground.database import GRACE_SECONDS

R = TypeVar("R")

# How long is waited for a connection: until one of the pool is free, or until there is a new one. A
# page keeps its connection to its end, so on a busy machine a crowd waits for some time.
CONNECT_SECONDS = 10.0
# A pool that cannot connect tries again in growing steps; after so long the next who asks for a
# connection begins anew, so that an outage is over soon after its end.
RECONNECT_SECONDS = 2.0
# So many may wait for a connection, each of them in a thread.
MOST_WAITING = 100
# Those that are not shared: the directory's.
OWN_CONNECTIONS = 1


class Connection(psycopg.Connection[Any]):
    """One that is given up when its server says nothing.

    A stopped machine or a cut line leaves the socket open: a thread would wait there for ever.
    """

    def wait(self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None) -> R:
        """Wait for the server, as psycopg does. Raises OperationalError."""
        most = settings.DATABASE_SECONDS + GRACE_SECONDS
        try:
            return super().wait(gen, interval, most if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                # The answer to an old question would be taken for one to the next.
                self.pgconn.finish()
            raise


class OwnConnection(DatabaseWrapper):
    """One thread's for as long as that lives: no pool's, and given up in time all the same."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Connect, past the pool."""
        made = Connection.connect(**conn_params)
        # By default each question of a transaction sees what was committed until then.
        made.isolation_level = self.isolation_level = IsolationLevel.REPEATABLE_READ
        made.read_only = True
        return made


def share_connections() -> None:
    """Give all threads of this process DATABASE_CONNECTIONS in place of one each."""
    connections.close_all()
    known = connections.settings["default"]
    options = known["OPTIONS"]
    limit = f"-c statement_timeout={int(1000 * settings.DATABASE_SECONDS)}"
    options["options"] = f"{options.get('options', '')} {limit}".strip()
    options.setdefault("connect_timeout", int(CONNECT_SECONDS))
    options["pool"] = {
        "connection_class": Connection,
        "min_size": 0,
        "max_size": settings.DATABASE_CONNECTIONS - OWN_CONNECTIONS,
        "timeout": CONNECT_SECONDS,
        "max_waiting": MOST_WAITING,
        "reconnect_timeout": RECONNECT_SECONDS,
    }
    # Who is done gives a connection back; the pool looks whether it is sound.
    known["CONN_MAX_AGE"] = 0


def own_connection() -> OwnConnection:
    """One that is never given back."""
    known = deepcopy(connections.settings["default"])
    known["OPTIONS"].pop("pool", None)
    known["CONN_MAX_AGE"] = None
    return OwnConnection(known, "default")


def close_pool() -> None:
    """At the end of the process: a pool has threads, which do not end by themselves."""
    database = connections["default"]
    assert isinstance(database, DatabaseWrapper)
    database.close_pool()
