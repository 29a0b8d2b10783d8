"""Requests of users for models: staff add them, or say why not."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .models import ModelRequest


@admin.register(ModelRequest)
class ModelRequestAdmin(admin.ModelAdmin):
    """Whoever asks sees the answer. What is in the catalogue by now says so by itself."""

    list_display = ("model_id", "person", "asked", "verdict", "reason", "state", "act")
    list_filter = ("state", "fits")
    search_fields = ("model_id", "person__username", "reason")
    readonly_fields = ("model_id", "person", "created", "reason", "fits", "verdict", "act")
    fields = (*readonly_fields, "state", "answer")
    actions = ("decline",)
    list_select_related = ("person",)

    class Media:
        css = {"all": ("admin_models.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description="Decline the chosen requests")
    def decline(self, request: HttpRequest, rows: QuerySet[ModelRequest]) -> None:
        """An answer in words is written on the page of each."""
        for row in rows:
            row.state = ModelRequest.State.DECLINED
            row.save(update_fields=["state"])
            self.log_change(request, row, "declined")

    @admin.display(description="Asked", ordering="created")
    def asked(self, row: ModelRequest) -> str:
        """The day alone: the list has little room."""
        return date_format(timezone.localtime(row.created), "j M Y")

    @admin.display(description="Add")
    def act(self, row: ModelRequest) -> SafeString:
        """A link to the page that adds it, or to its card."""
        if row.is_there:
            address = reverse("admin:inference_cataloguerow_change", args=[quote(row.model_id)])
            return format_html('<a href="{}">in the catalogue</a>', address)
        address = reverse("admin:inference_cataloguerow_find")
        return format_html('<a href="{}?{}">add it</a>', address, urlencode({"id": row.model_id}))
