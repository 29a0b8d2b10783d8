"""Cards, rows and the admin page that writes wishes."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from inference.catalogue import CardError, Catalogue, ModelCard, check_card, read_cards
from inference.errors import ModelNotFound
from inference.models import CatalogueRow

SHIPPED = settings.BASE_DIR / "inference" / "catalogue.toml"


def test_shipped_cards_are_good_and_the_first_needs_no_hub() -> None:
    cards = read_cards(SHIPPED)
    assert len(cards) >= 4
    assert (settings.BASE_DIR / cards[0].source).is_dir()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("id", {"id": "two words"}),
        ("id", {"id": ""}),
        ("source", {"source": ""}),
        ("engine", {"engine": "steam"}),
        ("task", {"task": "dreaming"}),
        ("wish", {"wish": "maybe"}),
        ("max_num_seqs", {"max_num_seqs": 0}),
        ("max_model_len", {"max_model_len": 3}),
        ("engine_args", {"engine_args": {"chat_template": "/etc/passwd"}}),
    ],
)
def test_card_that_cannot_work_names_the_field(field: str, change: dict[str, object]) -> None:
    card = ModelCard(**{"id": "a", "source": "b", **change})  # type: ignore[arg-type]
    with pytest.raises(CardError) as caught:
        check_card(card)
    assert caught.value.field == field


def test_unknown_key_in_a_catalogue_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cards.toml"
    path.write_text('[[model]]\nid = "a"\nsource = "b"\ncolour = "red"\n')
    with pytest.raises(CardError, match="colour"):
        read_cards(path)


def test_id_wins_over_an_alias_of_the_same_name() -> None:
    catalogue = Catalogue([ModelCard("a", "x", aliases=("b", "c")), ModelCard("b", "y")])
    assert [catalogue.find(n) and catalogue.find(n).id for n in "abc"] == ["a", "b", "a"]  # type: ignore[union-attr]


@pytest.mark.django_db
def test_migrate_fills_missing_rows_and_changes_no_other() -> None:
    names = [card.id for card in read_cards(settings.CATALOGUE)]
    assert [row.id for row in CatalogueRow.objects.all()] == names
    CatalogueRow.objects.filter(id="pocket").update(notes="ours")
    CatalogueRow.objects.filter(id=names[1]).delete()
    assert CatalogueRow.objects.fill_missing() == 1
    assert CatalogueRow.objects.fill_missing() == 0
    assert CatalogueRow.objects.get(id="pocket").notes == "ours"


@pytest.mark.django_db
def test_row_and_card_say_the_same() -> None:
    for card in read_cards(SHIPPED):
        row = CatalogueRow.objects.get(id=card.id).card()
        assert row == ModelCard(
            **{name: getattr(card, name) for name in card.__slots__ if name != "created"},
            created=row.created,
        )


@pytest.mark.django_db
def test_one_default_at_a_time() -> None:
    CatalogueRow.objects.set_default("pocket")
    CatalogueRow.objects.set_default("Qwen/Qwen3-8B")
    rows = CatalogueRow.objects.filter(is_default=True)
    assert [(row.id, row.wish) for row in rows] == [("Qwen/Qwen3-8B", "pin")]
    with pytest.raises(ModelNotFound):
        CatalogueRow.objects.set_default("nobody")


@pytest.mark.django_db
def test_row_with_a_bad_argument_is_refused_at_its_field() -> None:
    row = CatalogueRow(id="a", source="b", engine_args={"rm": "-rf"})
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert "engine_args" in caught.value.message_dict


@pytest.mark.django_db
def test_stamp_changes_with_any_row() -> None:
    before = CatalogueRow.objects.stamp()
    CatalogueRow.objects.get(id="pocket").ask("pin")
    assert CatalogueRow.objects.stamp() != before


@pytest.mark.django_db
def test_stamp_changes_with_a_row_that_is_written_with_an_older_time() -> None:
    """Of two transactions the later one may end first, and clocks are set back."""
    later = timezone.now() + timedelta(seconds=1)
    CatalogueRow.objects.filter(id="pocket").update(changed=later)
    before = CatalogueRow.objects.stamp()
    CatalogueRow.objects.get(id="Qwen/Qwen3-8B").ask("pin")
    assert CatalogueRow.objects.stamp() != before


@pytest.mark.parametrize(
    ("ask", "wish"), [("preload", "preload"), ("pin", "pin"), ("unload", "none")]
)
def test_admin_button_writes_the_wish_and_the_log(staff: Client, ask: str, wish: str) -> None:
    answer = staff.post(f"/admin/inference/cataloguerow/Qwen/Qwen3-8B/ask/{ask}")
    assert answer.status_code == 302
    row = CatalogueRow.objects.get(id="Qwen/Qwen3-8B")
    assert row.wish == wish
    assert (row.unload_before is not None) == (ask == "unload")
    assert LogEntry.objects.get().change_message == f"asked to {ask}"


def test_admin_list_shows_state_and_buttons(staff: Client) -> None:
    page = staff.get("/admin/inference/cataloguerow/").content.decode()
    assert "not yet known" in page
    assert "/admin/inference/cataloguerow/Qwen/Qwen3-8B/ask/pin" in page


def test_admin_action_asks_for_every_chosen_model(staff: Client) -> None:
    staff.post(
        "/admin/inference/cataloguerow/",
        {"action": "preload", "_selected_action": ["pocket", "Qwen/Qwen3-8B"]},
    )
    assert CatalogueRow.objects.filter(wish="preload").count() == 2


def test_wish_needs_post_and_staff(staff: Client, client: Client) -> None:
    address = "/admin/inference/cataloguerow/pocket/ask/pin"
    assert staff.get(address).status_code == 405
    assert staff.post(address.replace("pin", "explode")).status_code == 403
    staff.logout()
    assert client.post(address).status_code == 302
    assert CatalogueRow.objects.get(id="pocket").wish == "none"


def test_admin_shows_what_switches_took(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.service import InferenceService

    service = InferenceService()
    monkeypatch.setattr("inference.admin.get_service", lambda: service)
    service._catalogue = Catalogue([ModelCard("<b>one", "echo", engine="echo")])
    address = "/admin/inference/cataloguerow/switches/"
    assert "Nothing has been loaded yet." in staff.get(address).content.decode()
    for seconds, why in ((1.5, ""), (2.5, ""), (30.0, "the disk is made of cheese")):
        service._fleet.note("<b>one", "load", seconds, why)
    page = staff.get(address).content.decode()
    assert "2.50 / 2.00" in page
    assert "the disk is made of cheese" in page
    assert "<b>one" not in page and "&lt;b&gt;one" in page
    assert address in staff.get("/admin/inference/cataloguerow/").content.decode()


def test_switches_are_for_staff(client: Client, db: None) -> None:
    assert client.get("/admin/inference/cataloguerow/switches/").status_code == 302
