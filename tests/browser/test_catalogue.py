"""Staff keep the models, and a researcher finds one: in a browser, from first click to end."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.api.asking import CHAT, user
from tests.browser.conftest import PHONE, reload_without_script
from tests.browser.test_accessible import axe, serious
from tests.conftest import MakeServer
from tests.hub import Hub, repo
from tests.servers import DEFAULTS, RunningServer, wait_until

__all__ = ["axe"]
pytestmark = pytest.mark.browser
MODELS = "/admin/inference/cataloguerow/"
EVIL = '"><img/src=x/onerror=hit()>'
CARDS = f"""
[[model]]
id = "small"
source = "echo"
engine = "echo"
engine_args = {{ memory_bytes = 1000000 }}

[[model]]
id = "lab/asked"
source = "echo"
engine = "echo"
engine_args = {{ memory_bytes = 1000000, load_seconds = 600 }}

[[model]]
id = "lab/late"
source = "echo"
engine = "echo"
licence = "mit"
notes = "Comes late."
engine_args = {{ memory_bytes = 1000000000, load_seconds = 5 }}

[[model]]
id = "lab/other"
source = "echo"
engine = "echo"
engine_args = {{ memory_bytes = 1000000000 }}

[[model]]
id = "lab/broken"
source = "echo"
engine = "echo"
engine_args = {{ fail_load = "the disk is made of cheese <img src=x onerror=hit()>" }}

[[model]]
id = "lab/vectors"
source = "echo"
engine = "echo"
task = "embedding"

[[model]]
id = '{EVIL}'
source = "echo"
engine = "echo"
wish = "preload"
notes = '{EVIL}'
"""
HUGE = {"num_hidden_layers": 4000, "hidden_size": 8192, "max_position_embeddings": 131072}


@pytest.fixture(scope="module")
def house(
    make_server: MakeServer, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server in open mode, with a Hub of its own."""
    hub.repos["alice/lean"] = repo(licence="mit")
    hub.repos["alice/huge"] = repo(config=HUGE)
    path = tmp_path_factory.mktemp("cards") / "catalogue.toml"
    path.write_text(CARDS)
    env = {"CATALOGUE": str(path), "DEFAULT_MODEL": "small", "HF_ENDPOINT": hub.url}
    return make_server({**env, "CPU_MEMORY_BYTES": str(4 * 10**9)})


@pytest.fixture
def boss(house: RunningServer, visit: Callable[..., Page]) -> Callable[..., Page]:
    """Open a page of staff, signed in."""

    def open_it(path: str, **options: Any) -> Page:
        page = visit(house.url + path, **options)
        page.locator("[name=login]").fill("admin")
        page.locator("[name=password]").fill(DEFAULTS["DJANGO_SUPERUSER_PASSWORD"])
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(house.url + path)
        return page

    return open_it


def row(page: Page, model: str) -> Locator:
    """A model's row on the live page."""
    return page.locator(f"#models tr[data-model='{model}']")


def press(page: Page, model: str, button: str) -> None:
    row(page, model).get_by_role("button", name=button, exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text(f"{button.lower()} {model}")


@contextmanager
def waiting(server: RunningServer, model: str, how_many: int) -> Iterator[None]:
    """So many users wait for a model, until the block ends."""
    clients = [httpx.Client(timeout=60) for _ in range(how_many)]

    def wait(client: httpx.Client) -> None:
        body = {"model": model, "messages": user("x"), "stream": True}
        try:
            with client.stream("POST", f"{server.url}{CHAT}", json=body) as answer:
                for _ in answer.iter_lines():
                    if over.is_set():
                        return
        except httpx.TransportError:
            # The client was closed.
            return

    over = threading.Event()
    threads = [threading.Thread(target=wait, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: server.model(model)["waiting"] == how_many, what="they wait")
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def test_staff_preload_watch_pin_and_unload_while_users_wait(
    house: RunningServer, boss: Callable[..., Page]
) -> None:
    page = boss(f"{MODELS}live/")
    expect(row(page, "small")).to_contain_text("Ready")
    with waiting(house, "lab/asked", 2):
        expect(row(page, "lab/asked")).to_contain_text("0 / 2")
        expect(row(page, "lab/asked").locator(".llms-loading")).to_contain_text("loading for")
        page.goto(house.url + MODELS)
        page.locator("tr", has_text="lab/late").get_by_role("button", name="Preload").click()
        page.get_by_role("link", name="Live").click()
        expect(row(page, "lab/late").locator(".llms-loading")).to_contain_text("loading for")
        expect(row(page, "lab/late").locator(".llms-ready")).to_have_text("Ready")
        press(page, "lab/late", "Pin")
        pressed = row(page, "lab/late").get_by_role("button", name="Pin", pressed=True)
        expect(pressed).to_be_visible()
        # Loaded once, it is known how long it takes.
        press(page, "lab/late", "Reload")
        expect(row(page, "lab/late").get_by_role("progressbar")).to_be_visible()
        expect(row(page, "lab/late")).to_contain_text("left")
        expect(row(page, "lab/late").locator(".llms-ready")).to_have_text("Ready")
        expect(row(page, "lab/late")).to_contain_text("load 5 s")
        expect(page.locator(".memory .piece", has_text="lab/late")).to_be_visible()
        assert house.model("lab/asked")["waiting"] == 2
    press(page, "lab/asked", "Unload")
    press(page, "lab/late", "Unload")
    expect(row(page, "lab/late")).to_have_count(0)
    lane = page.locator("#timeline .who", has_text="lab/late").locator("+ .lane")
    for kind in ("load", "turn", "unload"):
        expect(lane.locator(f".span[data-kind={kind}]").first).to_be_attached()
    page.goto(house.url + MODELS)
    page.locator("#result_list").get_by_role("link", name="lab/late").click()
    page.get_by_role("link", name="History").click()
    for what in ("preload", "pin", "reload", "unload"):
        expect(page.locator("#change-history")).to_contain_text(
            f"asked to {what}", ignore_case=True
        )


def test_staff_read_why_a_load_failed(house: RunningServer, boss: Callable[..., Page]) -> None:
    # What it answers to a test of the model is an error, and a browser tells those on its console.
    page = boss(f"{MODELS}lab_2Fbroken/change/", watched=False)
    page.get_by_role("button", name="Preload", exact=True).click()
    failed = page.locator("#state .llms-failed")
    expect(failed).to_have_text(re.compile("^Failed: the disk is made of cheese <img src=x"))
    page.locator("#moves summary").click()
    expect(page.locator("#moves tbody tr").first).to_contain_text("the disk is made of cheese")
    page.locator("#log summary").click()
    expect(page.locator("#log pre")).to_have_text("Its engine printed nothing.")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#said")).to_contain_text("did not load: the disk is made of cheese")
    page.get_by_role("button", name="Unload", exact=True).click()
    expect(page.locator("#state")).to_have_text("Loads when asked")


def test_staff_test_a_model(house: RunningServer, boss: Callable[..., Page]) -> None:
    page = boss(f"{MODELS}lab_2Fother/change/")
    page.get_by_label("Prompt").fill("one two three")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#said")).to_contain_text("0:one 1:two 2:three")
    expect(page.locator("#said")).to_contain_text("3 tokens")
    page.goto(house.url + MODELS + "lab_2Fvectors/change/")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#said")).to_contain_text("all after")


def test_what_staff_type_before_the_script_is_there_is_kept(
    house: RunningServer, boss: Callable[..., Page]
) -> None:
    page = boss(f"{MODELS}lab_2Fother/change/")
    come = reload_without_script(page, "model")
    page.get_by_label("Prompt").fill("one two three")
    page.get_by_label("Prompt").press("Enter")
    button = page.get_by_role("button", name="Ask", exact=True)
    expect(button).to_be_disabled()
    come()
    expect(button).to_be_enabled()
    button.click()
    expect(page.locator("#said")).to_contain_text("0:one 1:two 2:three")


def test_staff_add_a_model_that_fits_and_see_why_another_does_not(
    house: RunningServer, hub: Hub, boss: Callable[..., Page]
) -> None:
    page = boss(MODELS)
    page.get_by_role("link", name="Add from the Hub").click()
    page.get_by_label("Id on the Hub").fill("alice/huge")
    page.get_by_role("button", name="Look whether it fits").click()
    errors = page.locator(".errorlist")
    expect(errors).to_have_text(re.compile(r"It needs .* GiB .* in 4 bits.*can be made free"))
    page.get_by_label("Id on the Hub").fill("alice/lean")
    page.get_by_role("button", name="Look whether it fits").click()
    found = page.get_by_role("region", name="What was found")
    expect(found).to_contain_text("alice/lean fits")
    expect(found.get_by_role("rowheader").first).to_contain_text("full")
    # Nothing of it is here: its files wait for somebody who wants it.
    assert "tokenizer.json" not in hub.repos["alice/lean"].sent
    page.get_by_role("button", name="Add it").click()
    expect(page.locator(".messagelist")).to_contain_text("is in the catalogue")
    expect(page.locator("#state")).to_have_text("Loads when asked")
    # A card that cannot work stays unsaved, with the reason at its field.
    page.get_by_label("Tool parser").fill("mind-reader")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-tool_parser .errorlist, .errorlist")).to_contain_text("hermes")


def test_a_researcher_finds_a_model_copies_its_code_and_it_runs(
    house: RunningServer, visit: Callable[..., Page]
) -> None:
    page = visit(f"{house.url}/models")
    page.get_by_label("Task").select_option("text-generation")
    expect(page).to_have_url(re.compile(r"/models\?task=text-generation$"))
    expect(page.get_by_role("link", name="lab/vectors")).to_have_count(0)
    page.get_by_label("Search").fill("comes late")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 of ")
    page.get_by_role("link", name="lab/late").click()
    expect(page.locator("#facts")).to_contain_text("mit")
    explained = page.get_by_role("table").get_by_role("row").filter(has_text="max_tokens")
    expect(explained.first).to_contain_text("At most so many tokens in an answer")
    expect(explained.first).to_contain_text("whole number, 0 or more")
    page.get_by_role("tab", name="Python").click()
    code = page.get_by_role("tabpanel").inner_text()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0:What", "1:is", "2:the", "3:capital", "4:of", "5:France?"], (
        done.stderr
    )


def test_a_wish_of_a_user_reaches_staff(house: RunningServer, boss: Callable[..., Page]) -> None:
    page = boss("/wanted")
    page.get_by_label("Id on the Hub").fill("alice/huge")
    page.get_by_label("What for").fill("my thesis")
    page.get_by_role("button", name="Look whether it fits").click()
    expect(page.locator(".notice")).to_contain_text("does not run here as things stand")
    page.get_by_role("button", name="Ask for this model").click()
    expect(page.locator(".notice")).to_contain_text("Staff will look at it")
    expect(page.get_by_role("rowheader", name="alice/huge")).to_be_visible()
    page.goto(f"{house.url}/admin/catalogue/modelrequest/")
    wish = page.locator("#result_list tbody tr")
    expect(wish).to_contain_text("my thesis")
    wish.get_by_role("link", name="add it").click()
    expect(page.get_by_label("Id on the Hub")).to_have_value("alice/huge")
    page.goto(f"{house.url}/wanted")
    page.get_by_role("button", name="Take back alice/huge").click()
    expect(page.get_by_text("Nothing yet.")).to_be_visible()


# W2
def test_names_of_models_are_text_everywhere(
    house: RunningServer, boss: Callable[..., Page]
) -> None:
    page = boss(f"{MODELS}live/")
    expect(page.locator("#models").get_by_role("link", name=EVIL)).to_be_visible()
    page.locator("#models").get_by_role("link", name=EVIL).click()
    expect(page.locator("#state")).to_contain_text("Ready")
    for path in ("/models", MODELS, f"{MODELS}switches/"):
        page.goto(house.url + path)
        expect(page.get_by_text(EVIL).first).to_be_visible()
        assert page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE, "color_scheme": "dark"}])
def test_pages_fit_every_screen_and_reader(
    house: RunningServer, boss: Callable[..., Page], axe: str, options: dict[str, Any]
) -> None:
    page = boss(f"{MODELS}live/", **options)
    expect(row(page, "small")).to_be_visible()
    mine = ("", "/models", "/models/small", "/models?q=lab", "/wanted", "/admin/")
    staffs = ("find", "import", "switches", "small/change")
    for path in (*mine, *(f"{MODELS}{each}/" for each in staffs)):
        if path:
            page.goto(house.url + path)
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], path
        assert serious(page, axe) == [], path
