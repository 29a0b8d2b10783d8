"""`manage.py keys create|list|revoke`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from playground.accounts.audit import note
from playground.accounts.models import ApiKey, Group


class Command(BaseCommand):
    """Make, list and revoke API keys."""

    help = "Make, list and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand each."""
        acts = parser.add_subparsers(dest="act", required=True)
        create = acts.add_parser("create", help="make a key and print it, this once")
        whose = create.add_mutually_exclusive_group(required=True)
        whose.add_argument("--owner", help="a person's username")
        whose.add_argument("--group", help="a group's name: one key for a whole class")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--models", default="", help="ids that it opens, comma-separated")
        create.add_argument("--days", type=float, help="days until it expires")
        listed = acts.add_parser("list", help="all keys, or one person's")
        listed.add_argument("--owner", help="a person's username")
        revoke = acts.add_parser("revoke", help="end a key within five seconds")
        revoke.add_argument("id", type=int, help="the number in the list")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        """Do it, or say in one line why not."""
        getattr(self, f"do_{act}")(**options)

    @transaction.atomic
    def do_create(self, owner: str, group: str, name: str, models: str, **options: Any) -> None:
        """Print the new key alone, so that a script can take it."""
        fields: dict[str, Any] = {"name": name, "allowed_models": _listed(models)}
        if owner:
            fields["owner"] = _person(owner)
        else:
            fields["group"] = _group(group)
        if options["days"] is not None:
            fields["expires"] = timezone.now() + timedelta(days=options["days"])
        try:
            key, text = ApiKey.issue(**fields)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        note(key, ADDITION, f"made for {owner or f'the group {group}'}")
        self.stdout.write(text)

    def do_list(self, owner: str | None, **options: Any) -> None:
        """One line each, the newest first."""
        keys = ApiKey.objects.select_related("owner", "group")
        for key in keys.filter(owner=_person(owner)) if owner else keys:
            until = f" until {key.expires:%Y-%m-%d %H:%M}" if key.expires else ""
            whose = key.owner or f"group {key.group}"
            opens = f" for {', '.join(key.allowed_models)}" if key.allowed_models else ""
            self.stdout.write(
                f"{key.pk}\t{key.shown}\t{whose}\t{key.name}{opens}\t{key.state}{until}"
            )

    @transaction.atomic
    def do_revoke(self, id: int, **options: Any) -> None:
        """End one key."""
        key = ApiKey.objects.filter(pk=id).first()
        if key is None:
            raise CommandError(f"There is no key {id}.")
        if key.revoked is None:
            key.revoke()
            note(key, CHANGE, "revoked")
        self.stdout.write(f"{key} is revoked.")


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _person(username: str) -> Any:
    found = get_user_model()._default_manager.filter(username=username).first()
    if found is None:
        raise CommandError(f"There is nobody named {username}.")
    return found


def _group(name: str) -> Group:
    found = Group.objects.filter(name=name).first()
    if found is None:
        raise CommandError(f"There is no group {name}.")
    return found
