"""`manage.py groups set|delete|add|remove|invite|list`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from playground.accounts.audit import note, of_part
from playground.accounts.models import Group, Invitation, Membership, Quota

from .keys import _group, _listed, _person

# What `set` may change, as the log tells it.
SET = ("weight", "models", "default", "together", *Quota.FIELDS)


class Command(BaseCommand):
    """Make groups, say what their members may use, let people in."""

    help = "Make groups, say what their members may use, let people in."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand each."""
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("list", help="all groups")
        change = acts.add_parser("set", help="make a group, or change one")
        change.add_argument("--weight", type=float, help="share of busy devices, beside others' 1")
        change.add_argument("--models", help="ids that members may use, comma-separated; '': all")
        change.add_argument("--default", action="store_true", help="for whoever is in no group")
        change.add_argument("--together", action="store_true", help="limits are of all together")
        for name in Quota.FIELDS:
            limit = f"--{name.replace('_', '-')}"
            change.add_argument(limit, help="a limit of each member; 'none' for no limit")
        delete = acts.add_parser("delete", help="take a group away, its keys too")
        join = acts.add_parser("add", help="make a person a member")
        leave = acts.add_parser("remove", help="end a membership")
        invite = acts.add_parser("invite", help="print a sign-up link, this once")
        invite.add_argument("--places", type=int, help="how many people may use it")
        for each in (join, invite):
            each.add_argument("--days", type=float, help="days until it ends")
        for each in (change, delete, join, leave, invite):
            each.add_argument("group", help="the group's name")
        for each in (join, leave):
            each.add_argument("person", help="a username")

    def handle(self, *args: Any, act: str, **options: Any) -> None:
        """Do it and write it into the log, or say in one line why not."""
        try:
            with transaction.atomic():
                getattr(self, f"do_{act}")(**options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None

    def do_list(self, **options: Any) -> None:
        """One line each."""
        for group in Group.objects.prefetch_related("quotas", "members"):
            opens = ", ".join(group.allowed_models) or "all models"
            default = "\tdefault" if group.is_default else ""
            count = group.members.count()
            self.stdout.write(
                f"{group}\tweight {group.weight:g}\t{count} members\t{opens}{default}"
            )

    def do_set(self, group: str, **options: Any) -> None:
        """What is not said stays as it is."""
        found = Group.objects.filter(name=group).first() or Group(name=group)
        if options["weight"] is not None:
            found.weight = options["weight"]
        if options["models"] is not None:
            found.allowed_models = _listed(options["models"])
        if options["default"]:
            Group.objects.filter(is_default=True).update(is_default=False)
            found.is_default = True
        flag = CHANGE if found.pk else ADDITION
        found.full_clean()
        found.save()
        self._set_quota(found, options)
        asked = {name: options[name] for name in SET if options[name] not in (None, False)}
        note(found, flag, ", ".join(f"{name}: {value}" for name, value in asked.items()) or "set")
        self.stdout.write(f"{found}: weight {found.weight:g}.")

    def _set_quota(self, group: Group, options: dict[str, Any]) -> None:
        asked = {name: options[name] for name in Quota.FIELDS if options[name] is not None}
        if not asked:
            return
        scope = Quota.Scope.TOGETHER if options["together"] else Quota.Scope.EACH
        quota = Quota.objects.filter(group=group, scope=scope).first()
        quota = quota or Quota(group=group, scope=scope)
        for name, value in asked.items():
            setattr(quota, name, None if value == "none" else value)
        quota.full_clean()
        quota.save()

    def do_delete(self, group: str, **options: Any) -> None:
        """Its members stay people; its class keys end."""
        found = _group(group)
        note(found, DELETION, "deleted with its keys")
        found.delete()
        self.stdout.write(f"{group} is gone.")

    def do_add(self, group: str, person: str, days: float | None, **options: Any) -> None:
        """For ever, or for some days."""
        until = None if days is None else timezone.now() + timedelta(days=days)
        made, new = Membership.objects.update_or_create(
            user=_person(person), group=_group(group), defaults={"until": until}
        )
        note(made.group, CHANGE, of_part("added" if new else "changed", made))
        self.stdout.write(f"{person} is in {group}.")

    def do_remove(self, group: str, person: str, **options: Any) -> None:
        """End it now."""
        for found in Membership.objects.filter(user=_person(person), group=_group(group)):
            note(found.group, CHANGE, of_part("deleted", found))
            found.delete()
        self.stdout.write(f"{person} is not in {group}.")

    def do_invite(self, group: str, days: float | None, places: int | None, **options: Any) -> None:
        """The path alone: the server's name is not known here."""
        if days is None:
            raise CommandError("A sign-up link needs an end: --days.")
        until = timezone.now() + timedelta(days=days)
        invitation = Invitation(group=_group(group), expires=until, places=places)
        token = invitation.draw()
        invitation.full_clean()
        invitation.save()
        note(invitation, ADDITION, f"a sign-up link for the group {group}")
        self.stdout.write(f"/join/{token}")
