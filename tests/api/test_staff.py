"""What staff's pages and commands ask: who is let in, what is told, and what becomes of a wish."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api.asking import CHAT, error_of, user
from tests.api.test_ask import events
from tests.api.test_keys import make_key
from tests.conftest import MakeServer
from tests.hub import Hub, repo
from tests.servers import ROOT, RunningServer, wait_until
from tests.staff import BOSS, HELPER, STRANGER, sessions_of, signed_in

pytestmark = pytest.mark.database
CARDS = """
[[model]]
id = "small"
source = "echo"
engine = "echo"
engine_args = { memory_bytes = 1000 }

[[model]]
id = "lab/slow"
source = "echo"
engine = "echo"
engine_args = { load_seconds = 1.5, tokens_per_second = 50, memory_bytes = 1000 }

[[model]]
id = "broken"
source = "echo"
engine = "echo"
engine_args = { fail_load = "the disk is made of cheese" }

[[model]]
id = "near"
source = "echo"
engine = "echo"
task = "embedding"
"""
HUGE = {"num_hidden_layers": 4000, "hidden_size": 8192, "max_position_embeddings": 131072}
ASK = "/admin/inference/cataloguerow/{}/ask/{}"
LOG = """
from django.contrib.admin.models import LogEntry
from inference.models import CatalogueRow
for each in LogEntry.objects.filter(object_id={model!r}).order_by("pk"):
    print(each.user.username, each.change_message)
print(CatalogueRow.objects.get(id={model!r}).wish)
"""


@pytest.fixture(scope="module")
def house(
    make_server: MakeServer, hub: Hub, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server that demands keys."""
    path = tmp_path_factory.mktemp("cards") / "catalogue.toml"
    path.write_text(CARDS)
    env = {"CATALOGUE": str(path), "AUTH_MODE": "key", "DEFAULT_MODEL": "small"}
    return make_server({**env, "HF_ENDPOINT": hub.url, "CPU_MEMORY_BYTES": str(4 * 2**30)})


@pytest.fixture(scope="module")
def sessions(house: RunningServer) -> dict[str, str]:
    """Sessions of people, by name."""
    return sessions_of(house, boss=BOSS, deputy=BOSS, helper=HELPER, alice=STRANGER)


@pytest.fixture(scope="module")
def boss(house: RunningServer, sessions: dict[str, str]) -> Iterator[httpx.Client]:
    """One of the staff, who may do everything."""
    with signed_in(house, sessions["boss"]) as client:
        yield client


@pytest.fixture(scope="module")
def key(house: RunningServer, sessions: dict[str, str]) -> dict[str, str]:
    """The boss's key, which is one like any other."""
    return {"Authorization": f"Bearer {make_key(house, 'any', user='boss')}"}


def command(house: RunningServer, *args: str) -> subprocess.CompletedProcess[str]:
    """`manage.py models …`, whatever becomes of it."""
    asked = [sys.executable, "manage.py", "models", "--port", str(house.port), *args]
    return subprocess.run(asked, cwd=ROOT, env=house.env, capture_output=True, text=True)


def one(client: httpx.Client, model: str) -> dict[str, object]:
    found: dict[str, object] = client.get("/staff/live", params={"model": model}).json()["one"]
    return found


# --- who is let in --------------------------------------------------------------------------------


def test_only_staff_with_the_permission_are_let_in(
    house: RunningServer, sessions: dict[str, str], key: dict[str, str]
) -> None:
    asked = (("GET", "live"), ("GET", "log/small"), ("POST", "fit"), ("POST", "test/small"))
    shell = {"Authorization": "Shell forged:1abc:xyz"}
    for method, path in asked:
        for headers in ({}, key, shell):
            answer = httpx.request(method, f"{house.url}/staff/{path}", headers=headers, json={})
            assert answer.status_code == 403, (path, headers, answer.text)
    for name in ("alice", "helper"):
        with signed_in(house, sessions[name]) as client:
            for method, path in asked:
                answer = client.request(method, f"/staff/{path}", json={})
                assert error_of(answer)["code"] == "staff_only", (name, path)


# W4
def test_other_pages_have_no_business_here(house: RunningServer, boss: httpx.Client) -> None:
    without = {"X-CSRFToken": ""}
    foreign = {"Origin": "https://evil.example"}
    for headers in (without, foreign):
        answer = boss.post("/staff/test/small", json={"prompt": "x"}, headers=headers)
        assert error_of(answer)["code"] == "foreign_page"
    form = {"prompt": "x"}
    assert error_of(boss.post("/staff/test/small", data=form))["code"] == "invalid_json"
    assert "access-control-allow-origin" not in boss.get("/staff/live", headers=foreign).headers


# --- what is told ---------------------------------------------------------------------------------


def test_live_tells_what_there_is_news_of(house: RunningServer, boss: httpx.Client) -> None:
    live = boss.get("/staff/live").json()
    assert [each["id"] for each in live["models"]][0] == "small"
    assert "near" not in [each["id"] for each in live["models"]]
    small = live["models"][0]
    assert (small["state"], small["wish"], small["tier"]) == ("ready", "pin", "S")
    load = next(each for each in live["events"] if each["model"] == "small")
    assert load["kind"] == "load" and load["began"] <= load["ended"] <= live["now"]
    assert live["devices"][0]["memory_bytes"] == 4 * 2**30
    assert one(boss, "near")["state"] == "unloaded"
    assert one(boss, "nobody") is None


def test_a_test_tells_the_answer_and_what_it_took(house: RunningServer, boss: httpx.Client) -> None:
    *news, (name, said) = events(boss.post("/staff/test/lab/slow", json={"prompt": "a b c"}))
    assert news and news[0][0] == "waiting" and news[0][1]["stage"] == "loading"
    assert (name, said["text"]) == ("answer", "0:a 1:b 2:c ")
    assert said["tokens"] == 3 and said["queue_seconds"] >= 1 and said["tokens_per_second"] > 0
    [(name, said)] = events(boss.post("/staff/test/near", json={}))
    assert len(json.loads(said["text"])[0]) == 64
    failed = boss.post("/staff/test/broken", json={})
    assert "made of cheese" in error_of(failed)["message"]
    for body in ({"prompt": ""}, {"prompt": 3}, {"prompt": "x" * 10_000}):
        assert error_of(boss.post("/staff/test/small", json=body))["param"] == "prompt"
    assert boss.post("/staff/test/nobody", json={}).status_code == 404


def test_answers_are_measured(
    house: RunningServer, boss: httpx.Client, key: dict[str, str]
) -> None:
    words = " ".join(f"w{i}" for i in range(16))
    boss.post("/staff/test/lab/slow", json={"prompt": words})
    rate = one(boss, "lab/slow")["tokens_per_second"]
    assert isinstance(rate, float) and 20 < rate <= 55
    told = httpx.get(f"{house.url}/v1/models/lab/slow", headers=key).json()["llms"]["measured"]
    assert told["tokens_per_second"] == rate and told["load_seconds"] >= 1.5


def test_the_log_of_a_load(boss: httpx.Client) -> None:
    assert boss.get("/staff/log/near").json()["loaded"] in (True, False)
    assert boss.get("/staff/log/small").json() == {"model": "small", "loaded": True, "text": ""}
    assert boss.get("/staff/log/nobody").status_code == 404


def test_a_look_at_the_hub(hub: Hub, boss: httpx.Client) -> None:
    hub.repos["alice/tiny"] = made = repo(licence="mit")
    found = boss.post("/staff/fit", json={"id": "alice/tiny"}).json()
    assert (found["revision"], found["ways"][0]["rung"]) == (made.commit, "full")
    assert 'id = "alice/tiny"' in found["card"]
    assert error_of(boss.post("/staff/fit", json={"id": "small"}))["param"] == "id"
    assert error_of(boss.post("/staff/fit", json={}))["param"] == "id"
    assert boss.post("/staff/fit", json={"id": "alice/none"}).status_code == 404
    assert made.sent.get("tokenizer.json") is None


# --- what becomes of a wish -----------------------------------------------------------------------


def test_opposite_buttons_end_in_one_state_and_the_log_says_whose(
    house: RunningServer, boss: httpx.Client, sessions: dict[str, str]
) -> None:
    with signed_in(house, sessions["deputy"]) as deputy, ThreadPoolExecutor(2) as pool:

        def press(client: httpx.Client, what: str) -> None:
            for _ in range(8):
                assert client.post(ASK.format("near", what)).status_code == 302

        both = [pool.submit(press, boss, "pin"), pool.submit(press, deputy, "unload")]
        for each in both:
            each.result(60)
    *log, wish = house.shell(LOG.format(model="near")).splitlines()
    own = {"boss asked to pin", "deputy asked to unload"}
    assert len(log) == 16 and set(log) == own
    assert wish == {"boss asked to pin": "pin", "deputy asked to unload": "none"}[log[-1]]
    state = {"pin": "ready", "none": "unloaded"}[wish]
    wait_until(lambda: one(boss, "near")["state"] == state, what=f"near is {state}")
    boss.post(ASK.format("near", "unload"))


def test_drained_models_finish_and_take_nothing_new(
    house: RunningServer, boss: httpx.Client, key: dict[str, str]
) -> None:
    body = {"model": "lab/slow", "messages": user(" ".join(["x"] * 100)), "stream": True}
    with httpx.stream("POST", f"{house.url}{CHAT}", json=body, headers=key, timeout=60) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data:")
        boss.post(ASK.format("lab/slow", "drain"))
        wait_until(lambda: one(boss, "lab/slow")["state"] == "draining", what="it drains")
        refused = httpx.post(f"{house.url}{CHAT}", json={**body, "stream": False}, headers=key)
        assert refused.status_code == 503
        assert error_of(refused)["code"] == "model_unavailable"
        assert "out of service" in error_of(refused)["message"]
        said = [line for line in lines if line.startswith("data:")]
    assert said[-1] == "data: [DONE]" and len(said) > 90
    wait_until(lambda: one(boss, "lab/slow")["state"] == "closed", what="it is gone")
    boss.post(ASK.format("lab/slow", "preload"))
    wait_until(lambda: one(boss, "lab/slow")["state"] == "ready", what="it is back")


def test_unload_reaches_a_copy_that_is_still_loading(
    house: RunningServer, boss: httpx.Client
) -> None:
    boss.post(ASK.format("lab/slow", "reload"))
    wait_until(lambda: one(boss, "lab/slow")["state"] == "loading", what="it loads")
    wait_until(lambda: one(boss, "lab/slow")["progress"], what="it is known how far it is")
    boss.post(ASK.format("lab/slow", "unload"))
    wait_until(lambda: one(boss, "lab/slow")["state"] == "unloaded", what="it is gone")


# --- the same from a shell ------------------------------------------------------------------------


def test_commands_do_what_buttons_do(house: RunningServer, boss: httpx.Client) -> None:
    done = command(house, "pin", "lab/slow")
    assert (done.returncode, done.stdout) == (0, "lab/slow: ready.\n")
    assert "lab/slow: loading for" in done.stderr
    lines = {line.split("\t")[0]: line for line in command(house, "list").stdout.splitlines()}
    assert lines["lab/slow"].startswith("lab/slow\ttext-generation\twish pin\tready\t0/0")
    assert "unloaded" in lines["near"]
    done = command(house, "test", "lab/slow", "one two")
    assert "0:one 1:two" in done.stdout and "2 tokens in" in done.stdout
    assert command(house, "unload", "lab/slow").stdout == "lab/slow: unloaded.\n"
    assert command(house, "drain", "near").stdout == "near: closed.\n"
    assert command(house, "unload", "near").stdout == "near: unloaded.\n"
    *log, _ = house.shell(LOG.format(model="near")).splitlines()
    assert log[-1].startswith("shell:") and log[-1].endswith(" asked to unload")


def test_commands_say_why_not(house: RunningServer, hub: Hub) -> None:
    hub.repos["alice/huge"] = repo(config=HUGE)
    for args, words in (
        (("preload", "broken"), "broken did not load: the disk is made of cheese"),
        (("test", "broken"), "made of cheese"),
        (("add", "alice/huge"), "GiB of a device can be made free"),
    ):
        done = command(house, *args)
        assert done.returncode == 1 and words in done.stderr, (args, done.stderr)
        assert "Traceback" not in done.stderr
    command(house, "unload", "broken")


def test_add_export_and_import(house: RunningServer, hub: Hub, tmp_path: Path) -> None:
    hub.repos["alice/new"] = repo(licence="mit")
    done = command(house, "add", "alice/new")
    assert "alice/new is in the catalogue." in done.stdout, done.stderr
    file = tmp_path / "catalogue.toml"
    command(house, "export", str(file))
    assert 'id = "alice/new"' in file.read_text()
    assert command(house, "import", str(file)).stdout == "0 added, 5 changed.\n"
    file.write_text('[[model]]\nid = "alice/new"\nmax_num_seqs = 0\n')
    done = command(house, "import", str(file))
    assert "alice/new, max_num_seqs:" in done.stderr


def test_an_import_looks_whether_cards_fit_and_takes_all_or_none(
    house: RunningServer, boss: httpx.Client, hub: Hub, tmp_path: Path
) -> None:
    hub.repos["alice/vast"] = repo(config=HUGE)
    hub.repos["alice/lean"] = repo()
    text = "".join(
        f'[[model]]\nid = "{name}"\nsource = "alice/{name}"\n' for name in ("lean", "vast")
    )
    file = tmp_path / "catalogue.toml"
    file.write_text(text)
    done = command(house, "import", str(file))
    assert done.returncode == 1 and "vast, source: " in done.stderr and "GiB" in done.stderr
    assert "lean, " not in done.stderr and "Traceback" not in done.stderr
    page = boss.post("/admin/inference/cataloguerow/import/", data={"text": text}).text
    assert "vast, source: " in page and "GiB" in page
    assert one(boss, "lean") is None and one(boss, "vast") is None
    file.write_text(text.partition('[[model]]\nid = "vast"')[0])
    assert command(house, "import", str(file)).stdout == "1 added, 0 changed.\n"
    wait_until(lambda: one(boss, "lean"), what="it is in the catalogue")
    for cards, param in ((3, "cards"), ([], "cards"), ([{"id": "x"}], "cards[0].source")):
        assert error_of(boss.post("/staff/fit", json={"cards": cards}))["param"] == param
