"""Models that people submit as code."""

from django.apps import AppConfig


class CustomConfig(AppConfig):
    """Submissions and their approval."""

    name = "playground.custom"
    verbose_name = "Custom models"
