"""What follows a decision of staff: the wheels, the hash, and the card in the catalogue."""

from __future__ import annotations

import logging
import threading

from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils import timezone

from inference import custom
from inference.models import CatalogueRow

from .models import CustomModel

logger = logging.getLogger(__name__)
State = CustomModel.State


def approve(model: CustomModel, digest: str, by: User) -> bool:
    """Build it in the background; False if it is not what `by` saw any more."""
    if not _decide(model, digest, State.BUILDING, by):
        return False
    threading.Thread(target=_build_and_close, args=(model.pk, digest), daemon=True).start()
    return True


def refuse(model: CustomModel, digest: str, by: User, reason: str = "") -> bool:
    """Say no, also to what is in service; False if it is not what `by` saw any more."""
    with transaction.atomic():
        if not _decide(model, digest, State.REFUSED, by, reason or f"{by} refused it."):
            return False
        CatalogueRow.objects.filter(id=model.model_id, engine="custom").delete()
        CustomModel.objects.filter(pk=model.pk).update(approved_digest="")
        return True


def _decide(model: CustomModel, digest: str, state: str, by: User, problem: str = "") -> bool:
    found = CustomModel.objects.filter(pk=model.pk, digest=digest)
    now = timezone.now()
    changed = found.update(state=state, problem=problem[:500], trace="", decided_by=by, decided=now)
    return bool(changed)


def _build_and_close(pk: int, digest: str) -> None:
    """In a thread: build it, whatever becomes of that, and leave no connection behind."""
    try:
        build(pk, digest)
    except Exception:
        logger.exception("Building a custom model broke")
        _still(pk, digest).update(state=State.FAILED, problem="Building it broke; see the log.")
    finally:
        connections.close_all()


def build(pk: int, digest: str) -> None:
    """Build what was approved and put its card into the catalogue. Minutes, where it has wheels."""
    model = CustomModel.objects.filter(pk=pk, digest=digest).first()
    if model is None:
        return
    try:
        built = custom.build(model.code, model.requirements, model.wants_network)
    except custom.CustomError as error:
        words = {"problem": error.message[:500], "trace": error.trace}
        _still(pk, digest).update(state=State.FAILED, **words)
        return
    with transaction.atomic():
        # The author may have changed it meanwhile, or staff their mind.
        if _still(pk, digest).update(state=State.APPROVED, approved_digest=digest):
            _into_catalogue(model, built)


def _still(pk: int, digest: str):  # type: ignore[no-untyped-def]
    return CustomModel.objects.filter(pk=pk, digest=digest, state=State.BUILDING)


def _into_catalogue(model: CustomModel, built: custom.Built) -> None:
    """A copy of earlier code that runs finishes its answers and goes."""
    args = {"run": built.signature.as_dict(), "network": model.wants_network}
    CatalogueRow.objects.update_or_create(
        id=model.model_id,
        defaults={
            "source": str(built.folder),
            "revision": built.digest,
            "engine": "custom",
            "task": built.task,
            "max_num_seqs": 1,
            "engine_args": args,
            "notes": model.notes,
            "unload_before": timezone.now(),
        },
    )
