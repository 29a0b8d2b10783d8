"""Custom models before they run: checked, built once when staff approve, and found by their hash.

All of it blocks, and nothing of it runs anybody's code outside of the jail: call it in threads.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings

from inference import jail
from inference.catalogue import PIPELINE_TASKS, ModelCard
from inference.engines.custom import folder
from inference.errors import InferenceError
from inference.signature import Signature

MAX_CODE_BYTES = 256 * 1024
MAX_REQUIREMENTS = 50
# What pip may take of the environment: where the operator's index is, and who signs for it.
PIP = ("PIP_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy")
PIP_CONFIGS = ("/etc/pip.conf", "/etc/xdg/pip")
# pip tells every index which system it runs on, and does not start where it cannot know.
ABOUT_SYSTEM = ("/etc/debian_version", "/etc/lsb-release", "/etc/os-release")
TARGET, WISHES, WHEELS = "/target", "/wishes.txt", "/wheels"


class CustomError(Exception):
    """A submission that cannot be a model; `trace` is for its author and staff."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace


@dataclass(frozen=True, slots=True)
class Built:
    """An approved model on disk: all that a card needs to name it."""

    folder: Path
    digest: str
    signature: Signature

    @property
    def task(self) -> str:
        """What a card of it is for."""
        return "text-generation" if self.signature.takes else self.signature.task or "custom"


def limits_of(card: ModelCard | None = None) -> jail.Limits:
    """The server's limits, with the memory that the card says."""
    limits = jail.Limits(
        memory_bytes=settings.CUSTOM_MEMORY_BYTES,
        output_bytes=settings.CUSTOM_OUTPUT_BYTES,
        processes=settings.CUSTOM_PROCESSES,
        seconds=settings.CUSTOM_SECONDS,
        load_seconds=settings.CUSTOM_LOAD_SECONDS,
    )
    own = card.engine_args.get("memory_bytes") if card is not None else None
    return replace(limits, memory_bytes=int(own)) if own else limits


def check_code(code: str) -> None:
    """Raise CustomError for what is no text of a module. It is read here, never parsed."""
    if not code.strip():
        raise CustomError("There is no code.")
    if len(code.encode(errors="replace")) > MAX_CODE_BYTES:
        raise CustomError(f"The code has more than {MAX_CODE_BYTES:,} bytes.")
    if not code.isprintable() and any(ord(c) < 32 and c not in "\n\r\t\f" for c in code):
        raise CustomError("The code has characters that no program has.")


def pinned(requirements: str) -> list[str]:
    """The requirements, one each line, all of them pinned. Raises CustomError."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for line in requirements.splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            raise CustomError(f"`{text[:100]}` is no requirement.") from error
        versions = list(wanted.specifier)
        exact = len(versions) == 1 and versions[0].operator == "=="
        if wanted.url or not exact or "*" in versions[0].version:
            raise CustomError(f"`{text[:100]}` is not pinned: write name==version.")
        found.append(text)
    if len(found) > MAX_REQUIREMENTS:
        raise CustomError(f"There are more than {MAX_REQUIREMENTS} requirements.")
    return found


def digest_of(code: str, requirements: str, network: bool = False) -> str:
    """The hash that staff approve."""
    return folder.digest_of(code, requirements, network)


def last_error(digest: str) -> str:
    """The last thing that went wrong with this code, with its traceback; "" for nothing."""
    return folder.last_error(_home() / digest)


def build(code: str, requirements: str, network: bool = False) -> Built:
    """Install the wheels and read the type hints, both in the jail. Raises CustomError."""
    if words := jail.problem():
        raise CustomError(f"Custom models are off: {words}")
    check_code(code)
    wanted = pinned(requirements)
    digest = digest_of(code, requirements, network)
    _home().mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=_home(), prefix="making-"))
    try:
        _write(making, code, requirements)
        if wanted:
            _install(making, wanted)
        signature = _look(making, network)
        ready = _home() / digest
        shutil.rmtree(ready, ignore_errors=True)
        making.rename(ready)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Built(ready, digest, signature)


def _home() -> Path:
    return settings.LLMS_DATA / "custom"


def _write(into: Path, code: str, requirements: str) -> None:
    """It is nobody who reads these in the jail. Out here the folder itself is the server's own."""
    (into / folder.WHEELS).mkdir(mode=0o755)
    for name, text in ((folder.CODE, code), (folder.REQUIREMENTS, requirements)):
        (into / name).write_bytes(text.encode())
        (into / name).chmod(0o644)


def _install(into: Path, wanted: list[str]) -> None:
    """Wheels only: to build from source would run code. What they need is pinned as well."""
    wishes = into / "wishes.txt"
    wishes.write_text("\n".join(wanted))
    wishes.chmod(0o644)
    site = into / folder.WHEELS
    # In the jail it is nobody who writes here.
    site.chmod(0o777)
    inside = jail.Jail(
        replace(limits_of(), memory_bytes=4 * 2**30, scratch_bytes=2**30),
        read={WISHES: wishes, **_sources()},
        write={TARGET: site},
        network=not settings.CUSTOM_WHEELS,
        environment=dict(_pip_environment()),
    )
    said = ("install", "--target", TARGET, "--no-deps", "--only-binary=:all:", "--no-cache-dir")
    command = (*jail.prefix(inside), sys.executable, "-m", "pip", *said, *_index(), "-r", WISHES)
    try:
        done = _run(command)
    finally:
        wishes.unlink()
    if done.returncode:
        raise CustomError("Its requirements could not be installed.", done.stdout[-8000:])
    site.chmod(0o755)


def _sources() -> dict[str, Path]:
    about = {path: Path(path) for path in ABOUT_SYSTEM if os.path.exists(path)}
    if settings.CUSTOM_WHEELS:
        return {**about, WHEELS: Path(settings.CUSTOM_WHEELS)}
    places = {path for name, path in os.environ.items() if name in ("PIP_CERT", "SSL_CERT_FILE")}
    places |= {*PIP_CONFIGS, os.environ.get("PIP_FIND_LINKS", "")}
    return {**about, **{path: Path(path) for path in sorted(places) if os.path.exists(path)}}


def _index() -> tuple[str, ...]:
    return ("--no-index", f"--find-links={WHEELS}") if settings.CUSTOM_WHEELS else ()


def _pip_environment() -> Iterator[tuple[str, str]]:
    yield "PIP_DISABLE_PIP_VERSION_CHECK", "1"
    if not settings.CUSTOM_WHEELS:
        yield from ((name, each) for name, each in os.environ.items() if name.startswith(PIP))


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=jail.OUTSIDE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=settings.CUSTOM_LOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CustomError("Installing its requirements took too long.") from error


def _look(made: Path, network: bool) -> Signature:
    """The signature of `run`. Runs the code from top to bottom, in the jail, but not `load`."""
    log = made / "look.log"
    try:
        facts = asyncio.run(_facts(made, log, settings.HUB_ENDPOINT if network else ""))
        return _offered(Signature.of(facts.get("signature")))
    except (InferenceError, ValueError, TimeoutError) as error:
        words = str(error) or "Reading it took too long."
        raise CustomError(words, log.read_text(errors="replace")[-8000:]) from error
    finally:
        log.unlink(missing_ok=True)


def _offered(signature: Signature) -> Signature:
    """Raises ValueError for a task that is none of the Hub's."""
    if signature.task and signature.task not in PIPELINE_TASKS:
        raise ValueError(f"`TASK` is {signature.task[:50]!r}, which is none that code may have.")
    return signature


async def _facts(made: Path, log: Path, hub: str) -> Mapping[str, Any]:
    from inference.engines.custom.engine import PROGRAM, JailedWorker
    from inference.engines.messages import Load

    limits = limits_of()
    worker = JailedWorker("the submitted code", log, limits, folder.shown(made), hub)
    try:
        async with asyncio.timeout(limits.load_seconds):
            return await worker.start(Load(PROGRAM, {"look": True}))
    finally:
        await worker.stop()
