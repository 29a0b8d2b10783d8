"""API keys. Only a hash is kept, so a stolen database opens nothing."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from ..digests import digest_of
from .groups import Group, check_models, terms_of


class ApiKey(models.Model):
    """A key of one person, or of a whole group (a class). Its text is shown once."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="api_keys",
        null=True,
        blank=True,
    )
    group = models.ForeignKey(
        Group,
        on_delete=models.CASCADE,
        related_name="api_keys",
        null=True,
        blank=True,
        help_text="In place of an owner: one key for a whole class, with an end date.",
    )
    name = models.CharField(max_length=100, help_text="What the key is for.")
    allowed_models = models.JSONField(
        default=list, blank=True, help_text="Ids of the models that it opens; none: all."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-created",)
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(owner=None) ^ models.Q(group=None),
                name="key_of_one_person_or_one_group",
                violation_error_message="A key belongs to one person or to one group.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.shown})"

    def clean(self) -> None:
        """Refuse a key that opens more than its owner may use, or a class key without an end."""
        check_models(self.allowed_models)
        if self.group_id and self.expires is None:
            raise ValidationError({"expires": "The key of a group needs an end date."})
        if self._state.adding and self.expires and self.expires <= timezone.now():
            raise ValidationError({"expires": "The end date has passed already."})
        if self.owner is None and self.group is None:
            return
        terms = terms_of(self.owner) if self.owner else [self.group.terms()]  # type: ignore[union-attr]
        refused = [m for m in self.allowed_models if not any(each.allows(m) for each in terms)]
        if refused:
            wide = f"Its owner may not use {', '.join(refused)}, so the key may not."
            raise ValidationError({"allowed_models": wide})

    def draw(self) -> str:
        """A fresh text for this key. Only its hash is kept, so whoever calls this must show it."""
        text = f"sk-llms-{secrets.token_urlsafe(32)}"
        self.digest, self.last_four = digest_of(text), text[-4:]
        return text

    @classmethod
    def issue(cls, **fields: Any) -> tuple[ApiKey, str]:
        """A new key, saved, and its text. Raises ValidationError."""
        key = cls(**fields)
        text = key.draw()
        key.full_clean()
        key.save()
        return key, text

    def revoke(self) -> None:
        """Takes effect within five seconds in every process; again is no error."""
        if self.revoked is None:
            self.revoked = timezone.now()
            self.save(update_fields=["revoked", "changed"])

    @property
    def shown(self) -> str:
        """The key as lists may show it: enough to tell two keys apart, too little to guess one."""
        return f"sk-llms-…{self.last_four}"

    @property
    def live(self) -> bool:
        """Neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or self.expires > timezone.now())

    @property
    def state(self) -> str:
        """In a word."""
        if self.revoked is not None:
            return "revoked"
        return "active" if self.live else "expired"
