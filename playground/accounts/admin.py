"""Keys in the admin: made here, shown once, revoked here. Usage records are only looked at."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from .models import ApiKey, UsageRecord


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """The text of a key appears in one message after it was made, and nowhere else."""

    list_display = ("name", "owner", "shown", "created", "expires", "revoked")
    list_filter = ("owner",)
    search_fields = ("name", "owner__username", "last_four")
    fields = ("owner", "name", "expires", "revoked")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        text = obj.draw()
        super().save_model(request, obj, form, change)
        messages.success(request, f"The new key, shown only this once: {text}")

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Takes effect within five seconds in every process."""
        count = queryset.filter(revoked=None).update(revoked=timezone.now())
        messages.success(request, f"{count} revoked.")


@admin.register(UsageRecord)
class UsageRecordAdmin(admin.ModelAdmin):
    """What requests cost, the newest first. Nobody changes what was measured."""

    list_display = (
        "when",
        "account",
        "key_id",
        "model",
        "kind",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "queue_seconds",
        "outcome",
    )
    list_filter = ("outcome", "kind")
    search_fields = ("=account", "=model")
    date_hierarchy = "when"
    # Counting a table of millions for every page would take longer than the page.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        return False
