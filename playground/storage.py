"""How static files are stored: compressed, and under names that hold a hash of their content."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

# In STATIC_ROOT: from which files it was made.
STAMP = "collected.sha256"


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Whitenoise's storage, which also puts hashed names into the imports of ES modules."""

    # Without it a module would import its neighbour under the plain name: not cached for good,
    # and after an upgrade a page could mix old and new modules.
    support_js_module_import_aggregation = True


def collect_static_files() -> bool:
    """Fill STATIC_ROOT where a file has changed since it was filled; whether one had.

    Django hashes and compresses every file anew each time: most of the time that a start takes.
    """
    stamp, sources = Path(settings.STATIC_ROOT) / STAMP, _sources()
    if stamp.is_file() and stamp.read_text() == sources:
        return False
    call_command("collectstatic", verbosity=0, interactive=False)
    stamp.write_text(sources)
    return True


def _sources() -> str:
    """A hash over all files' names, sizes and times, and over what works on them."""
    lines = [f"{name} {version(name)}" for name in ("django", "whitenoise")]
    lines.append(Path(__file__).read_text())
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = os.stat(storage.path(path))
            lines.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
