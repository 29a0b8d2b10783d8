"""`manage.py serve`: the whole service in one process, with its engines as children."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from playground.server import run


class Command(BaseCommand):
    """Serve pages, websockets and the API until SIGTERM or Ctrl-C."""

    help = "Serve pages, websockets and the API until SIGTERM or Ctrl-C; exit code 0 after a drain."

    def add_arguments(self, parser: CommandParser) -> None:
        """The port; HOST and PORT come from the environment otherwise."""
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        """Check, then serve; returns when the server has stopped."""
        self.check()
        run(settings.HOST, port)
