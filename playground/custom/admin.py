"""Staff see code, requirements, hash and author, and decide once."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from . import approval
from .models import CustomModel

DECISIONS: dict[str, tuple[str, Callable[[CustomModel, str, User], bool]]] = {
    "approve": ("Approve this code", approval.approve),
    "refuse": ("Refuse it", approval.refuse),
}


@admin.register(CustomModel)
class CustomModelAdmin(admin.ModelAdmin):
    """Nothing of it can be edited: what is approved is what the author wrote."""

    list_display = ("model_id", "author", "state", "submitted", "decided_by", "decided")
    list_filter = ("state",)
    search_fields = ("name", "author__username", "digest")
    fieldsets = (
        (None, {"fields": ("model_id", "author", "state", "submitted", "notes")}),
        ("What it is", {"fields": ("hash", "shown_code", "shown_requirements", "wants_network")}),
        ("Decision", {"fields": ("decide", "decided_by", "decided", "problem", "shown_trace")}),
        ("In service", {"fields": ("approved_digest", "shown_error")}),
    )

    class Media:
        css = {"all": ("admin_models.css",)}

    def get_readonly_fields(
        self, request: HttpRequest, obj: CustomModel | None = None
    ) -> tuple[str, ...]:
        return tuple(str(name) for _, rest in self.fieldsets for name in rest["fields"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """The two buttons' address, beside Django's own."""
        view = self.admin_site.admin_view(self.decide_view)
        address = "<int:pk>/<str:decision>/<str:digest>/"
        return [path(address, view, name="custom_custommodel_decide"), *super().get_urls()]

    def decide_view(
        self, request: HttpRequest, pk: int, decision: str, digest: str
    ) -> HttpResponse:
        """Approve or refuse the code with this hash: the one that was on the page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if decision not in DECISIONS or not self.has_change_permission(request):
            raise PermissionDenied
        model = get_object_or_404(CustomModel, pk=pk)
        assert isinstance(request.user, User)
        if DECISIONS[decision][1](model, digest, request.user):
            self._log(request, model, f"{decision}d the code {digest}")
            messages.success(request, f"{model}: {decision}d.")
        else:
            messages.error(request, f"{model} was changed meanwhile: look again.")
        return redirect(reverse("admin:custom_custommodel_change", args=[pk]))

    def _log(self, request: HttpRequest, model: CustomModel, words: str) -> None:
        LogEntry.objects.create(
            user_id=request.user.pk or 0,
            content_type=ContentType.objects.get_for_model(CustomModel),
            object_id=str(model.pk),
            object_repr=str(model),
            action_flag=CHANGE,
            change_message=words,
        )

    @admin.display(description="Hash (SHA-256)")
    def hash(self, model: CustomModel) -> SafeString:
        """What is approved."""
        return format_html("<code>{}</code>", model.digest)

    @admin.display(description="Code")
    def shown_code(self, model: CustomModel) -> SafeString:
        """As the author wrote it."""
        return _pre(model.code)

    @admin.display(description="Requirements")
    def shown_requirements(self, model: CustomModel) -> SafeString:
        """As the author wrote them."""
        return _pre(model.requirements)

    @admin.display(description="What went wrong while it was built")
    def shown_trace(self, model: CustomModel) -> SafeString:
        """For the author and staff."""
        return _pre(model.trace)

    @admin.display(description="Last error")
    def shown_error(self, model: CustomModel) -> SafeString:
        """For the author and staff."""
        return _pre(model.last_error)

    @admin.display(description="Decide")
    def decide(self, model: CustomModel) -> SafeString:
        """The buttons. They belong to the page's own form, which carries the token."""
        made = [
            format_html(
                '<button class="button" formmethod="post" formaction="{}">{}</button>',
                reverse("admin:custom_custommodel_decide", args=[model.pk, decision, model.digest]),
                label,
            )
            for decision, (label, _) in DECISIONS.items()
        ]
        return format_html("{} {}", *made)


def _pre(text: str) -> SafeString:
    return format_html('<pre class="llms-code">{}</pre>', text or "–")
