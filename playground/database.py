"""How the server asks the database: by few connections that all threads share, and never for ever.

Pages and commands use Django's own way. What is here is for the server's process alone: a command
may take its time, and has no threads to share a connection with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper as Postgres
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from playground.errors import DatabaseUnavailable

P = ParamSpec("P")
R = TypeVar("R")

# How long is waited for a connection: until one of the pool is free, or until there is a new one. A
# page keeps its connection to its end, so on a busy machine a crowd waits for some time.
CONNECT_SECONDS = 10.0
# A pool that cannot connect tries again in growing steps; after so long the next who asks for a
# connection begins anew, so that an outage is over soon after its end.
RECONNECT_SECONDS = 2.0
# So many may wait for a connection, each of them in a thread.
MOST_WAITING = 100
# PostgreSQL ends a statement by itself in time, and the connection goes on. One that does not even
# do that is given up by us so much later.
GRACE_SECONDS = 2.0
# Threads for coroutines that ask; no other work waits for them.
THREADS = 4


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


def share_connections() -> None:
    """From now on all threads of this process share DATABASE_CONNECTIONS to PostgreSQL.

    Django gives each request for a page a thread, and each thread a connection of its own.
    """
    if not isinstance(connections["default"], Postgres):
        return
    connections.close_all()
    known = connections.settings["default"]
    options = known["OPTIONS"]
    limit = f"-c statement_timeout={int(1000 * settings.DATABASE_SECONDS)}"
    options["options"] = f"{options.get('options', '')} {limit}".strip()
    options.setdefault("connect_timeout", int(CONNECT_SECONDS))
    options["pool"] = {
        "connection_class": Connection,
        "min_size": 0,
        "max_size": settings.DATABASE_CONNECTIONS,
        "timeout": CONNECT_SECONDS,
        "max_waiting": MOST_WAITING,
        "reconnect_timeout": RECONNECT_SECONDS,
    }
    # Who is done gives a connection back; the pool looks whether it is sound.
    known["CONN_MAX_AGE"] = 0


def close_connections() -> None:
    """At the end of the process: a pool has threads, which do not end by themselves."""
    connections.close_all()
    database = connections["default"]
    if isinstance(database, Postgres):
        database.close_pool()


_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="database")


async def ask(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `work` says, which asks the database, in a thread that nothing else waits for.

    Raises DatabaseUnavailable when the database is away, locked, or does not answer.
    """
    asking = sync_to_async(_asked, thread_sensitive=False, executor=_threads)
    try:
        async with asyncio.timeout(settings.DATABASE_SECONDS + 2 * GRACE_SECONDS):
            return await asking(work, *args, **kwargs)
    except (DatabaseError, InterfaceError, TimeoutError) as error:
        raise DatabaseUnavailable("The database does not answer. Please try again.") from error


def _asked(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return work(*args, **kwargs)
    finally:
        give_back()


def give_back() -> None:
    """For a thread of ours, at the end of its questions: nobody else looks after its connection.

    A sound one goes back to the pool where there is one, an unsound one is closed. Within a
    transaction it is not the asker's to give.
    """
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
