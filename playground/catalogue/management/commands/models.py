"""`manage.py models list|add|preload|pin|unload|reload|drain|test|export|import`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from inference import CardError, ModelCard, Verdict
from inference.errors import ModelNotFound
from inference.models import CatalogueRow, Imported
from playground.accounts.audit import SHELL, operator
from playground.catalogue.door import Away, Door, Refused
from playground.catalogue.progress import Progress

LOOK_EVERY = 0.5
ASKED = {
    "preload": "load it now; it may be evicted",
    "pin": "load it now, and keep it loaded",
    "unload": "finish running answers, then free the memory",
    "reload": "finish running answers, then load it anew",
    "drain": "finish what runs and waits, and take nothing new",
}
GONE = ("unloaded", "closed")


class Command(BaseCommand):
    """See what models do, and ask things of them."""

    help = "See what models do; add, load, unload and test them; the catalogue as TOML."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand each."""
        parser.add_argument("--port", type=int, default=settings.PORT, help="the server's port")
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("list", help="every model and how it is doing")
        add = acts.add_parser("add", help="add a model of the Hub, if it fits")
        add.add_argument("model", help="its id on the Hub")
        add.add_argument("--wish", choices=("none", "preload", "pin"), default="none")
        for name, words in ASKED.items():
            ask = acts.add_parser(name, help=words)
            ask.add_argument("model", help="an id of the catalogue")
            ask.add_argument("--no-wait", action="store_true", help="do not wait for the server")
        test = acts.add_parser("test", help="ask it something short")
        test.add_argument("model", help="an id of the catalogue")
        test.add_argument("prompt", nargs="?", default="Hello")
        write = acts.add_parser("export", help="print every card as TOML")
        write.add_argument("file", nargs="?", type=Path, help="write it there instead")
        read = acts.add_parser("import", help="add and change cards: all of a file, or none")
        read.add_argument("file", type=Path)

    def handle(self, *args: Any, act: str, port: int, **options: Any) -> None:
        """Do it, or say in one line why not."""
        if CatalogueRow._meta.db_table not in connection.introspection.table_names():
            raise CommandError("There is no database yet: `manage.py prepare` makes it.")
        self._by = operator()
        self._door = Door(self._by.get_username().removeprefix(SHELL), port)
        try:
            if act in ASKED:
                self._ask(act, options["model"], not options["no_wait"])
            else:
                getattr(self, f"do_{act}")(**options)
        except (Refused, CardError) as error:
            raise CommandError(str(error)) from None
        except ModelNotFound as error:
            raise CommandError(error.message) from None
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        except Away as error:
            raise CommandError(
                f"No server answers at {error}. Start it, or name its port with --port."
            ) from None

    def do_list(self, **options: Any) -> None:
        """A line each; without a server, what is wished for."""
        try:
            live = {each["id"]: each for each in self._door.live()["models"]}
            otherwise = "unloaded"
        except Away:
            live, otherwise = {}, "the server does not run"
        for row in CatalogueRow.objects.all():
            now = live.get(row.id)
            state = otherwise if now is None else now["state"]
            detail = now["detail"] if now else ""
            load = f"{now['running']}/{now['waiting']}" if now else "–"
            rate = now and now["tokens_per_second"]
            speed = f"{rate:g} tokens/s" if rate else "–"
            words = (row.id, row.task, f"wish {row.wish}", state, load, speed, detail)
            self.stdout.write("\t".join(words).rstrip("\t"))

    def do_add(self, model: str, wish: str, **options: Any) -> None:
        """Look at it first; nothing is fetched before it is in the catalogue."""
        found = self._door.fit(model)
        best = found["ways"][0]
        size, fetch = found["weight_bytes"] / 2**30, found["fetch_bytes"] / 2**30
        self.stdout.write(
            f"{found['id']}: {found['task']} under {best['engine']}, {size:.2f} GiB of weights, "
            f"{fetch:.2f} GiB to fetch, {best['rung']} on {best['devices']} device(s). "
            f"{best['quality']}"
        )
        self._import(found["card"])
        self.stdout.write(f"{found['id']} is in the catalogue.")
        if wish != "none":
            self._ask(wish, found["id"], wait=True)

    def do_test(self, model: str, prompt: str, **options: Any) -> None:
        """Its answer, and what that took."""
        progress = Progress(sys.stderr)
        for name, said in self._door.test(model, prompt):
            if name == "waiting":
                stage = said.get("detail") or said.get("stage") or "answering"
                progress.show({**said, "id": model, "state": stage, "detail": stage})
            elif name == "error":
                progress.end()
                raise CommandError(said["error"]["message"])
            else:
                progress.end()
                self.stdout.write(said["text"])
                self.stdout.write(
                    f"{said['tokens']} tokens in {said['seconds']} s "
                    f"({said['tokens_per_second']} tokens/s), waited {said['queue_seconds']} s"
                )

    def do_export(self, file: Path | None, **options: Any) -> None:
        """As `import` takes it."""
        text = CatalogueRow.objects.to_toml()
        if file is None:
            self.stdout.write(text, ending="")
        else:
            file.write_text(text)

    def do_import(self, file: Path, **options: Any) -> None:
        """New ids are added; of known ones the fields change that are named."""
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from None
        done = self._import(text)
        self.stdout.write(f"{done.added} added, {done.changed} changed.")

    def _import(self, text: str) -> Imported:
        done = CatalogueRow.objects.from_toml(text, self._by.pk, self._verdicts)
        for words in done.warnings:
            self.stderr.write(words)
        return done

    def _verdicts(self, cards: Sequence[ModelCard]) -> list[Verdict]:
        """The server's, which knows the hardware."""
        try:
            return self._door.verdicts(cards)
        except Away:
            unseen = "The server does not run. Whether it fits is seen when it is loaded."
            return [Verdict(words=unseen) for _ in cards]

    # --- asking, and waiting for it --------------------------------------------------------------

    def _ask(self, what: str, model: str, wait: bool) -> None:
        try:
            began = self._door.live()["now"] if wait else None
        except Away:
            began = None
        row = CatalogueRow.objects.ask(model, what, self._by.pk)
        if began is None:
            rest = "" if not wait else " The server does not run; it follows when it starts."
            self.stdout.write(f"{model}: asked to {what}.{rest}")
            return
        self._follow(what, row, began)

    def _follow(self, what: str, row: CatalogueRow, began: float) -> None:
        progress = Progress(sys.stderr)
        try:
            while True:
                live = self._door.live(row.id)
                one = live.get("one")
                if one is not None and one["wish"] == row.wish:
                    progress.show(one)
                    if self._is_done(what, one, live["events"], began):
                        break
                time.sleep(LOOK_EVERY)
        finally:
            progress.end()
        self.stdout.write(f"{row.id}: {one['state']}.")

    def _is_done(
        self, what: str, one: dict[str, Any], events: list[dict[str, Any]], began: float
    ) -> bool:
        """Whether it came to what was asked for. Raises Refused where it did not."""
        new = [e for e in events if e["model"] == one["id"] and e["ended"] > began]
        if what in ("unload", "drain"):
            return one["state"] in GONE
        if one["state"] == "failed":
            raise Refused(f"{one['id']} did not load: {one['detail']}")
        loaded = any(each["kind"] in ("load", "wake") and not each["why"] for each in new)
        return one["state"] == "ready" and (what != "reload" or loaded)
