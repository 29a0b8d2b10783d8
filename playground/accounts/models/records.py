"""What requests cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models, transaction


class UsageRecordManager(models.Manager["UsageRecord"]):
    """Settling rows of the spool."""

    def settle(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert all rows or none; a request that has its record already is passed over.

        Plain SQL, the same in SQLite and PostgreSQL: `bulk_create` takes four times as long.
        """
        fields = [
            field for field in self.model._meta.local_concrete_fields if not field.primary_key
        ]
        names = ", ".join(connection.ops.quote_name(field.attname) for field in fields)
        table = connection.ops.quote_name(self.model._meta.db_table)
        marks = ", ".join(["%s"] * len(fields))
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        with transaction.atomic(), connection.cursor() as cursor:
            defaults = {field.name: field.get_default() for field in fields}
            cursor.executemany(insert, [_values(row, defaults) for row in rows])


def _values(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Any]:
    """Rows that an older version spooled may lack a column."""
    when = connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(row["when"], UTC))
    whole = {**defaults, **row, "when": when}
    return [whole[name] for name in defaults]


class UsageRecord(models.Model):
    """What one request cost. Written by `usage.recorder`, in bulk and off the requests' way.

    Account and key are plain values, no foreign keys: a record outlives the key and the person it
    belongs to, and no missing row can keep it from being written.
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
    account = models.CharField(max_length=100, help_text="user:ID, or ip:ADDRESS.")
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

    def __str__(self) -> str:
        return f"{self.account}, {self.model}: {self.outcome}"
