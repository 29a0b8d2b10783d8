"""What somebody said and heard, where that person wants it to be kept."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

MAX_TITLE = 200


def new_token() -> str:
    """Nobody can guess it."""
    return secrets.token_urlsafe(24)


class Keeping(models.Model):
    """Somebody switched the keeping of conversations on. No row: nothing is kept."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="keeping"
    )
    since = models.DateTimeField(default=timezone.now)


class Conversation(models.Model):
    """A conversation with all its branches, as the page has it.

    `text` is all that was said, for the search. `version` grows with each change, so that two tabs
    cannot overwrite each other.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations"
    )
    title = models.CharField(max_length=MAX_TITLE)
    system = models.TextField(blank=True)
    nodes = models.JSONField()
    text = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    created = models.DateTimeField(default=timezone.now)
    changed = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-changed",)
        indexes = (models.Index(fields=["owner", "-changed"]),)

    def __str__(self) -> str:
        return self.title

    def head(self) -> dict[str, Any]:
        """What a list shows of it."""
        share = getattr(self, "share", None)
        return {
            "id": str(self.pk),
            "title": self.title,
            "version": self.version,
            "changed": self.changed,
            "shared": share.token if share else None,
        }


class Share(models.Model):
    """A link under which a conversation can be read as it was when the link was made."""

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, related_name="share"
    )
    token = models.CharField(max_length=64, unique=True, default=new_token)
    title = models.CharField(max_length=MAX_TITLE)
    nodes = models.JSONField()
    created = models.DateTimeField(default=timezone.now)
