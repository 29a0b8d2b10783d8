"""Keys, groups, limits and usage in the admin, and the log of what staff did there."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from . import privacy
from .identity import user_account
from .models import ApiKey, Group, Invitation, Membership, Quota, UsageRecord


class LookedAt(admin.ModelAdmin):
    """Rows that nobody changes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """The text of a key appears in one message after it was made, and nowhere else."""

    list_display = ("name", "owner", "group", "key", "created", "expires", "revoked")
    list_filter = ("group",)
    search_fields = ("name", "owner__username", "group__name", "last_four")
    autocomplete_fields = ("owner",)
    fields = ("owner", "group", "name", "allowed_models", "expires", "revoked")
    actions = ("revoke",)

    @admin.display(description="Key")
    def key(self, key: ApiKey) -> SafeString:
        """In one line."""
        return format_html('<span class="nowrap">{}</span>', key.shown)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        text = obj.draw()
        super().save_model(request, obj, form, change)
        messages.success(request, f"The new key, shown only this once: {text}")

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Takes effect within five seconds in every process."""
        chosen = list(queryset.filter(revoked=None))
        for key in chosen:
            key.revoke()
            self.log_change(request, key, "revoked")
        messages.success(request, f"{len(chosen)} revoked.")


class GroupQuotas(admin.TabularInline):
    """A group's limits: one row for each member, one for all together."""

    model = Quota
    exclude = ("person",)
    max_num = 2
    extra = 0


class Members(admin.TabularInline):
    """Who is in a group."""

    model = Membership
    autocomplete_fields = ("user",)
    extra = 0


@admin.register(Group)
class GroupAdmin(admin.ModelAdmin):
    """Groups with their members and limits."""

    list_display = ("name", "weight", "allowed_models", "is_default")
    search_fields = ("name",)
    fields = ("name", "weight", "allowed_models", "is_default")
    inlines = (GroupQuotas, Members)


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):
    """Sign-up links. Like a key, a link is shown once."""

    list_display = ("group", "created", "expires", "used", "places")
    list_filter = ("group",)
    fields = ("group", "expires", "places")

    def save_model(
        self, request: HttpRequest, obj: Invitation, form: ModelForm, change: bool
    ) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        token = obj.draw()
        super().save_model(request, obj, form, change)
        link = request.build_absolute_uri(reverse("join", args=[token]))
        messages.success(request, format_html("The link, shown only this once: {}", link))


class PersonalQuotaForm(ModelForm):
    """Whom it is for is not asked: here it is a person, who has to be named."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.scope = Quota.Scope.PERSON
        self.fields["person"].required = True


@admin.register(Quota)
class QuotaAdmin(admin.ModelAdmin):
    """Limits of single persons; those of groups stand with the groups."""

    list_display = ("person", *Quota.FIELDS)
    search_fields = ("person__username",)
    autocomplete_fields = ("person",)
    fields = ("person", *Quota.FIELDS)
    form = PersonalQuotaForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quota]:
        return super().get_queryset(request).exclude(person=None)


@admin.register(UsageRecord)
class UsageRecordAdmin(LookedAt):
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
        "device_seconds",
        "outcome",
    )
    list_filter = ("outcome", "kind")
    search_fields = ("=account", "=model")
    date_hierarchy = "when"
    # Counting a table of millions for every page would take longer than the page.
    show_full_result_count = False


admin.site.unregister(User)


@admin.register(User)
class PersonAdmin(UserAdmin):
    """Whoever is deleted here is forgotten as if they had done it themselves."""

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """With an entry in the log that does not name them."""
        for person in list(queryset):
            gone = User(pk=person.pk, username=user_account(person.pk))
            privacy.forget(person)
            LogEntry.objects.log_actions(request.user.pk or 0, [gone], DELETION, "with all data")


@admin.register(LogEntry)
class LogEntryAdmin(LookedAt):
    """Who of the staff changed what, and when: here, or on the shell (`shell:NAME`)."""

    list_display = ("action_time", "user", "kind", "object_repr", "what")
    list_filter = ("action_flag", ("content_type", admin.RelatedOnlyFieldListFilter))
    search_fields = ("user__username", "object_repr", "change_message")
    date_hierarchy = "action_time"
    list_select_related = ("user", "content_type")

    @admin.display(description="Kind")
    def kind(self, entry: LogEntry) -> str:
        """Of thing, without the name of its app."""
        return str(entry.content_type.name) if entry.content_type else "-"

    @admin.display(description="What")
    def what(self, entry: LogEntry) -> str:
        """With what was set, where that is known."""
        done: str = entry.get_action_flag_display()
        return f"{done}: {entry.get_change_message()}" if entry.change_message else done
