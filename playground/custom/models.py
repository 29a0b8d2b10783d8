"""Submitted code, whose it is, and what staff said to it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.dispatch import receiver
from django.utils import timezone

from inference import custom
from inference.models import CatalogueRow

NAME = RegexValidator(
    r"\A[a-z0-9][a-z0-9._-]{0,62}\Z", "Small letters, digits, dots and dashes, at most 63."
)
MAX_MODELS = 50


class CustomModel(models.Model):
    """One submission. Another letter of code or requirements asks for another approval.

    What was approved before stays in service until then: the catalogue's card names its own hash.
    """

    class State(models.TextChoices):
        """Where it stands."""

        SUBMITTED = "submitted", "waits for approval"
        BUILDING = "building", "is being built"
        APPROVED = "approved", "approved"
        REFUSED = "refused", "refused"
        FAILED = "failed", "could not be built"

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="custom_models"
    )
    code = models.TextField(help_text="A module with load() and run(model, …).")
    requirements = models.TextField(blank=True, help_text="One name==version a line.")
    wants_network = models.BooleanField(
        default=False, help_text="Asks for the network, to fetch from the Hub."
    )
    notes = models.TextField(blank=True)
    digest = models.CharField(max_length=64, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.SUBMITTED)
    submitted = models.DateTimeField(default=timezone.now, editable=False)
    problem = models.CharField(max_length=500, blank=True, help_text="Why it is not in service.")
    trace = models.TextField(blank=True, help_text="For the author and staff.")
    approved_digest = models.CharField(max_length=64, blank=True, editable=False)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    decided = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("-submitted",)

    def __str__(self) -> str:
        return self.model_id

    @property
    def model_id(self) -> str:
        """The name under which the API knows it."""
        return f"custom/{self.name}"

    @property
    def last_error(self) -> str:
        """What went wrong last with the code in service, with its traceback."""
        return custom.last_error(self.approved_digest) if self.approved_digest else ""

    def submit(self) -> None:
        """Save new code; from now on it waits for approval."""
        self.digest = custom.digest_of(self.code, self.requirements, self.wants_network)
        self.state, self.submitted = self.State.SUBMITTED, timezone.now()
        self.problem = self.trace = ""
        self.save()


@receiver(models.signals.post_delete, sender=CustomModel)
def leave_catalogue(instance: CustomModel, **named: Any) -> None:
    """Withdrawn, or gone with its author: its card goes along."""
    CatalogueRow.objects.filter(id=instance.model_id, engine="custom").delete()
