"""The lines of docs/operations.md that back up and restore, run on a server that goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.api.asking import TEXT
from tests.api.test_keys import make_key
from tests.conftest import MakeServer
from tests.servers import ROOT, RunningServer, wait_until
from tests.test_docs import blocks
from tests.usage import rows

pytestmark = pytest.mark.database
PAGE = ROOT / "docs" / "operations.md"


def lines(title: str) -> str:
    """The block that begins with this comment."""
    (found,) = (text for text in blocks(PAGE, "sh") if text.startswith(f"# {title}\n"))
    return found


def run(title: str, server: RunningServer, backup: Path) -> None:
    """Run it as somebody who keeps the server would."""
    names = ("LLMS_DATA", "DATABASE_URL")
    given = {name: server.env[name] for name in names if name in server.env}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines(title)],
        env={**os.environ, **given, "BACKUP": str(backup)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def lose_everything(server: RunningServer) -> None:
    """What a broken disk does. The tests' own programs and log stay."""
    for path in server.data.iterdir():
        if path.name not in ("bin", "server.log"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    url = server.env.get("DATABASE_URL", "")
    if url:
        place, _, name = url.rpartition("/")
        with psycopg.connect(f"{place}/postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def test_a_backup_brings_everything_back(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server({"AUTH_MODE": "key"})
    kind = "PostgreSQL" if "DATABASE_URL" in server.env else "SQLite"
    headers = {"authorization": f"Bearer {make_key(server, 'kept')}"}

    def ask(status: int = 200) -> str:
        answer = httpx.post(f"{server.url}{TEXT}", json={"prompt": "one two"}, headers=headers)
        assert answer.status_code == status
        return answer.headers["x-request-id"]

    ids = {ask() for _ in range(3)}
    wait_until(lambda: {row["request_id"] for row in rows(server)} == ids, 30)
    secret = (server.data / "secret_key").read_bytes()
    code = server.data / "custom" / "a-hash" / "model.py"
    code.parent.mkdir(parents=True)
    code.write_text("print()")

    backup = tmp_path / "backup"
    backup.mkdir(mode=0o700)
    run("backup: files", server, backup)
    run(f"backup: {kind}", server, backup)
    # The server goes on meanwhile; what comes after the backup is not in it.
    late = ask()
    assert server.stop() == 0
    lose_everything(server)

    run("restore: files", server, backup)
    if kind == "PostgreSQL":
        run("restore: PostgreSQL", server, backup)
    server.manage("prepare")
    server.process = server._start()
    server.wait_ready()
    assert {row["request_id"] for row in rows(server)} == ids and late not in ids
    assert (server.data / "secret_key").read_bytes() == secret
    assert code.read_text() == "print()"
    known = ask()
    wait_until(lambda: known in {row["request_id"] for row in rows(server)}, 30)
    assert server.stop() == 0
