"""Who may ask for a model that is not in the catalogue, by its id on the Hub (HUB_MODELS)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from django.conf import settings

from playground.accounts.access import Caller


def may_add(model: str | None, caller: Caller) -> bool:
    """Whether this name may be looked up on the Hub for whoever asks."""
    if not model or caller.terms_for(model) is None:
        return False
    policy = settings.HUB_MODELS
    if policy == "allowlist":
        return any(fnmatchcase(model, each) for each in settings.HUB_ALLOWLIST)
    return bool(policy == "open" or (policy == "staff" and caller.staff))
