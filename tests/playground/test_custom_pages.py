"""Submitting code, seeing what became of it, and deciding on it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from inference.models import CatalogueRow
from playground.custom import approval
from playground.custom.models import MAX_MODELS, CustomModel

pytestmark = pytest.mark.django_db

UPPER = """
def load():
    return str.upper

def run(model, text: str, times: int = 1) -> list[str]:
    return [model(text)] * times
"""
EVIL = 'def load(): pass\n"</pre><script>alert(1)</script>"\ndef run(model): pass\n'
State = CustomModel.State


@pytest.fixture
def alice(staff: Client) -> Client:
    """Signed in, and nobody special."""
    client = Client()
    client.force_login(User.objects.create_user("alice"))
    return client


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """What was given to be built."""
    asked: list[tuple[int, str]] = []
    monkeypatch.setattr(approval, "_build_and_close", lambda *words: asked.append(words))
    return asked


def submit(client: Client, name: str = "upper", code: str = UPPER, **more: Any) -> Any:
    return client.post(reverse("custom"), {"name": name, "code": code, **more})


def decide(staff: Client, model: CustomModel, decision: str = "approve", digest: str = "") -> Any:
    args = [model.pk, decision, digest or model.digest]
    return staff.post(reverse("admin:custom_custommodel_decide", args=args), follow=True)


def test_nobody_submits_unless_signed_in() -> None:
    for path in (reverse("custom"), reverse("custom-withdraw", args=["x"])):
        assert Client().get(path).status_code == 302
        assert Client().post(path, {"name": "x", "code": UPPER}).status_code == 302
    assert not CustomModel.objects.exists()


def test_pasted_code_and_files_wait_for_approval(alice: Client) -> None:
    assert submit(alice).status_code == 302
    file = SimpleUploadedFile("model.py", UPPER.encode())
    assert submit(alice, "from-file", "", code_file=file).status_code == 302
    pasted, sent = CustomModel.objects.order_by("pk")
    assert pasted.state == sent.state == State.SUBMITTED
    assert pasted.code.strip() == sent.code.strip() == UPPER.strip()
    page = alice.get(reverse("custom")).content.decode()
    assert "custom/upper" in page and "waits for approval" in page
    assert not CatalogueRow.objects.filter(engine="custom").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "../etc"}, "Small letters"),
        ({"code": " "}, "There is no code"),
        ({"code": "x" * 300_000}, "more than 262,144 bytes"),
        ({"code": "print('\x00')"}, "characters"),
        ({"requirements": "numpy>=1"}, "not pinned"),
        ({"requirements": "numpy==1.*"}, "not pinned"),
        ({"requirements": "x @ https://example.org/x.whl"}, "not pinned"),
        ({"requirements": "--index-url=https://example.org"}, "no requirement"),
    ],
)
def test_what_cannot_be_a_model_is_refused_in_words(
    alice: Client, given: dict[str, str], said: str
) -> None:
    answer = alice.post(reverse("custom"), {"name": "x", "code": UPPER, **given})
    assert answer.status_code == 400 and said in answer.content.decode()
    assert not CustomModel.objects.exists()


def test_others_models_are_not_there(alice: Client) -> None:
    submit(alice, code=UPPER + "# hers alone\n")
    bob = Client()
    bob.force_login(User.objects.create_user("bob"))
    assert "hers alone" not in bob.get(reverse("custom")).content.decode()
    assert bob.post(reverse("custom-withdraw", args=["upper"])).status_code == 404
    taken = submit(bob)
    assert taken.status_code == 400 and "Somebody else" in taken.content.decode()
    assert bob.get(reverse("admin:custom_custommodel_changelist")).status_code == 302


def test_nobody_has_models_without_end(alice: Client) -> None:
    submit(alice)
    author = User.objects.get(username="alice")
    more = [CustomModel(author=author, name=f"m{i}") for i in range(MAX_MODELS - 1)]
    CustomModel.objects.bulk_create(more)
    assert submit(alice, "one-more").status_code == 400
    assert submit(alice, "upper").status_code == 302


def test_staff_see_code_hash_and_author_and_nothing_of_it_runs(
    alice: Client, staff: Client
) -> None:
    """W2: the code is shown, not interpreted."""
    submit(alice, code=EVIL, requirements="numpy==2.0")
    model = CustomModel.objects.get()
    page = staff.get(reverse("admin:custom_custommodel_change", args=[model.pk])).content.decode()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    for shown in (model.digest, "alice", "numpy==2.0"):
        assert shown in page
    assert not re.search(r"<textarea[^>]*name=.code", page)
    assert "<script>alert(1)" not in alice.get(reverse("custom")).content.decode()


def test_a_decision_is_for_the_code_that_was_seen(
    alice: Client, staff: Client, building: list[tuple[int, str]]
) -> None:
    submit(alice)
    seen = CustomModel.objects.get()
    submit(alice, code=UPPER + "import os\n")
    assert "changed meanwhile" in decide(staff, seen).content.decode()
    model = CustomModel.objects.get()
    assert model.state == State.SUBMITTED and not building
    assert staff.get(f"/admin/custom/custommodel/{model.pk}/approve/x/").status_code == 405
    decide(staff, model)
    assert building == [(model.pk, model.digest)]
    entry = LogEntry.objects.get()
    assert entry.change_message == f"approved the code {model.digest}"
    model.refresh_from_db()
    assert model.state == State.BUILDING and str(model.decided_by) == "staff"


@pytest.mark.jail
def test_approved_code_becomes_a_model(
    alice: Client, staff: Client, building: list[tuple[int, str]]
) -> None:
    submit(alice, notes="In capitals.")
    decide(staff, CustomModel.objects.get())
    approval.build(*building.pop())
    model = CustomModel.objects.get()
    row = CatalogueRow.objects.get(id="custom/upper")
    assert model.state == State.APPROVED and row.revision == model.digest == model.approved_digest
    row.full_clean()
    assert (row.engine, row.task, row.notes) == ("custom", "custom", "In capitals.")
    names = [each["name"] for each in row.engine_args["run"]["parameters"]]
    assert names == ["text", "times"]

    # Other code: the old goes on until staff have seen the new.
    submit(alice, code=UPPER + "\n# more\n")
    model.refresh_from_db()
    assert model.state == State.SUBMITTED and model.digest != row.revision
    assert "is in service until then" in alice.get(reverse("custom")).content.decode()
    decide(staff, model, "refuse")
    assert not CatalogueRow.objects.filter(engine="custom").exists()
    assert "refused" in alice.get(reverse("custom")).content.decode()


@pytest.mark.jail
def test_code_that_cannot_be_built_says_why_to_its_author_and_staff(
    alice: Client, staff: Client, building: list[tuple[int, str]]
) -> None:
    submit(alice, code="import nowhere_to_be_found\n")
    decide(staff, CustomModel.objects.get())
    approval.build(*building.pop())
    model = CustomModel.objects.get()
    assert model.state == State.FAILED and "nowhere_to_be_found" in model.problem
    assert "Traceback" in model.trace
    assert "Traceback" in alice.get(reverse("custom")).content.decode()
    address = reverse("admin:custom_custommodel_change", args=[model.pk])
    assert "Traceback" in staff.get(address).content.decode()
    assert not CatalogueRow.objects.filter(engine="custom").exists()


def test_withdrawing_takes_the_card_along(alice: Client) -> None:
    submit(alice)
    CatalogueRow.objects.create(id="custom/upper", source="x", engine="custom", task="custom")
    assert alice.post(reverse("custom-withdraw", args=["upper"])).status_code == 302
    assert not CustomModel.objects.exists()
    assert not CatalogueRow.objects.filter(id="custom/upper").exists()


def test_models_go_with_their_author(alice: Client) -> None:
    submit(alice)
    CatalogueRow.objects.create(id="custom/upper", source="x", engine="custom", task="custom")
    User.objects.get(username="alice").delete()
    assert not CatalogueRow.objects.filter(id="custom/upper").exists()
