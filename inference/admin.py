"""The catalogue's admin: what models are doing, and everything that staff may ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from inference.admin_form import CardForm, FindForm, ImportForm, verdicts
from inference.catalogue import CardError
from inference.errors import InferenceError, ModelNotFound
from inference.examining import Fit
from inference.models import CatalogueRow
from inference.service import get_service
from inference.status import ModelStatus, in_figures
from inference.switch_page import tables

# Each button, and what it does.
ASKS = {
    "preload": ("Preload", "Load it now; it may be evicted"),
    "pin": ("Pin", "Load it now, and keep it loaded"),
    "unload": ("Unload", "Finish running answers, then free the memory"),
    "reload": ("Reload", "Finish running answers, then load it anew, with its card as it is now"),
    "drain": ("Drain", "Finish what runs and waits, and take nothing new"),
}
OPEN = "admin:inference_cataloguerow_"


@admin.register(CatalogueRow)
class CatalogueRowAdmin(admin.ModelAdmin):
    """Cards, with what their models are doing in this server."""

    form = CardForm
    list_display = ("id", "state", "load", "runs", "wish", "buttons")
    # Only what there is: there are more tasks than most catalogues have cards.
    list_filter = (
        "wish",
        ("engine", admin.AllValuesFieldListFilter),
        ("task", admin.AllValuesFieldListFilter),
        "found",
    )
    search_fields = ("id", "source", "notes")
    list_per_page = 50
    actions = tuple(ASKS)
    readonly_fields = ("found", "created", "changed")
    fieldsets = (
        (None, {"fields": ("id", "source", "revision", "aliases", "task", "notes", "licence")}),
        ("Wish", {"fields": ("wish", "is_default")}),
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
    change_form_template = "admin/inference/cataloguerow/change_form.html"

    class Media:
        css = {"all": ("admin_models.css",)}

    def get_readonly_fields(
        self, request: HttpRequest, obj: CatalogueRow | None = None
    ) -> tuple[str, ...]:
        """The id of a card is its name in every client's script: it does not change."""
        fixed = tuple(self.readonly_fields)
        return ("id", *fixed) if obj is not None else fixed

    # --- pages -----------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Pages of all models, and the buttons' address, beside Django's own."""
        pages = (
            ("live/", self.live_view, "live"),
            ("find/", self.find_view, "find"),
            ("import/", self.import_view, "import"),
            ("export/", self.export_view, "export"),
            ("switches/", self.switches_view, "switches"),
            ("<path:pk>/ask/<str:what>", self.ask_view, "ask"),
        )
        view, start = self.admin_site.admin_view, "inference_cataloguerow_"
        return [
            *(path(where, view(found), name=start + name) for where, found, name in pages),
            *super().get_urls(),
        ]

    def _page(self, request: HttpRequest, name: str, title: str, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "asks": _labels(),
            "may_change": self.has_change_permission(request),
            **more,
        }
        return TemplateResponse(request, f"admin/inference/{name}.html", context)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """What is loaded where, what comes next, and what happened; its script keeps it so."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, "live", "Live")

    def switches_view(self, request: HttpRequest) -> HttpResponse:
        """What loading, draining, sleeping, waking and unloading took, in this server."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, "switches", "Switches", **tables(get_service().switches()))

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Add a model by its id on the Hub; whether it fits is said before anything is fetched."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = FindForm(request.POST or None, initial={"id": request.GET.get("id", "")})
        fit = None
        if request.method == "POST" and form.is_valid():
            try:
                fit = async_to_sync(get_service().propose)(form.cleaned_data["id"])
            except CardError as error:
                form.add_error("id", str(error))
            except InferenceError as error:
                form.add_error("id", error.message)
        if fit is not None and "add" in request.POST:
            return self._add(request, fit, form.cleaned_data["wish"])
        return self._page(request, "find", "Add from the Hub", form=form, fit=fit)

    def _add(self, request: HttpRequest, fit: Fit, wish: str) -> HttpResponse:
        row = CatalogueRow.from_card(fit.card)
        row.wish = wish
        row.full_clean()
        row.save(force_insert=True)
        words = f"added from the Hub, wish {wish}"
        LogEntry.objects.log_actions(request.user.pk or 0, [row], ADDITION, words)
        messages.success(request, f"{row.id} is in the catalogue.")
        return redirect(reverse(f"{OPEN}change", args=[quote(row.pk)]))

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Add and change cards by a file: all of them, or none where one is wrong."""
        if not (self.has_add_permission(request) and self.has_change_permission(request)):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                by, text = request.user.pk or 0, form.cleaned_data["text"]
                done = CatalogueRow.objects.from_toml(text, by, verdicts)
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(request, f"{done.added} added, {done.changed} changed.")
                for words in done.warnings:
                    messages.warning(request, words)
                return redirect(reverse(f"{OPEN}changelist"))
        return self._page(request, "import", "Import", form=form)

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Every card, as the import takes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            text = CatalogueRow.objects.to_toml()
        except CardError as error:
            messages.error(request, str(error))
            return redirect(reverse(f"{OPEN}changelist"))
        response = HttpResponse(text, content_type="application/toml; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="catalogue.toml"'
        return response

    def ask_view(self, request: HttpRequest, pk: str, what: str) -> HttpResponse:
        """Ask one thing of one model; the server follows within RECONCILE_SECONDS."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if what not in ASKS or not self.has_change_permission(request):
            raise PermissionDenied
        try:
            self._ask(request, pk, what)
        except ModelNotFound as error:
            raise Http404 from error
        page = request.GET.get("from", "")
        if page == "change":
            return redirect(reverse(f"{OPEN}change", args=[quote(pk)]))
        return redirect(reverse(f"{OPEN}{'live' if page == 'live' else 'changelist'}"))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, below what the model is doing."""
        more = {"asks": _labels(), "may_change": self.has_change_permission(request)}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def save_model(
        self, request: HttpRequest, obj: CatalogueRow, form: ModelForm, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if isinstance(form, CardForm) and form.warning:
            messages.warning(request, form.warning)
        status = _status(obj) if change else None
        if status and status.state == "ready" and isinstance(form, CardForm) and form.decides:
            messages.info(request, "The copy that is loaded stays as it was until it is reloaded.")

    # --- what staff ask --------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each of ASKS for all chosen models, beside Django's own."""
        found = super().get_actions(request)
        if not self.has_change_permission(request):
            return {name: each for name, each in found.items() if name not in ASKS}
        return found

    def get_action(self, action: Callable[..., Any] | str) -> tuple[Any, str, str] | None:
        """Actions are named in ASKS, and all do the same."""
        if action not in ASKS:
            return super().get_action(action)
        what = str(action)
        label, words = ASKS[what]

        def ask_all(
            own: CatalogueRowAdmin, request: HttpRequest, rows: QuerySet[CatalogueRow]
        ) -> None:
            for row in rows:
                own._ask(request, row.pk, what)

        return ask_all, what, f"{label}: {words[0].lower()}{words[1:]}"

    def _ask(self, request: HttpRequest, pk: str, what: str) -> None:
        row = CatalogueRow.objects.ask(pk, what, request.user.pk or 0)
        messages.success(request, f"Asked to {what} {row.id}.")

    # --- columns ---------------------------------------------------------------------------------

    @admin.display(description="State")
    def state(self, row: CatalogueRow) -> SafeString:
        """What the model is doing now, in this server; the page's script keeps it up to date."""
        status = _status(row)
        if status is None:
            said, state = "not yet known", ""
        else:
            said, state = status.detail or status.state, status.state
            said = f"{state}: {said}" if state == "failed" else said
        done = status.progress if status else None
        bar = (
            ""
            if done is None
            else format_html('<progress value="{}" max="1"></progress>', f"{done:.3g}")
        )
        return format_html(
            '<span class="llms-live" data-model="{}" data-show="state">'
            '<span class="llms-state llms-{}">{}</span>{}</span>',
            row.id,
            state,
            said,
            bar,
        )

    @admin.display(description="Running / waiting")
    def load(self, row: CatalogueRow) -> SafeString:
        """How many requests run on it and wait for it."""
        status = _status(row)
        said = f"{status.running} / {status.waiting}" if status else "–"
        return format_html('<span data-model="{}" data-show="load">{}</span>', row.id, said)

    @admin.display(description="Runs")
    def runs(self, row: CatalogueRow) -> SafeString | str:
        """Its rung of the ladder, and how quick it is: as measured here, else as thought."""
        status = _status(row)
        place = status.place if status else None
        if status is None or place is None:
            return "–"
        on = "" if place.devices == 1 else f", {place.devices} devices"
        words = [f"{place.rung} ({place.engine}{on})"]
        if status.tokens_per_second:
            words.append(f"{in_figures(status.tokens_per_second)} tokens/s")
        elif place.tokens_per_second:
            words.append(f"about {in_figures(place.tokens_per_second)} tokens/s")
        if status.load_seconds is not None:
            words.append(f"load {status.load_seconds:.1f} s")
        return format_html('<span title="{}">{}</span>', place.quality, ", ".join(words))

    @admin.display(description="Ask")
    def buttons(self, row: CatalogueRow) -> SafeString:
        """One button each. They belong to the list's own form, which carries the token."""
        made = format_html_join(
            " ",
            '<button class="button" formmethod="post" formaction="{}" title="{}">{}</button>',
            (
                (reverse(f"{OPEN}ask", args=[row.id, what]), words, label)
                for what, (label, words) in ASKS.items()
                if what in ("preload", "pin", "unload")
            ),
        )
        return format_html('<span class="llms-asks">{}</span>', made)


def _labels() -> list[dict[str, str]]:
    return [{"what": what, "label": label, "words": words} for what, (label, words) in ASKS.items()]


def _status(row: CatalogueRow) -> ModelStatus | None:
    try:
        return get_service().model_status(row.id)
    except ModelNotFound:
        return None
