"""The page itself: its headers, and nothing inline that those headers would forbid."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from django.test import Client


@pytest.fixture
def visitor(client: Client, settings: Any, tmp_path: Path) -> Client:
    """A browser of a site whose static files have not been collected."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    return client


@pytest.fixture
def page(visitor: Client) -> str:
    return visitor.get("/").content.decode()


def test_page_asks_for_no_other_host(page: str) -> None:
    assert not re.search(r'(?:href|src|action)="(?:https?:)?//', page)


def test_page_has_nothing_inline(page: str) -> None:
    assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


def test_page_offers_questions_to_start_with(page: str) -> None:
    assert "What is the capital of France?" in page


def test_page_asks_for_a_sign_in_only_where_keys_are_demanded(
    visitor: Client, settings: Any, page: str
) -> None:
    settings.AUTH_MODE = "key"
    assert "What would you like to ask?" in page
    assert visitor.get("/").headers["location"] == "/accounts/login/?next=/"


def test_page_can_only_be_read(visitor: Client) -> None:
    assert visitor.post("/").status_code == 405


def test_headers_are_strict(server: Any) -> None:
    headers = httpx.get(server.url).headers
    policy = headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_static_files_are_hashed_and_kept_for_good(server: Any) -> None:
    page = httpx.get(server.url).text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert files
    for path in files:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", path)
        response = httpx.get(f"{server.url}{path}")
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]


def test_modules_import_each_other_by_hashed_names(server: Any) -> None:
    page = httpx.get(server.url).text
    module = re.search(r'<script type="module" src="([^"]+)"', page)
    assert module
    source = httpx.get(f"{server.url}{module[1]}").text
    imports = re.findall(r'from "(\./[^"]+)"', source)
    assert imports
    assert all(re.search(r"\.[0-9a-f]{12}\.js$", each) for each in imports)


def test_what_the_page_loads_before_the_first_message_is_small(server: Any) -> None:
    seen: dict[str, int] = {}
    with httpx.Client(base_url=server.url, headers={"Accept-Encoding": "gzip"}) as client:
        queue = ["/"]
        while queue:
            path = queue.pop()
            with client.stream("GET", path) as response:
                raw = b"".join(response.iter_raw())
                zipped = response.headers.get("content-encoding") == "gzip"
            seen[path] = len(raw)
            source = (gzip.decompress(raw) if zipped else raw).decode()
            queue += [each for each in linked(path, source) if each not in seen]
    assert any("marked" in path for path in seen)
    assert sum(seen.values()) < 300_000


def linked(path: str, source: str) -> list[str]:
    """What a page or a module makes the browser fetch as well."""
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', source)
    modules = re.findall(r'^import .* from "(\./[^"]+)"', source, re.MULTILINE)
    return [*files, *(urljoin(path, each) for each in modules)]
