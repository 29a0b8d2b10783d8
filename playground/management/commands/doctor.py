"""`manage.py doctor`: what keeps this server from working, and what to do about it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from inference.checkup import Finding, Level
from playground.doctor import findings, worst

MARKS = {Level.OK: "ok      ", Level.WARNING: "warning ", Level.PROBLEM: "PROBLEM "}


class Command(BaseCommand):
    """Look at the machine and the installation. Exit code 1 where there is a problem."""

    help = (
        "Look at GPU, driver, memory, disk, hub, database, jail, limits and settings, and say what "
        "to do. Exit code 1 where there is a problem; warnings alone are 0."
    )
    # It tells what they say, and what is wrong with the database, by itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Text for people, or JSON."""
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Tell each finding as soon as it is there."""
        found = []
        for each in findings():
            found.append(each)
            self.stdout.write(_line(each) if json else self._words(each))
            self.stdout.flush()
        if worst(found) is Level.PROBLEM:
            sys.exit(1)

    def _words(self, found: Finding) -> str:
        style = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.PROBLEM: self.style.ERROR,
        }[found.level]
        line = f"{style(MARKS[found.level])} {found.about}: {found.found}"
        return f"{line}\n          → {found.advice}" if found.advice else line


def _line(found: Finding) -> str:
    return json.dumps(asdict(found))
