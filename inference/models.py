"""The catalogue in the database: one row per card, with the wish that the server fulfils."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone

from inference.catalogue import (
    CARD_FIELDS,
    ENGINES,
    PIPELINE_TASKS,
    TASKS,
    WANTED,
    WISHES,
    CardError,
    ModelCard,
    check_card,
    read_cards,
)
from inference.errors import ModelNotFound
from inference.examining import check_names

# What staff may ask of a model.
ASKS = ("preload", "pin", "unload", "reload", "drain")


class CatalogueRowManager(models.Manager["CatalogueRow"]):
    """Rows as cards, and the shipped cards as rows."""

    def fill_missing(self) -> int:
        """Add a row for each card of the file named by `CATALOGUE` that has none; how many."""
        known = set(self.values_list("id", flat=True))
        new = [card for card in read_cards(settings.CATALOGUE) if card.id not in known]
        rows = [CatalogueRow.from_card(card) for card in new]
        for place, row in enumerate(rows):
            # Rows are listed by age: a microsecond apart keeps the file's order.
            row.created += timedelta(microseconds=place)
        self.bulk_create(rows, ignore_conflicts=True)
        return len(new)

    def cards(self) -> list[ModelCard]:
        """All cards, in the order of the catalogue page."""
        return [row.card() for row in self.all()]

    def keep(self, card: ModelCard) -> None:
        """Write down a card that was found, or the commit of one that had none."""
        if not self.filter(id=card.id).update(revision=card.revision, changed=timezone.now()):
            CatalogueRow.from_card(card).save(force_insert=True)

    def set_default(self, name: str) -> None:
        """Make one card the default and have it always resident; a wish it has already stays.

        Raises ModelNotFound.
        """
        with transaction.atomic():
            row = self.filter(id=name).first()
            if row is None:
                raise ModelNotFound(name)
            if row.is_default:
                return
            self.filter(is_default=True).exclude(id=name).update(is_default=False)
            row.is_default = True
            row.wish = "pin" if row.wish == "none" else row.wish
            row.save(update_fields=["is_default", "wish", "changed"])

    def stamp(self) -> tuple[int, Any]:
        """Changes whenever any row does: how many rows there are, and the last change."""
        found = self.aggregate(count=models.Count("id"), changed=models.Max("changed"))
        return found["count"], found["changed"]


class CatalogueRow(models.Model):
    """A model that users may ask for. `wish` says what staff want; the server follows."""

    id = models.CharField(primary_key=True, max_length=200)
    source = models.CharField(max_length=500, help_text="A folder, or an id on the Hub.")
    aliases = models.JSONField(default=list, blank=True, help_text="Other names it answers to.")
    revision = models.CharField(max_length=100, blank=True)
    task = models.CharField(
        max_length=50, default="text-generation", choices=[(t, t) for t in TASKS + PIPELINE_TASKS]
    )
    engine = models.CharField(max_length=20, default="vllm", choices=[(e, e) for e in ENGINES])
    wish = models.CharField(max_length=10, default="none", choices=[(w, w) for w in WISHES])
    replicas = models.PositiveIntegerField(
        default=1, help_text="Copies that may be loaded at once, where there is room for them."
    )
    dtype = models.CharField(max_length=20, default="auto")
    quantization = models.CharField(max_length=50, blank=True)
    max_model_len = models.PositiveIntegerField(null=True, blank=True)
    max_num_seqs = models.PositiveIntegerField(default=32)
    engine_args = models.JSONField(default=dict, blank=True)
    tool_parser = models.CharField(max_length=50, blank=True)
    reasoning_parser = models.CharField(max_length=50, blank=True)
    slice = models.FloatField(
        null=True, blank=True, help_text="Longest turn in seconds while others wait."
    )
    licence = models.CharField(max_length=100, blank=True)
    trust_remote_code = models.BooleanField(default=False)
    rungs = models.JSONField(
        default=list,
        blank=True,
        help_text='How it may be made to fit, like ["full", "8bit"]; empty: any way.',
    )
    found = models.BooleanField(
        default=False, help_text="Somebody asked for it by its id on the Hub."
    )
    notes = models.TextField(blank=True)
    is_default = models.BooleanField(
        default=False, help_text="Answers requests that name no model."
    )
    unload_before = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Copies loaded before this are unloaded."
    )
    created = models.DateTimeField(default=timezone.now, editable=False)
    changed = models.DateTimeField(auto_now=True)

    objects = CatalogueRowManager()

    class Meta:
        ordering = ["created", "id"]
        verbose_name = "model"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=models.Q(is_default=True),
                name="one_default_model",
                violation_error_message="There is a default model already; unset that one first.",
            )
        ]

    def __str__(self) -> str:
        return self.id

    def clean(self) -> None:
        """Refuse a card that cannot work, at the field that is wrong."""
        if not isinstance(self.aliases, list) or not all(isinstance(a, str) for a in self.aliases):
            raise ValidationError({"aliases": 'Aliases are a list of names, like ["gpt-4"].'})
        if not isinstance(self.rungs, list) or not all(isinstance(r, str) for r in self.rungs):
            raise ValidationError({"rungs": 'Rungs are a list, like ["full", "8bit"].'})
        if not isinstance(self.engine_args, dict):
            raise ValidationError({"engine_args": 'Engine arguments are an object, like {"a": 1}.'})
        try:
            card = self.card()
            check_card(card)
            check_names(card)
        except CardError as error:
            raise ValidationError({error.field: str(error)}) from None
        self._check_aliases()

    def _check_aliases(self) -> None:
        """A name leads to one model: else it would depend on the order of the rows to which."""
        taken: dict[str, str] = {}
        for name, aliases in CatalogueRow.objects.exclude(pk=self.pk).values_list("id", "aliases"):
            taken |= dict.fromkeys(aliases, name) | {name: name}
        for alias in self.aliases:
            if alias in taken:
                raise ValidationError({"aliases": f"{alias!r} is a name of {taken[alias]}."})

    def card(self) -> ModelCard:
        """The row as the frozen card that the rest of the code knows."""
        values = {name: getattr(self, name) for name in CARD_FIELDS}
        values["aliases"] = tuple(self.aliases)
        values["rungs"] = tuple(self.rungs)
        return ModelCard(
            **values,
            created=int(self.created.timestamp()),
            is_default=self.is_default,
            unload_before=self.unload_before.timestamp() if self.unload_before else 0.0,
        )

    @classmethod
    def from_card(cls, card: ModelCard) -> CatalogueRow:
        """A new row, not yet saved."""
        values = {name: getattr(card, name) for name in CARD_FIELDS}
        values["aliases"] = list(card.aliases)
        values["rungs"] = list(card.rungs)
        values["engine_args"] = dict(card.engine_args)
        return cls(**values)

    def ask(self, what: str) -> None:
        """Write one of ASKS into the row.

        `unload` takes the wish back and unloads what runs, `reload` loads it anew, `drain` takes it
        out of service until it is asked for anything else.
        """
        if what in ("unload", "reload"):
            self.unload_before = timezone.now()
        if what == "unload":
            self.wish = "none"
        elif what == "reload":
            self.wish = self.wish if self.wish in WANTED else "preload"
        else:
            self.wish = what
        self.save(update_fields=["wish", "unload_before", "changed"])
