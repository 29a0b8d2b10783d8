"""The catalogue's admin page: each model's live state, and Preload, Pin and Unload."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from inference.errors import ModelNotFound
from inference.models import CatalogueRow
from inference.service import get_service
from inference.status import ModelStatus
from inference.switch_page import tables

# What each button writes, and what it says.
ASKS = {"preload": "Preload", "pin": "Pin", "unload": "Unload"}


@admin.register(CatalogueRow)
class CatalogueRowAdmin(admin.ModelAdmin):
    """Cards, with what their models are doing in this server."""

    list_display = ("id", "state", "load", "placement", "wish", "buttons", "is_default")
    list_filter = ("wish", "engine", "task", "found")
    search_fields = ("id", "source", "notes")
    actions = ("preload", "pin", "unload")
    readonly_fields = ("state", "load", "placement", "found", "created", "changed")
    fieldsets = (
        (None, {"fields": ("id", "source", "revision", "aliases", "task", "notes", "licence")}),
        ("Now", {"fields": ("state", "load", "placement", "wish", "is_default")}),
        (
            "Running it",
            {
                "fields": (
                    ("engine", "dtype", "quantization"),
                    ("max_model_len", "max_num_seqs", "replicas", "slice"),
                    ("tool_parser", "reasoning_parser"),
                    "engine_args",
                    "rungs",
                    "trust_remote_code",
                )
            },
        ),
        ("History", {"fields": ("found", "created", "changed")}),
    )

    class Media:
        css = {"all": ("admin_models.css",)}

    def get_readonly_fields(
        self, request: HttpRequest, obj: CatalogueRow | None = None
    ) -> tuple[str, ...]:
        """The id of a card is its name in every client's script: it does not change."""
        fixed = tuple(self.readonly_fields)
        return ("id", *fixed) if obj is not None else fixed

    def get_urls(self) -> list[URLPattern]:
        """The buttons' address, and the page of switches, beside Django's own."""
        view = self.admin_site.admin_view
        name = "inference_cataloguerow_"
        return [
            path("<path:pk>/ask/<str:wish>", view(self.ask_view), name=f"{name}ask"),
            path("switches/", view(self.switches_view), name=f"{name}switches"),
            *super().get_urls(),
        ]

    def switches_view(self, request: HttpRequest) -> HttpResponse:
        """What loading, draining, sleeping, waking and unloading took, in this server."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            **tables(get_service().models()),
            "opts": self.opts,
            "title": "Switches",
        }
        return TemplateResponse(request, "admin/inference/switches.html", context)

    def ask_view(self, request: HttpRequest, pk: str, wish: str) -> HttpResponse:
        """Write one model's wish; the server follows within RECONCILE_SECONDS."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if wish not in ASKS or not self.has_change_permission(request):
            raise PermissionDenied
        self._ask(request, get_object_or_404(CatalogueRow, id=pk), wish)
        return redirect(reverse("admin:inference_cataloguerow_changelist"))

    @admin.action(description="Preload: load once, may be evicted")
    def preload(self, request: HttpRequest, rows: QuerySet[CatalogueRow]) -> None:
        """Preload every chosen model."""
        self._ask_all(request, rows, "preload")

    @admin.action(description="Pin: always resident")
    def pin(self, request: HttpRequest, rows: QuerySet[CatalogueRow]) -> None:
        """Pin every chosen model."""
        self._ask_all(request, rows, "pin")

    @admin.action(description="Unload: finish running answers, then free the memory")
    def unload(self, request: HttpRequest, rows: QuerySet[CatalogueRow]) -> None:
        """Unload every chosen model."""
        self._ask_all(request, rows, "unload")

    @admin.display(description="State")
    def state(self, row: CatalogueRow) -> SafeString:
        """What the model is doing now, in this server."""
        status = _status(row)
        if status is None:
            return format_html('<span class="llms-state">{}</span>', "not yet known")
        if (download := status.download) is not None:
            return format_html(
                '<progress value="{}" max="{}"></progress> <span class="llms-state">{}</span>',
                download.bytes,
                download.total_bytes,
                status.detail,
            )
        text = f"{status.state}: {status.detail}" if status.detail else status.state
        return format_html('<span class="llms-state llms-{}">{}</span>', status.state, text)

    @admin.display(description="Running / waiting")
    def load(self, row: CatalogueRow) -> str:
        """How many requests run on it and wait for it."""
        status = _status(row)
        return f"{status.running} / {status.waiting}" if status else "–"

    @admin.display(description="Fits")
    def placement(self, row: CatalogueRow) -> SafeString | str:
        """The rung of the ladder, how quick it is thought to be, and what that costs."""
        status = _status(row)
        place = status.place if status else None
        if place is None:
            return "–"
        speed = place.tokens_per_second
        rate = "" if speed is None else f", about {speed:.3g} tokens/s"
        said = f"{place.rung} ({place.engine}, {place.devices} device(s){rate})"
        return format_html('<span title="{}">{}</span>', place.quality, said)

    @admin.display(description="Ask")
    def buttons(self, row: CatalogueRow) -> SafeString:
        """One button per wish. They belong to the list's own form, which carries the token."""
        made = [
            format_html(
                '<button class="button" formmethod="post" formaction="{}">{}</button>',
                reverse("admin:inference_cataloguerow_ask", args=[row.id, wish]),
                label,
            )
            for wish, label in ASKS.items()
        ]
        return format_html("{} {} {}", *made)

    def _ask_all(self, request: HttpRequest, rows: QuerySet[CatalogueRow], wish: str) -> None:
        for row in rows:
            self._ask(request, row, wish)

    def _ask(self, request: HttpRequest, row: CatalogueRow, wish: str) -> None:
        row.ask(wish)
        LogEntry.objects.create(
            user_id=request.user.pk or 0,
            content_type=ContentType.objects.get_for_model(CatalogueRow),
            object_id=row.id,
            object_repr=row.id,
            action_flag=CHANGE,
            change_message=f"asked to {wish}",
        )
        messages.success(request, f"{row.id}: asked to {wish}.")


def _status(row: CatalogueRow) -> ModelStatus | None:
    try:
        return get_service().model_status(row.id)
    except ModelNotFound:
        return None
