"""API keys: only a hash is kept, so a stolen database opens nothing."""

from __future__ import annotations

import hashlib
import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone


def digest_of(text: str) -> str:
    """What is stored in place of a key: with 256 random bits, a plain hash cannot be reversed."""
    return hashlib.sha256(text.encode()).hexdigest()


class ApiKey(models.Model):
    """A key of one person. Its text is shown once, when it is made."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=100, help_text="What the key is for.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created",)
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.shown})"

    def draw(self) -> str:
        """A fresh text for this key. Only its hash is kept, so whoever calls this must show it."""
        text = f"sk-llms-{secrets.token_urlsafe(32)}"
        self.digest, self.last_four = digest_of(text), text[-4:]
        return text

    @property
    def shown(self) -> str:
        """The key as lists may show it: enough to tell two keys apart, too little to guess one."""
        return f"sk-llms-…{self.last_four}"

    @property
    def live(self) -> bool:
        """Neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or self.expires > timezone.now())
