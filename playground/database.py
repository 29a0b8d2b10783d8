"""How the server asks the database: by few connections that all threads share, and never for ever.

Pages and commands use Django's own way. What is here is for the server's process alone: a command
may take its time, and has no threads to share a connection with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections

from playground.errors import DatabaseUnavailable

P = ParamSpec("P")
R = TypeVar("R")

# A database ends a statement by itself in time, and the connection goes on. One that does not even
# do that is given up by us so much later.
GRACE_SECONDS = 2.0
# Threads for coroutines that ask; no other work waits for them.
THREADS = 4


def share_connections() -> None:
    """From now on all threads of this process share DATABASE_CONNECTIONS to PostgreSQL.

    Django gives each request for a page a thread, and each thread a connection of its own.
    """
    if connections["default"].vendor == "postgresql":
        # Importing its driver takes a fifth of a second of CPU, which SQLite can do without.
        from playground import postgres

        postgres.share_connections()


def own_connection() -> None:
    """Give the calling thread a connection of its own, which no other work can take or keep.

    A transaction on it only reads, and sees one state of the database however many its questions.
    """
    if connections["default"].vendor == "postgresql":
        from playground import postgres

        connections["default"] = postgres.own_connection()
        return
    own = connections["default"].copy()
    # SQLite gives every transaction one state; this one is not to wait until nobody writes.
    own.settings_dict["OPTIONS"]["transaction_mode"] = "DEFERRED"
    connections["default"] = own


def close_connections() -> None:
    """At the end of the process: a pool has threads, which do not end by themselves."""
    connections.close_all()
    if connections["default"].vendor == "postgresql":
        from playground import postgres

        postgres.close_pool()


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
