"""The catalogue's admin: what is asked and logged, and cards refused at their fields."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from inference import ModelCard, Verdict
from inference.models import CatalogueRow

pytestmark = pytest.mark.django_db
ADMIN = "/admin/inference/cataloguerow/"
FIELDS = {
    "task": "text-generation", "engine": "echo", "wish": "none", "replicas": 1, "dtype": "auto",
    "max_num_seqs": 32, "aliases": "[]", "rungs": "[]", "engine_args": "{}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("asks", "wish", "unloads"),
    [
        (("pin", "drain"), "drain", False),
        (("drain", "preload"), "preload", False),
        (("reload",), "preload", True),
        (("pin", "reload"), "pin", True),
        (("pin", "unload"), "none", True),
    ],
)
def test_what_staff_ask_is_written_and_logged(
    staff: Client, asks: tuple[str, ...], wish: str, unloads: bool
) -> None:
    for what in asks:
        answer = staff.post(f"{ADMIN}pocket/ask/{what}?from=live")
        assert (answer.status_code, answer["Location"]) == (302, f"{ADMIN}live/")
    row = CatalogueRow.objects.get(id="pocket")
    assert row.wish == wish and (row.unload_before is not None) == unloads
    words = [each.change_message for each in LogEntry.objects.order_by("pk")]
    assert words == [f"asked to {what}" for what in asks]
    assert staff.post(f"{ADMIN}nobody/ask/pin").status_code == 404
    answer = staff.post(f"{ADMIN}Qwen/Qwen3-8B/ask/pin?from=change")
    assert answer["Location"] == f"{ADMIN}Qwen_2FQwen3-8B/change/"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("engine", "steam", "steam"),
        ("task", "dreaming", "dreaming"),
        ("engine_args", '{"chat_template": "/etc/passwd"}', "is not one of"),
        ("engine_args", '{"load_seconds": "soon"}', "is to be a number"),
        ("engine_args", "[1]", "are an object"),
        ("tool_parser", "mind-reader", "hermes"),
        ("reasoning_parser", "mind-reader", "qwen3"),
        ("aliases", '["pocket"]', "is a name of pocket"),
        ("max_model_len", "3", "at least 16 tokens"),
        ("slice", "-1", "for some seconds"),
        ("rungs", '["half"]', "is not one of"),
    ],
)
def test_card_that_cannot_work_is_refused_at_its_field(
    staff: Client, field: str, value: str, words: str
) -> None:
    form = {**FIELDS, "id": "new", "source": "echo", field: value}
    answer = staff.post(f"{ADMIN}add/", form)
    errors = answer.context["adminform"].form.errors
    assert answer.status_code == 200 and list(errors) == [field]
    assert words in errors[field][0]
    assert not CatalogueRow.objects.filter(id="new").exists()


def test_card_that_works_is_saved_and_logged(staff: Client) -> None:
    form = {**FIELDS, "id": "new", "source": "echo", "aliases": '["mine"]'}
    assert staff.post(f"{ADMIN}add/", form).status_code == 302
    assert CatalogueRow.objects.get(id="new").aliases == ["mine"]
    assert LogEntry.objects.get().object_id == "new"


def test_export_is_what_import_takes(staff: Client) -> None:
    CatalogueRow.objects.filter(id="pocket").update(wish="pin", engine_args={"seed": 3})
    text = staff.get(f"{ADMIN}export/").content.decode()
    assert tomllib.loads(text)["model"][0]["engine_args"] == {"seed": 3}
    before = {row.id: row.card() for row in CatalogueRow.objects.all()}
    CatalogueRow.objects.filter(id="Qwen/Qwen3-8B").delete()
    CatalogueRow.objects.filter(id="pocket").update(wish="none", engine_args={})
    answer = staff.post(f"{ADMIN}import/", {"text": text}, follow=True)
    assert f"1 added, {len(before) - 1} changed." in answer.content.decode()
    after = {row.id: row.card() for row in CatalogueRow.objects.all()}
    assert [_plain(after[name]) for name in before] == [_plain(card) for card in before.values()]
    assert LogEntry.objects.filter(change_message="imported").count() == len(before)


def _plain(card: Any) -> Any:
    return {name: getattr(card, name) for name in card.__slots__ if name != "created"}


def test_import_changes_only_what_is_named_and_all_or_nothing(staff: Client) -> None:
    known = '[[model]]\nid = "pocket"\nnotes = "ours"\n'
    good = '[[model]]\nid = "new"\nsource = "echo"\nengine = "echo"\n'
    bad = '[[model]]\nid = "worse"\nsource = "x"\ncolour = "red"\n'
    for text, words in (
        (known + good + bad, "worse, colour: A card has no field"),
        (known + good + '[[model]]\nid = "worse"\n', "worse, source: A card needs"),
        (known + good.replace("new", "x" * 300), "id: Ensure this value has at most 200"),
        ("[[model", "no catalogue in TOML"),
        ("", "Choose a file"),
    ):
        answer = staff.post(f"{ADMIN}import/", {"text": text})
        assert answer.status_code == 200
        assert words in answer.content.decode().replace("&#x27;", "'")
        assert not CatalogueRow.objects.filter(id="new").exists()
        assert CatalogueRow.objects.get(id="pocket").notes != "ours"
    before = CatalogueRow.objects.get(id="pocket")
    assert staff.post(f"{ADMIN}import/", {"text": known + good}).status_code == 302
    row = CatalogueRow.objects.get(id="pocket")
    assert row.notes == "ours" and row.max_num_seqs == before.max_num_seqs
    assert CatalogueRow.objects.get(id="new").engine == "echo"


def test_cards_that_do_not_fit_are_refused_and_nothing_is_imported() -> None:
    text = "".join(
        f'[[model]]\nid = "{name}"\nsource = "lab/{name}"\n' for name in ("small", "large", "odd")
    )
    known = '[[model]]\nid = "pocket"\nnotes = "ours"\n'
    by = User.objects.create_user("boss").pk
    asked: list[str] = []
    logged = 0

    def say(**said: Verdict) -> Callable[[Sequence[ModelCard]], list[Verdict]]:
        def verdicts(cards: Sequence[ModelCard]) -> list[Verdict]:
            # Nothing is written yet, and nobody else is kept from writing.
            assert LogEntry.objects.count() == logged
            asked.extend(card.id for card in cards)
            return [said.get(card.id, Verdict()) for card in cards]

        return verdicts

    refused = {"large": Verdict("source", "It needs 9 GiB."), "odd": Verdict("task", "It chats.")}
    with pytest.raises(ValidationError) as caught:
        CatalogueRow.objects.from_toml(known + text, by, say(**refused))
    assert caught.value.messages == ["large, source: It needs 9 GiB.", "odd, task: It chats."]
    # Notes decide nothing.
    assert asked == ["small", "large", "odd"]
    assert CatalogueRow.objects.get(id="pocket").notes != "ours"
    assert not LogEntry.objects.exists()

    unseen = say(large=Verdict(words="The Hub does not answer."))
    done = CatalogueRow.objects.from_toml(known + text, by, unseen)
    assert (done.added, done.changed) == (3, 1)
    assert done.warnings == ("large: The Hub does not answer.",)
    assert CatalogueRow.objects.get(id="pocket").notes == "ours"
    logged = LogEntry.objects.filter(change_message="imported").count()
    assert logged == 4
    del asked[:]
    longer = '[[model]]\nid = "small"\nmax_model_len = 64\n'
    CatalogueRow.objects.from_toml(known + longer, by, say())
    assert asked == ["small"]
