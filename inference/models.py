"""The catalogue in the database: one row per card, with the wish that the server fulfils."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Cast
from django.utils import timezone

from inference.catalogue import (
    CARD_FIELDS,
    DECIDING,
    ENGINES,
    PIPELINE_TASKS,
    TASKS,
    WANTED,
    WISHES,
    CardError,
    ModelCard,
    card_of,
    check_card,
    read_cards,
    tables_of,
)
from inference.errors import ModelNotFound
from inference.examining import Verdict, check_names
from inference.toml import to_toml

# What staff may ask of a model.
ASKS = ("preload", "pin", "unload", "reload", "drain")
Verdicts = Callable[[Sequence[ModelCard]], Sequence[Verdict]]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many cards a file added and changed; those of which that decides whether they run; what
    could not be seen about them."""

    added: int
    changed: int
    deciding: tuple[ModelCard, ...] = ()
    warnings: tuple[str, ...] = ()


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

    def ask(self, name: str, what: str, by: int) -> CatalogueRow:
        """Write one of ASKS into a row, and into the log who wanted it (a user's key).

        Both at once, one after another: of opposite wishes the last in the log is in force. Raises
        ModelNotFound.
        """
        from django.contrib.admin.models import CHANGE

        with transaction.atomic():
            row = self.select_for_update().filter(id=name).first()
            if row is None:
                raise ModelNotFound(name)
            row.ask(what)
            _log(by, row, CHANGE, f"asked to {what}")
            return row

    def to_toml(self) -> str:
        """Every card, as `from_toml` takes it. Raises CardError."""
        return to_toml(self.cards())

    def from_toml(self, text: str, by: int, verdicts: Verdicts) -> Imported:
        """Add and change cards, all of them or none. `by` is a user's key, `verdicts` says of cards
        whether they can work here.

        What a table does not name stays as it is. Raises ValidationError that says of each card
        and field what is wrong.
        """
        tables = _tables(text)
        with transaction.atomic():
            # Only tried: a look at the Hub takes long, and meanwhile nobody else could write.
            tried = self._import(tables, by)
            transaction.set_rollback(True)
        cards = list(tried.deciding)
        found = list(zip(cards, verdicts(cards), strict=True))
        if wrong := [_line(card.id, v.field, v.words) for card, v in found if v.field]:
            raise ValidationError(wrong)
        with transaction.atomic():
            done = self._import(tables, by)
        unseen = (f"{card.id}: {v.words}" for card, v in found if v.words)
        return replace(done, warnings=tuple(unseen))

    def _import(self, tables: list[dict[str, Any]], by: int) -> Imported:
        from django.contrib.admin.models import ADDITION, CHANGE

        added, deciding = 0, []
        for table in tables:
            name = str(table.get("id", ""))
            row = self.select_for_update().filter(id=name).first()
            is_new = row is None
            before = {} if row is None else _plain(row)
            try:
                row = self._changed(row, table)
                row.full_clean(validate_unique=is_new)
            except ValidationError as error:
                raise ValidationError(_told(name, error)) from error
            row.save(force_insert=is_new)
            _log(by, row, ADDITION if is_new else CHANGE, "imported")
            after = _plain(row)
            if any(is_new or before[field] != after[field] for field in DECIDING):
                deciding.append(row.card())
            added += is_new
        return Imported(added, len(tables) - added, tuple(deciding))

    def _changed(self, row: CatalogueRow | None, table: dict[str, Any]) -> CatalogueRow:
        try:
            # The check of a whole card, also of fields that a row has no column for.
            given = card_of({**({} if row is None else _plain(row)), **table})
        except CardError as error:
            raise ValidationError({error.field: str(error)}) from error
        made = CatalogueRow.from_card(given)
        if row is None:
            return made
        for name in table:
            setattr(row, name, getattr(made, name))
        return row

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

    def stamp(self) -> tuple[str, ...]:
        """When each row was written: it changes whenever any row does.

        The newest time alone would miss a row whose transaction began before that of another and
        ended after it, and whatever is written after a clock was set back. As text, because to
        make times of them takes twice the time: a catalogue may have thousands.
        """
        written = Cast("changed", models.CharField())
        return tuple(self.order_by("id").values_list(written, flat=True))


def _tables(text: str) -> list[dict[str, Any]]:
    try:
        return tables_of(text)
    except (tomllib.TOMLDecodeError, CardError) as error:
        raise ValidationError(f"This is no catalogue in TOML: {error}") from error


def _plain(row: CatalogueRow) -> dict[str, Any]:
    """A row as a table of a file would say it."""
    return {name: getattr(row, name) for name in CARD_FIELDS}


def _told(name: str, error: ValidationError) -> list[str]:
    if not hasattr(error, "error_dict"):
        return [f"{name}: {each}" for each in error.messages]
    return [_line(name, field, " ".join(e)) for field, e in error.message_dict.items()]


def _line(name: str, field: str, words: str) -> str:
    return f"{name}, {field}: {words}"


def _log(by: int, row: CatalogueRow, flag: int, words: str) -> None:
    from django.contrib.admin.models import LogEntry

    LogEntry.objects.log_actions(by, [row], flag, words)


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
        default=1, help_text="Copies that may be loaded at once, for as long as many wait."
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
