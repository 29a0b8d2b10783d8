"""A command prefix under which other people's code runs: bubblewrap, with nothing in reach.

Inside there is a read-only system, Python with this project's packages, what the jail was given and
a small `/tmp`. There is no network unless it was given, no environment, no other process, no
privilege: a server that runs as root hands over to nobody, in a user namespace of its own.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("bwrap", "setpriv", "unshare", "prlimit")
NOBODY = 65534
ROOT = Path(__file__).resolve().parents[1]
SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")
LINKER = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime")
NETWORK = (
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/resolv.conf",
    "/etc/ssl",
)
# Of a Python's prefix: an operator may keep data beside these.
PYTHON = ("bin", "lib", "lib64", "pyvenv.cfg")
CHECK_SECONDS = 60.0
# Each thread of a numeric library takes one of the few processes that a jail may have.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MOST_THREADS = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What one jail may take. Bytes, seconds, and how many processes and threads at once.

    `memory_bytes` counts for each process and for all together; `scratch_bytes` for `/tmp`;
    `output_bytes` for the answer to one call and for what is printed; `seconds` for one call,
    `load_seconds` for `load()`.
    """

    memory_bytes: int = 4 * 2**30
    scratch_bytes: int = 256 * 2**20
    output_bytes: int = 32 * 2**20
    processes: int = 128
    seconds: float = 60.0
    load_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Jail:
    """What is inside. `read` and `write` map places inside to the files or folders they show.

    `devices` are files below /dev, such as those of a GPU.
    """

    limits: Limits
    read: Mapping[str, Path] = field(default_factory=dict)
    write: Mapping[str, Path] = field(default_factory=dict)
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[Path, ...] = ()


# A process outside of the jail, until it is inside, needs no more than this.
OUTSIDE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


def prefix(jail: Jail, as_root: bool | None = None) -> tuple[str, ...]:
    """The words before a command that run it in the jail. `as_root` None: whoever asks."""
    root = os.geteuid() == 0 if as_root is None else as_root
    return (
        _program("bwrap"),
        *_apart(jail, root),
        *_system(),
        # Before what may lie below them: this project can be anywhere.
        *_devices(jail),
        *_scratch(jail),
        *_python(),
        *_given(jail),
        *_environment(jail),
        "--chdir",
        str(ROOT),
        "--remount-ro",
        "/",
        "--",
        *(_become_nobody() if root else ()),
        *_bounded(jail.limits),
    )


def _program(name: str) -> str:
    return shutil.which(name, path=f"{OUTSIDE['PATH']}:/usr/sbin:/sbin") or name


def _apart(jail: Jail, root: bool) -> Iterator[str]:
    """Namespaces of its own. Root's, whose folders nobody else may open, become nobody later."""
    yield from ("--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts")
    yield from ("--unshare-cgroup-try", "--cap-drop", "ALL")
    if not jail.network:
        yield "--unshare-net"
    if root:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            yield from ("--cap-add", capability)
    else:
        yield from ("--unshare-user", "--disable-userns", "--uid", str(NOBODY))
        yield from ("--gid", str(NOBODY))


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for place in SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        else:
            yield from ("--ro-bind-try", place, place)
    yield from _way_to("/etc/*")
    for place in LINKER:
        yield from ("--ro-bind-try", place, place)
    yield from ("--proc", "/proc", "--dev", "/dev")


def _python() -> Iterator[str]:
    """The interpreter, its packages and this room's code; neither settings nor data."""
    prefixes = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])}
    for place in sorted(prefixes - {"/usr"}):
        yield from _way_to(f"{place}/bin")
        for part in PYTHON:
            yield from ("--ro-bind-try", f"{place}/{part}", f"{place}/{part}")
    yield from _way_to(str(ROOT / "inference"))
    yield from ("--ro-bind", str(ROOT / "inference"), str(ROOT / "inference"))


def _way_to(place: str) -> Iterator[str]:
    """Folders on the way that nobody may walk through; bubblewrap's own are root's alone."""
    for folder in reversed(Path(place).parents[:-1]):
        if not folder.is_relative_to("/usr"):
            yield from ("--perms", "0755", "--dir", str(folder))


def _devices(jail: Jail) -> Iterator[str]:
    for device in map(str, jail.devices):
        yield from ("--dev-bind", device, device)


def _scratch(jail: Jail) -> Iterator[str]:
    size = str(jail.limits.scratch_bytes)
    for place in ("/dev/shm", "/tmp"):
        yield from ("--size", size, "--perms", "1777", "--tmpfs", place)
    yield from ("--remount-ro", "/dev")


def _given(jail: Jail) -> Iterator[str]:
    for place in NETWORK if jail.network else ():
        yield from ("--ro-bind-try", place, place)
    for place in (*jail.read, *jail.write):
        yield from _way_to(place)
    for place, shown in jail.read.items():
        yield from ("--ro-bind", str(shown), place)
    for place, shown in jail.write.items():
        yield from ("--bind", str(shown), place)


def _environment(jail: Jail) -> Iterator[str]:
    yield "--clearenv"
    threads = str(min(MOST_THREADS, os.cpu_count() or 1))
    values = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "nobody",
        "LOGNAME": "nobody",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0" if jail.network else "1",
        **dict.fromkeys(THREADS, threads),
        **jail.environment,
    }
    for name, value in values.items():
        yield from ("--setenv", name, value)


def _become_nobody() -> tuple[str, ...]:
    """From root to nobody for good; in a user namespace, so that processes are counted apart."""
    who = str(NOBODY)
    drop = ("--reuid", who, "--regid", who, "--clear-groups", "--inh-caps=-all")
    apart = ("--user", f"--map-user={who}", f"--map-group={who}")
    return (
        *(_program("setpriv"), *drop, "--bounding-set=-all", "--no-new-privs", "--"),
        *(_program("unshare"), *apart, "--"),
    )


def _bounded(limits: Limits) -> tuple[str, ...]:
    """RLIMIT_DATA, not RLIMIT_AS: libraries for GPUs map far more than they use."""
    return (
        _program("prlimit"),
        f"--data={limits.memory_bytes}",
        f"--nproc={limits.processes}",
        f"--fsize={max(limits.scratch_bytes, limits.output_bytes)}",
        "--nofile=1024",
        "--core=0",
        "--",
    )


@functools.cache
def problem() -> str:
    """Why no jail works on this machine and what to do about it; "" where it works. Blocks."""
    missing = [name for name in PROGRAMS if not os.path.isabs(_program(name))]
    if missing:
        packages = "bubblewrap" if missing == ["bwrap"] else "bubblewrap and util-linux"
        return f"{', '.join(missing)} is missing: install {packages}, then restart the server."
    command = [*prefix(Jail(Limits())), sys.executable, "-c", "import msgspec"]
    try:
        tried = subprocess.run(
            command,
            env=OUTSIDE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHECK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run here: {type(error).__name__}."
    if tried.returncode == 0:
        return ""
    said = (tried.stderr.strip().splitlines() or [f"it ended with status {tried.returncode}"])[-1]
    return (
        f"bubblewrap cannot make a jail here ({said[:200]}). It needs user namespaces: "
        "set the sysctl user.max_user_namespaces above 0 (Debian: kernel.unprivileged_userns_clone="
        "1; Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0; in a container, allow them)."
    )
