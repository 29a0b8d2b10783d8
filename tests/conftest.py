"""Fixtures that all tests share, and what a missing program means: skipped here, failed in CI."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from django.conf import LazySettings, settings
from django.test import Client
from httpx._transports import default as transports
from xdist.scheduler import LoadScopeScheduling

from inference.jail import problem
from tests.api.environments import python_with
from tests.hub import Hub, running
from tests.proxies import PROGRAMS
from tests.servers import ROOT, Prepared, RunningServer
from tests.turns import ENV

OLD_CLIENT = ROOT / "requirements" / "openai028.txt"
MakeServer = Callable[..., RunningServer]


def pytest_configure() -> None:
    """Settings of this process, not of the servers that tests start."""
    # Threads of ours keep no connection: PostgreSQL drops no database that somebody is in.
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 0
    # Each client of httpx reads a hundred certificates for 40 ms of CPU, and tests make thousands.
    vars(transports)["create_ssl_context"] = cache(httpx.create_ssl_context)
    # Django's own takes half a second of CPU for each password, and again for each sign-in.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # How long an example takes says how busy the machine is.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("busy")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that nobody works alone in the end.

    Engines keep the cores busy and browsers wait for them, so their files take turns. Tests that
    touch the database carry the mark by which `make test` repeats them.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    engines, browsers, others = [], [], []
    for file in files.values():
        marks = {mark.name for item in file for mark in item.iter_markers()}
        (engines if "engine" in marks else browsers if "browser" in marks else others).append(file)
    turns = (file for pair in zip_longest(engines, browsers, fillvalue=[]) for file in pair)
    items[:] = [item for file in (*turns, *others) for item in file]
    for item in items:
        named = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
        if named or item.get_closest_marker("django_db"):
            item.add_marker("database")


class ByServer(LoadScopeScheduling):
    """Who does which tests: a file's stay together, and those that ask `pocket` are one worker's.

    The engine of `pocket` takes half a minute of two slow cores to start: one for each run.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "pocket" if _asks_pocket(file) else file


@cache
def _asks_pocket(file: str) -> bool:
    return "pocket_server" in (ROOT / file).read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """In place of those that come with xdist."""
    return ByServer(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run; in CI, where it is installed, that is a failure."""
    missing = ""
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        missing = "Chromium is not installed"
    if item.get_closest_marker("engine") and not importlib.util.find_spec("vllm"):
        missing = "vLLM is not installed"
    if item.get_closest_marker("proxy") and not shutil.which("nginx", path=PROGRAMS):
        missing = "nginx is not installed"
    if item.get_closest_marker("jail"):
        missing = problem()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    elif missing:
        pytest.skip(missing)


@pytest.fixture(autouse=True)
def nothing_measured() -> None:
    """No service of this process knows what an earlier test's measured."""
    (settings.LLMS_DATA / "measured.json").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The data folders of new servers, for copies; workers of one run share them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return Prepared(tmp_path_factory.getbasetemp().parent / "prepared")
    return Prepared(tmp_path_factory.mktemp("prepared"))


@contextmanager
def servers(folders: pytest.TempPathFactory, prepared: Prepared) -> Iterator[MakeServer]:
    """Start servers with settings of their own; all of them end with this."""
    # One that does not stop is no reason to leave the others running.
    with ExitStack() as started:

        def make(env: dict[str, str] | None = None, ready: bool = True) -> RunningServer:
            server = RunningServer(folders.mktemp("data"), env or {}, prepared)
            started.callback(server.stop)
            return server.wait_ready() if ready else server

        yield make


@pytest.fixture(scope="module")
def make_server(
    tmp_path_factory: pytest.TempPathFactory, prepared: Prepared
) -> Iterator[MakeServer]:
    """Start servers with settings of their own; all of them end with the module's tests, because
    many idle servers are a busy machine."""
    with servers(tmp_path_factory, prepared) as make:
        yield make


@pytest.fixture(scope="session")
def make_lasting_server(
    tmp_path_factory: pytest.TempPathFactory, prepared: Prepared
) -> Iterator[MakeServer]:
    """The same for servers that modules share."""
    with servers(tmp_path_factory, prepared) as make:
        yield make


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """The Hub of the server that most tests share."""
    with running() as made:
        yield made


@pytest.fixture(scope="session")
def server(make_lasting_server: MakeServer, hub: Hub) -> RunningServer:
    """The server that most tests share: open mode, echo models, `pocket` on demand."""
    return make_lasting_server({"HF_ENDPOINT": hub.url})


@pytest.fixture(scope="session")
def turns(make_lasting_server: MakeServer) -> RunningServer:
    """A server with memory for one model besides the default one."""
    return make_lasting_server(ENV)


@pytest.fixture(scope="session")
def pocket_server(server: RunningServer) -> RunningServer:
    """The shared server once `pocket` is loaded in a real engine."""
    asked = httpx.post(
        f"{server.url}/v1/completions",
        json={"model": "pocket", "prompt": "Hello", "max_tokens": 1},
        timeout=240,
    )
    assert asked.status_code == 200, f"{asked.text}\n{server.log.read_text()}"
    return server


@pytest.fixture(scope="session")
def old_python() -> Path:
    """An environment with the old client."""
    return python_with(OLD_CLIENT)


@pytest.fixture
def staff(db: None, settings: LazySettings) -> Client:
    """A browser of Django's own, signed in as a superuser."""
    from django.contrib.auth.models import User

    # Pages need hashed static files only in a server; `collectstatic` has not run here.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    client = Client()
    client.force_login(User.objects.create_superuser("staff", password="x"))
    return client
