"""The forms of the catalogue's admin: a card that cannot work is refused at its field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.core.files.uploadedfile import UploadedFile

from inference.catalogue import DECIDING, ModelCard
from inference.examining import Verdict
from inference.models import CatalogueRow
from inference.service import get_service

MAX_FILE_BYTES = 5 * 2**20


def verdicts(cards: Sequence[ModelCard]) -> list[Verdict]:
    """What the service says of cards; nothing where it was not started and knows no hardware."""
    service = get_service()
    if not service.devices:
        return [Verdict() for _ in cards]
    return async_to_sync(service.verdicts)(cards)


class CardForm(forms.ModelForm):
    """A row, and a look at its model's files where that may not work any more."""

    # What staff should know of a card that was saved all the same.
    warning = ""

    class Meta:
        model = CatalogueRow
        fields = "__all__"

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or not self.decides:
            return
        [verdict] = verdicts([self.instance.card()])
        if verdict.field:
            field = verdict.field if verdict.field in self.fields else None
            self.add_error(field, verdict.words)
        self.warning = verdict.words

    @property
    def decides(self) -> bool:
        """Whether a copy that is loaded now runs with other settings than these."""
        return bool(DECIDING & set(self.changed_data))


class FindForm(forms.Form):
    """A model of the Hub by its id, and what to do with it once it is here."""

    id = forms.CharField(
        max_length=200,
        label="Id on the Hub",
        widget=forms.TextInput({"placeholder": "owner/name", "spellcheck": "false", "size": 50}),
    )
    wish = forms.ChoiceField(
        label="Then",
        choices=[
            ("none", "load it when somebody asks"),
            ("preload", "fetch and load it now; it may be evicted"),
            ("pin", "fetch and load it now, and keep it loaded"),
        ],
    )


class ImportForm(forms.Form):
    """A catalogue in TOML, as a file or pasted."""

    file = forms.FileField(required=False, label="A file")
    text = forms.CharField(
        required=False, label="or its text", widget=forms.Textarea({"rows": 14, "cols": 100})
    )

    def clean(self) -> dict[str, Any]:
        """The file wins over what was pasted."""
        found = super().clean() or {}
        upload = found.get("file")
        text = _text(upload) if upload else str(found.get("text") or "")
        if not text.strip():
            raise forms.ValidationError("Choose a file, or paste what one holds.")
        return {**found, "text": text}


def _text(upload: UploadedFile) -> str:
    if (upload.size or 0) > MAX_FILE_BYTES:
        raise forms.ValidationError(f"The file has more than {MAX_FILE_BYTES:,} bytes.")
    try:
        return upload.read().decode()
    except UnicodeDecodeError as error:
        raise forms.ValidationError("The file is no text in UTF-8.") from error
