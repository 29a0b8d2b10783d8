"""Fetching the front-end libraries."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground import frontend


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "vendor"
    monkeypatch.setattr(frontend, "VENDOR", folder)
    monkeypatch.setattr(frontend, "STAMP", folder / "versions.txt")
    return folder


def use(monkeypatch: pytest.MonkeyPatch, *runs: frontend.Run) -> None:
    def npms() -> Iterator[frontend.Run]:
        yield from runs

    monkeypatch.setattr(frontend, "npms", npms)


def works(folder: Path) -> subprocess.CompletedProcess[str]:
    for source in frontend.MODULES:
        path = folder / "node_modules" / source
        path.parent.mkdir(parents=True, exist_ok=True)
        comment = "/*{}*/" if path.suffix == ".css" else "//{}"
        path.write_text("\n" + comment.format("# sourceMappingURL=x.map") + "\n")
    return subprocess.CompletedProcess([], 0, "", "")


def fails(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 1, "", "npm error code ECONNREFUSED\nnpm error more\n")


def test_modules_are_fetched_once(vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, works)
    assert frontend.main() == 0
    fetched = {path.name for path in vendor.iterdir()} - {frontend.STAMP.name}
    assert fetched == set(frontend.MODULES.values())
    use(monkeypatch, fails)
    assert frontend.main() == 0


def test_no_module_names_a_map_that_is_not_there(
    vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, works)
    frontend.main()
    texts = [path.read_text() for path in vendor.iterdir() if path.suffix in {".css", ".js"}]
    assert texts and not any("sourceMappingURL" in text for text in texts)


def test_fonts_are_found_beside_the_sheet_that_names_them(
    vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = "".join(
        f'src:url(fonts/KaTeX_Main-Bold.{kind}) format("{kind}"),' for kind in ("woff2", "woff")
    ).rstrip(",")

    def styled(folder: Path) -> subprocess.CompletedProcess[str]:
        done = works(folder)
        (folder / "node_modules" / "katex/dist/katex.min.css").write_text(sheet)
        return done

    use(monkeypatch, styled)
    frontend.main()
    written = (vendor / "katex.css").read_text()
    assert (vendor / "KaTeX_Main-Bold.woff2").is_file()
    assert written.startswith('src:url(KaTeX_Main-Bold.woff2) format("woff2")')


def test_another_version_is_fetched_again(vendor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, works)
    frontend.main()
    monkeypatch.setattr(frontend, "wanted", lambda: "another version")
    assert not frontend.up_to_date()


def test_second_npm_is_tried_when_the_first_fails(
    vendor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, fails, works)
    assert frontend.main() == 0


@pytest.mark.parametrize("runs", [(), (fails,), (fails, fails)])
def test_failure_is_one_line_and_exit_code_1(
    vendor: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    runs: tuple[frontend.Run, ...],
) -> None:
    use(monkeypatch, *runs)
    assert frontend.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not frontend.up_to_date()


def test_every_library_has_one_exact_version() -> None:
    package = json.loads((frontend.ROOT / "package.json").read_text())
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    assert "http" not in (frontend.ROOT / "package-lock.json").read_text()
