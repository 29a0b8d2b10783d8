"""What requests cost: one record each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, models, transaction

from ..identity import GONE, user_account
from .sums import Row, add_to_sums, table_of

# Values of so many rows fit into one statement, in SQLite too.
CHUNK = 500
PERSON = user_account(0)[:-1]


class UsageRecordManager(models.Manager["UsageRecord"]):
    """Settling rows of the spool."""

    def settle(self, rows: Sequence[Row]) -> None:
        """Insert all rows and add them to the sums, or nothing of it.

        A request that has its record already is passed over. Plain SQL, the same in SQLite and
        PostgreSQL: `bulk_create` takes four times as long.
        """
        with transaction.atomic():
            rows = _without_people_who_are_gone(rows)
            new: list[Row] = []
            for first in range(0, len(rows), CHUNK):
                new += self._insert(rows[first : first + CHUNK])
            add_to_sums(new)

    def _insert(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that were not there yet."""
        fields = [f for f in self.model._meta.local_concrete_fields if not f.primary_key]
        names = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
        one = f"({', '.join(['%s'] * len(fields))})"
        insert = (
            f"INSERT INTO {table_of(self.model)} ({names}) VALUES {', '.join([one] * len(rows))} "
            "ON CONFLICT DO NOTHING RETURNING request_id"
        )
        defaults = {field.name: field.get_default() for field in fields}
        values = [value for row in rows for value in _values(row, defaults)]
        with connection.cursor() as cursor:
            cursor.execute(insert, values)
            inserted = {UUID(str(found)).hex for (found,) in cursor.fetchall()}
        by_id = {UUID(str(row["request_id"])).hex: row for row in rows}
        return [row for request_id, row in by_id.items() if request_id in inserted]


def _values(row: Row, defaults: Mapping[str, Any]) -> list[Any]:
    """Rows that an older version spooled may lack a column."""
    when = connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(row["when"], UTC))
    whole = {**defaults, **row, "when": when}
    return [whole[name] for name in defaults]


def _without_people_who_are_gone(rows: Sequence[Row]) -> list[Row]:
    """What ended after its person was deleted is nobody's."""
    accounts = {row["account"] for row in rows if row["account"].startswith(PERSON)}
    ids = {int(account.removeprefix(PERSON)) for account in accounts}
    known = get_user_model()._default_manager.filter(pk__in=ids).values_list("pk", flat=True)
    gone = accounts - {user_account(pk) for pk in known}
    return [
        {**row, "account": GONE, "key_id": None} if row["account"] in gone else row for row in rows
    ]


class UsageRecord(models.Model):
    """What one request cost. Written by `usage.recorder`, in bulk and off the requests' way.

    Account and key are plain values, no foreign keys: a record outlives the key it belongs to, and
    no missing row can keep it from being written.
    """

    class Outcome(models.TextChoices):
        """How a request ended."""

        FINISHED = "finished", "finished"
        CANCELLED = "cancelled", "the caller left"
        REFUSED = "refused", "refused"
        FAILED = "failed", "failed"
        LOST = "lost", "cut off when the server died"

    request_id = models.UUIDField(unique=True)
    when = models.DateTimeField(db_index=True, help_text="When the request came in.")
    account = models.CharField(max_length=100, help_text="user:ID, group:ID, or ip:ADDRESS.")
    key_id = models.BigIntegerField(null=True)
    group_id = models.BigIntegerField(null=True, help_text="On whose terms it was asked.")
    model = models.CharField(max_length=200)
    kind = models.CharField(max_length=30, help_text="The route, or playground.")
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    queue_seconds = models.FloatField(default=0.0)
    device_seconds = models.FloatField(default=0.0)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)

    objects = UsageRecordManager()

    class Meta:
        ordering = ("-when",)
        indexes = [models.Index(fields=["account", "when"], name="usage_of_account")]

    def __str__(self) -> str:
        return f"{self.account}, {self.model}: {self.outcome}"
