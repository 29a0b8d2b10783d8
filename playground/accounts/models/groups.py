"""Groups: what their members may use, how much of it, and how people get in."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference.models import CatalogueRow

from ..access import FREE, UNBOUND, Limits, Terms
from ..digests import digest_of

MOST = 10**12


def check_models(names: object) -> None:
    """Raise ValidationError unless these are ids of the catalogue."""
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise ValidationError({"allowed_models": 'Models are a list of ids, like ["pocket"].'})
    known = set(CatalogueRow.objects.filter(id__in=names).values_list("id", flat=True))
    if missing := [each[:100] for each in names if each not in known]:
        raise ValidationError({"allowed_models": f"There is no model {', '.join(missing)}."})


def check_weight(value: float) -> None:
    """Raise ValidationError unless it is in its range; nan is in none."""
    if not 0.01 <= value <= 100:
        raise ValidationError("A weight is a number from 0.01 to 100.")


class Group(models.Model):
    """People with the same rights and limits: a class, a lab, everybody else."""

    name = models.CharField(max_length=100, unique=True)
    weight = models.FloatField(
        default=1.0,
        validators=[check_weight],
        help_text="Share of busy devices, beside others' 1.",
    )
    allowed_models = models.JSONField(
        default=list, blank=True, help_text="Ids of the models that members may use; none: all."
    )
    is_default = models.BooleanField(
        default=False, help_text="Its terms hold for whoever is in no group."
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="llm_groups"
    )
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True),
                name="one_default_group",
                violation_error_message="There is a default group already; unset that one first.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse models that do not exist."""
        check_models(self.allowed_models)

    def terms(self) -> Terms:
        """What it lets its members do."""
        limits = {quota.scope: quota.limits() for quota in self.quotas.all()}
        return Terms(
            self.pk,
            self.name,
            self.weight,
            frozenset(self.allowed_models),
            limits.get(Quota.Scope.EACH, FREE),
            limits.get(Quota.Scope.TOGETHER, FREE),
        )


def heaviest_first(terms: Sequence[Terms]) -> tuple[Terms, ...]:
    """The order in which a member's groups are asked whether they allow a model."""
    return tuple(sorted(terms, key=lambda each: (-each.weight, each.name)))


def terms_of(person: AbstractBaseUser) -> tuple[Terms, ...]:
    """The terms of a person's groups, as they stand in the database."""
    groups = Group.objects.filter(pk__in=Membership.objects.current().values("group_id"))
    own = groups.filter(membership__user_id=person.pk).distinct().prefetch_related("quotas")
    default = Group.objects.filter(is_default=True).prefetch_related("quotas")
    return heaviest_first([each.terms() for each in own or default]) or (UNBOUND,)


class MembershipManager(models.Manager["Membership"]):
    """Memberships by their date."""

    def current(self) -> QuerySet[Membership]:
        """Those that have not ended."""
        return self.filter(Q(until=None) | Q(until__gt=timezone.now()))


class Membership(models.Model):
    """One person in one group, for ever or until a date."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.CASCADE)
    until = models.DateTimeField(null=True, blank=True)
    changed = models.DateTimeField(auto_now=True)

    objects = MembershipManager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "group"], name="member_once")]

    def __str__(self) -> str:
        until = f", until {self.until:%Y-%m-%d %H:%M}" if self.until else ""
        return f"{self.user} in {self.group}{until}"


def _limit(help_text: str) -> Any:
    return models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(MOST)],
        help_text=f"{help_text} Empty: no limit.",
    )


class Quota(models.Model):
    """How much a person, each member of a group, or all its members together may use."""

    class Scope(models.TextChoices):
        """Whom it holds for."""

        EACH = "each", "each member"
        TOGETHER = "together", "all members together"
        PERSON = "person", "this person"

    FIELDS = (
        "requests_per_minute",
        "tokens_per_minute",
        "device_seconds_per_day",
        "concurrent_requests",
        "queue_places",
    )

    group = models.ForeignKey(
        Group, on_delete=models.CASCADE, related_name="quotas", null=True, blank=True
    )
    person = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="quota",
        null=True,
        blank=True,
    )
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.EACH)
    requests_per_minute = _limit("In any 60 seconds.")
    tokens_per_minute = _limit("Of prompts and answers, in any 60 seconds.")
    device_seconds_per_day = _limit("Seconds of a device, in any 24 hours.")
    concurrent_requests = _limit("Running or waiting at a time.")
    queue_places = _limit("Waiting at a time, for each member.")
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "scope"], name="one_quota_for_each_scope"),
            models.CheckConstraint(
                condition=Q(person=None, group__isnull=False, scope__in=["each", "together"])
                | Q(group=None, person__isnull=False, scope="person"),
                name="quota_of_a_group_or_a_person",
                violation_error_message="A quota is a person's, or a group's: each or together.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person or self.group}: {self.get_scope_display()}"

    def limits(self) -> Limits:
        """As the rest of the code knows them."""
        return Limits(*(getattr(self, name) for name in self.FIELDS))


class Invitation(models.Model):
    """A link that lets whoever has it into a group, until a date. Kept as a hash, as keys are."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="invitations")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    places = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many people may use it. Empty: no limit."
    )
    used = models.PositiveIntegerField(default=0, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(
        help_text="Until then people may join; their membership ends then as well."
    )

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.group}, until {self.expires:%Y-%m-%d %H:%M}"

    def draw(self) -> str:
        """A fresh token for its link. Only the hash is kept."""
        token = secrets.token_urlsafe(32)
        self.digest = digest_of(token)
        return token

    @classmethod
    def find(cls, token: str) -> Invitation | None:
        """The invitation of a link, while it is good."""
        found = cls.objects.filter(digest=digest_of(token), expires__gt=timezone.now())
        return found.filter(Q(places=None) | Q(used__lt=F("places"))).first()

    def accept(self, person: Any) -> bool:
        """Make a person a member until the end date; False: no place is left."""
        with transaction.atomic():
            if Membership.objects.current().filter(user=person, group=self.group).exists():
                return True
            room = Q(places=None) | Q(used__lt=F("places"))
            taken = Invitation.objects.filter(room, pk=self.pk, expires__gt=timezone.now())
            if not taken.update(used=F("used") + 1):
                return False
            until: datetime = self.expires
            Membership.objects.update_or_create(
                user=person, group=self.group, defaults={"until": until}
            )
        return True
