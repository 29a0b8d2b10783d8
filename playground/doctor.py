"""What `manage.py doctor` finds out about this installation; the machine is in `checkup`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import WARNING, run_checks
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from inference.checkup import Finding, Level, good, machine, problem, warning
from playground import frontend

PREPARE = "Run `manage.py prepare`."
# On these SQLite's write-ahead log is not safe: it needs memory that all its users share.
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"}
MOUNTS = Path("/proc/mounts")
ANSWER_SECONDS = 3.0


def findings() -> Iterator[Finding]:
    """All of them, one after the other; a check that breaks is a problem of its own."""
    for check in (*machine(), *installation()):
        try:
            yield check()
        except Exception as error:
            name = check.__name__.replace("_", " ").capitalize()
            said = f"the check broke: {type(error).__name__}: {error}"
            yield problem(name, said[:300], "Please report this.")


def installation() -> Iterator[Callable[[], Finding]]:
    """The checks of this installation."""
    yield from (database, first_admin, libraries, static_files, address, configuration)


def database() -> Finding:
    """Whether it answers, and has the tables of this version."""
    about, connection = "Database", connections[DEFAULT_DB_ALIAS]
    kind = connection.vendor
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return problem(
            about,
            f"{kind} does not answer: {said[:200]}",
            "Start it, and see DATABASE_URL: host, port, user, password, and that the database is "
            "there.",
        )
    if missing:
        return problem(about, f"{len(missing)} migration(s) are missing", PREPARE)
    filesystem = filesystem_of(settings.LLMS_DATA) if kind == "sqlite" else ""
    if filesystem in NETWORK_FILESYSTEMS:
        return warning(
            about,
            f"SQLite on {filesystem}",
            "Put LLMS_DATA on a local disk, or use PostgreSQL (DATABASE_URL).",
        )
    return good(about, f"{kind}, up to date")


def filesystem_of(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    best = ("", "")
    for line in MOUNTS.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def first_admin() -> Finding:
    """Somebody has to be able to sign in to the admin."""
    about = "Admin"
    try:
        found = get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exists()
    except DatabaseError:
        return problem(about, "not known: see the database", PREPARE)
    return good(about, "there is one") if found else problem(about, "there is none", PREPARE)


def libraries() -> Finding:
    """The front-end libraries of the pages."""
    about = "Front-end libraries"
    if not frontend.up_to_date():
        advice = "Run `python -m playground.frontend`, then `manage.py prepare`."
        return problem(about, "missing, or of another version", advice)
    return good(about, frontend.versions())


def static_files() -> Finding:
    """What the pages load, collected and named by its content."""
    about = "Static files"
    storage: Any = staticfiles_storage
    known, _ = storage.load_manifest()
    if not known:
        return problem(about, "not collected", PREPARE)
    own = {name for root in settings.STATICFILES_DIRS for name in files(Path(root))}
    if missing := own - set(known):
        return problem(about, f"{len(missing)} are new since they were collected", PREPARE)
    return good(about, f"{len(known)} collected")


def files(root: Path) -> Iterator[str]:
    """The names of all files below a folder."""
    return (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def address() -> Finding:
    """Where it listens: free, or this very server answers there."""
    about, host, port = "Address", settings.HOST, settings.PORT
    shown = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        return good(about, f"{shown} is free")
    except OSError as error:
        taken = f"{shown}: {error.strerror or error}"
    try:
        near = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)
        asked = httpx.get(
            f"http://{near}:{port}/readyz" if near else f"{shown}/readyz", timeout=ANSWER_SECONDS
        )
        body = asked.json()
    except (httpx.HTTPError, ValueError):
        body = None
    if isinstance(body, dict) and "ready" in body:
        state = "and is ready" if body["ready"] else "and is not ready yet"
        return good(about, f"the server answers at {shown} {state}")
    return problem(about, taken, "Set HOST to an address of this machine and PORT to a free port.")


def configuration() -> Finding:
    """What Django's own checks and ours say of the settings; behind HTTPS the strict ones too."""
    about = "Settings"
    said = [
        each
        for each in run_checks(include_deployment_checks=settings.HTTPS)
        if each.level >= WARNING
    ]
    if said:
        words = "; ".join(f"{each.id}: {' '.join(each.msg.split())[:160]}" for each in said[:5])
        hints = " ".join(each.hint for each in said[:5] if each.hint)
        return warning(about, words, hints or "See docs/operations.md.")
    return good(about, f"AUTH_MODE={settings.AUTH_MODE}, nothing to complain of")


def worst(found: list[Finding]) -> Level:
    """How bad all of it is together."""
    order = list(Level)
    return max((each.level for each in found), key=order.index, default=Level.OK)
