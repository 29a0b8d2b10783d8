"""App configuration of `inference`."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class InferenceConfig(AppConfig):
    """The models' side of the project."""

    name = "inference"
    verbose_name = "Models"

    def ready(self) -> None:
        """After each migrate, shipped cards fill the rows that are missing."""
        post_migrate.connect(fill_missing_rows, sender=self)


def fill_missing_rows(sender: AppConfig, using: str, **kwargs: Any) -> None:
    """Add a row for each shipped card that has none; rows that exist are the truth and stay."""
    from inference.models import CatalogueRow

    CatalogueRow.objects.db_manager(using).fill_missing()
