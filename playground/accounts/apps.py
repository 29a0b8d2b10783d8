"""People and their keys."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The app's name in the admin."""

    name = "playground.accounts"
    verbose_name = "Keys, groups and usage"
    default_auto_field = "django.db.models.BigAutoField"
