"""What users asked to have here, and what staff said to it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from inference.models import CatalogueRow

# Of one person, so many may be open at a time.
MAX_OPEN = 20


class ModelRequest(models.Model):
    """One person's wish for a model of the Hub. `fits` and `verdict`: what a look at it said."""

    class State(models.TextChoices):
        """Where it stands."""

        OPEN = "open", "waits for staff"
        DECLINED = "declined", "declined"

    model_id = models.CharField("model", max_length=200)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    reason = models.CharField(max_length=500, blank=True)
    fits = models.BooleanField(default=False)
    verdict = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    answer = models.CharField(max_length=500, blank=True, help_text="For whoever asked.")
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-created",)
        constraints = [
            models.UniqueConstraint(fields=["model_id", "person"], name="one_request_each")
        ]

    def __str__(self) -> str:
        return self.model_id

    @property
    def is_there(self) -> bool:
        """Whether the catalogue has it by now."""
        return CatalogueRow.objects.filter(id=self.model_id).exists()
