"""What a person submits: pasted, or as files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from inference import custom

from .models import MAX_MODELS, NAME, CustomModel

MAX_FILE_BYTES = custom.MAX_CODE_BYTES


class SubmissionForm(forms.Form):
    """Code counts as text here: nothing parses it, and nothing runs it."""

    name = forms.CharField(max_length=63, validators=[NAME])
    code = forms.CharField(required=False, widget=forms.Textarea, strip=False)
    code_file = forms.FileField(required=False)
    requirements = forms.CharField(required=False, widget=forms.Textarea)
    wants_network = forms.BooleanField(required=False)
    notes = forms.CharField(required=False, max_length=2000)

    def __init__(self, author: User, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._author = author

    def clean_name(self) -> str:
        """A name of one's own, or a new one."""
        name = str(self.cleaned_data["name"])
        own = CustomModel.objects.filter(author=self._author)
        if CustomModel.objects.filter(name=name).exclude(author=self._author).exists():
            raise forms.ValidationError("Somebody else has a model of this name.")
        if not own.filter(name=name).exists() and own.count() >= MAX_MODELS:
            raise forms.ValidationError(f"You have {MAX_MODELS} models; withdraw one first.")
        return name

    def clean_requirements(self) -> str:
        """Pinned, all of them."""
        text = str(self.cleaned_data["requirements"]).replace("\r\n", "\n")
        try:
            custom.pinned(text)
        except custom.CustomError as error:
            raise forms.ValidationError(error.message) from error
        return text

    def clean(self) -> dict[str, Any]:
        """The file wins over what was pasted."""
        found = super().clean() or {}
        upload = found.get("code_file")
        code = _text(upload) if upload else str(found.get("code") or "").replace("\r\n", "\n")
        try:
            custom.check_code(code)
        except custom.CustomError as error:
            self.add_error("code", error.message)
        return {**found, "code": code}

    def save(self) -> CustomModel:
        """Submit it."""
        given = {key: self.cleaned_data[key] for key in ("code", "requirements", "wants_network")}
        name = self.cleaned_data["name"]
        found = CustomModel.objects.filter(author=self._author, name=name).first()
        found = found or CustomModel(author=self._author, name=name)
        for key, value in (*given.items(), ("notes", self.cleaned_data["notes"])):
            setattr(found, key, value)
        found.submit()
        return found


def _text(upload: UploadedFile) -> str:
    if (upload.size or 0) > MAX_FILE_BYTES:
        raise forms.ValidationError(f"The file has more than {MAX_FILE_BYTES:,} bytes.")
    try:
        return upload.read().decode()
    except UnicodeDecodeError as error:
        raise forms.ValidationError("The file is no text in UTF-8.") from error
