"""`manage.py prepare`: everything between the installation and the first request."""

from __future__ import annotations

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from playground.storage import collect_static_files


class Command(BaseCommand):
    """Migrate, collect static files, make the first admin. A second run changes nothing."""

    help = "Migrate, collect static files, make the first admin. A second run changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Each step is quiet when there is nothing to do."""
        call_command("migrate", verbosity=0, interactive=False)
        collect_static_files()
        self._make_first_admin()

    def _make_first_admin(self) -> None:
        people = get_user_model()._default_manager
        if people.filter(is_superuser=True).exists():
            return
        name = os.environ.get("DJANGO_SUPERUSER_USERNAME") or "admin"
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        password = given or secrets.token_urlsafe(12)
        people.create_superuser(name, os.environ.get("DJANGO_SUPERUSER_EMAIL", ""), password)
        shown = "the one in DJANGO_SUPERUSER_PASSWORD" if given else password
        self.stdout.write(f"First admin: {name}, password: {shown} (shown only now)")
