"""The database's word on keys, people and groups, read in one go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Model, Q
from django.utils import timezone

from .access import FREE, UNBOUND, Caller, Limits, Terms
from .identity import group_account, user_account
from .models import ApiKey, Group, Membership, Quota
from .models.groups import heaviest_first

Stamp = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a request's caller is known by. `until`: when a membership ends, seconds of the
    clock on the wall; from then on it has to be read anew.
    """

    stamp: Stamp
    keys: Mapping[str, Caller]
    key_ids: frozenset[int | None]
    people: Mapping[int, Caller]
    active: frozenset[int]
    everybody: tuple[Terms, ...]
    until: float
    staff: frozenset[int] = frozenset()

    def person(self, user_id: int) -> Caller | None:
        """A person who may come in; None for one who was deactivated or is gone."""
        if user_id not in self.active:
            return None
        known = self.people.get(user_id)
        known = known or Caller(user_account(user_id), user_id, terms=self.everybody)
        return replace(known, staff=user_id in self.staff)


def read_stamp() -> Stamp:
    """Changes whenever a key, a group, a quota or somebody's being active does.

    Counts beside the last change: a row may be deleted, or changed by an UPDATE of its own.
    """
    with connection.cursor() as cursor:
        cursor.execute(_stamp_query())
        return tuple(sorted(cursor.fetchall()))


@cache
def _stamp_query() -> str:
    """Plain SQL, the same in SQLite and PostgreSQL. With six aggregates of the ORM an idle server's
    look took 6 ms of CPU, every two seconds; so it takes half of one."""
    people = get_user_model()
    return " UNION ALL ".join(
        [
            _counts(people, "", "is_active"),
            _counts(people, "", "is_active AND is_staff"),
            _counts(ApiKey, "changed", more="COUNT(revoked)", end="MAX(expires)"),
            *(_counts(model, "changed") for model in (Group, Membership, Quota)),
        ]
    )


def _counts(
    model: type[Model], changed: str, where: str = "", more: str = "0", end: str = "NULL"
) -> str:
    """Of one table: its name and the condition, rows, their ids' sum and the last change."""
    quote = connection.ops.quote_name
    table, pk = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    last = f"MAX({quote(changed)})" if changed else "NULL"
    counts = f"COUNT(*), COALESCE(SUM({pk}), 0), {more}"
    texts = ", ".join(f"COALESCE(CAST({each} AS TEXT), '')" for each in (last, end))
    name = f"'{model._meta.label} {where}'"
    return f"SELECT {name}, {counts}, {texts} FROM {table}" + (f" WHERE {where}" if where else "")


@transaction.atomic
def read_snapshot() -> Snapshot:
    """Everything, as it is at one moment where the connection is of `database.own_connection`.

    The stamp comes first: what changes meanwhile is seen at the next look.
    """
    stamp = read_stamp()
    people = get_user_model()._default_manager.filter(is_active=True)
    active = frozenset(people.values_list("pk", flat=True))
    staff = frozenset(people.filter(is_staff=True).values_list("pk", flat=True))
    groups = {group.pk: group for group in Group.objects.prefetch_related("quotas")}
    terms = {pk: group.terms() for pk, group in groups.items()}
    everybody = tuple(terms[pk] for pk, group in groups.items() if group.is_default) or (UNBOUND,)
    known, until = _people(terms, everybody)
    inside = {pk: caller for pk, caller in known.items() if pk in active}
    keys = {
        digest: replace(caller, staff=caller.user_id in staff)
        for digest, caller in _keys(terms, inside, active, everybody).items()
    }
    key_ids = frozenset(caller.key_id for caller in keys.values())
    return Snapshot(stamp, keys, key_ids, inside, active, everybody, until, staff)


def _people(
    terms: Mapping[int, Terms], everybody: tuple[Terms, ...]
) -> tuple[dict[int, Caller], float]:
    """Whoever is in a group or has limits of their own."""
    own: dict[int, Limits] = {
        quota.person_id: quota.limits()
        for quota in Quota.objects.exclude(person=None)
        if quota.person_id is not None
    }
    joined: defaultdict[int, list[Terms]] = defaultdict(list)
    until = float("inf")
    members = Membership.objects.current().values_list("user_id", "group_id", "until")
    for user_id, group_id, end in members:
        joined[user_id].append(terms[group_id])
        until = min(until, end.timestamp() if end else until)
    found = {}
    for user_id in {*joined, *own}:
        mine = heaviest_first(joined[user_id]) or everybody
        limits = own.get(user_id, FREE)
        found[user_id] = Caller(user_account(user_id), user_id, terms=mine, own=limits)
    return found, until


def _keys(
    terms: Mapping[int, Terms],
    people: Mapping[int, Caller],
    active: frozenset[int],
    everybody: tuple[Terms, ...],
) -> dict[str, Caller]:
    """Every key that opens something, by its digest."""
    live = ApiKey.objects.filter(Q(expires=None) | Q(expires__gt=timezone.now()), revoked=None)
    columns = ("digest", "pk", "owner_id", "group_id", "allowed_models", "expires")
    found: dict[str, Caller] = {}
    for digest, pk, owner_id, group_id, names, expires in live.values_list(*columns):
        scope = frozenset(names)
        if group_id is not None:
            holder = Caller(group_account(group_id), terms=(terms[group_id],))
        elif owner_id in active:
            holder = people.get(owner_id) or Caller(
                user_account(owner_id), owner_id, terms=everybody
            )
        else:
            continue
        found[digest] = replace(holder, key_id=pk, models=scope, expires=expires)
    return found
