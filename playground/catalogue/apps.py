"""The pages and commands by which staff keep the catalogue, and what users ask them for."""

from django.apps import AppConfig


class CatalogueConfig(AppConfig):
    """The catalogue's admin, and requests for models."""

    name = "playground.catalogue"
    verbose_name = "Catalogue"
