"""What the Hub says of a model: its commit, files, config and size. No weights are fetched for it.

Slow: call it in a thread. Only the configured endpoint is ever asked.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings

from inference.errors import LicenceRefused, ModelNotFound, ModelUnavailable

# One owner and one name. Nothing that means something else in a path or an address.
ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
CONFIG_MAX_BYTES = 2**20
FIELDS = ["sha", "pipeline_tag", "cardData"]
TYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Found:
    """A model on the Hub at one commit.

    `files` are paths and bytes; `weight_bytes` is what the headers of its weights say, 0 where they
    do not; `config` is empty where there is none.
    """

    id: str
    commit: str
    files: Mapping[str, int]
    config: Mapping[str, Any]
    weight_bytes: int = 0
    pipeline_tag: str = ""
    licence: str = ""


def is_id(name: str) -> bool:
    """Whether a name can be an id on the Hub: nothing else ever reaches the network or the disk."""
    return bool(ID.fullmatch(name)) and ".." not in name and "--" not in name


def is_weights(path: str) -> bool:
    """Whether a file holds weights in the one format that is safe to read."""
    return path.endswith(".safetensors")


def look_up(name: str, revision: str = "") -> Found:
    """The model of this id, at a revision or as it is now.

    Raises ModelNotFound, LicenceRefused for one that asks for consent that this server's token has
    not given, ModelUnavailable where the Hub does not answer.
    """
    if not is_id(name):
        raise ModelNotFound(name)
    return _told(name, lambda: _ask(name, revision))


def _told(name: str, ask: Callable[[], Told]) -> Told:
    import httpx2
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError as error:
        raise LicenceRefused(
            f"The model `{name}` is gated: the Hub gives it to those who agreed to its terms. This "
            "server's token (HF_TOKEN) did not, or there is none."
        ) from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise ModelNotFound(name) from error
    except (
        errors.HfHubHTTPError,
        errors.OfflineModeIsEnabled,
        httpx2.HTTPError,
        OSError,
        ValueError,
    ) as error:
        reason = type(error).__name__
        raise ModelUnavailable(f"The Hub did not answer for `{name}`: {reason}.", 60) from error


def _ask(name: str, revision: str) -> Found:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=settings.HUB_ENDPOINT)
    info = api.model_info(
        name,
        revision=revision or None,
        expand=FIELDS,
        timeout=settings.HUB_SECONDS,
    )
    commit = str(info.sha)
    tree = api.list_repo_tree(info.id, recursive=True, revision=commit)
    files = {each.path: int(each.size) for each in tree if isinstance(each, RepoFile)}
    licence = (info.card_data or {}).get("license") or ""
    return Found(
        info.id,
        commit,
        files,
        _config(info.id, commit, files.get("config.json")),
        _weight_bytes(info.id, commit) if any(map(is_weights, files)) else 0,
        info.pipeline_tag or "",
        licence if isinstance(licence, str) else ", ".join(map(str, licence)),
    )


def _config(name: str, commit: str, size: int | None) -> Mapping[str, Any]:
    """Its config.json; empty where there is none, or one that no model has."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if size is None or size > CONFIG_MAX_BYTES:
        return {}
    url = hf_hub_url(name, "config.json", revision=commit, endpoint=settings.HUB_ENDPOINT)
    text = io.BytesIO()
    http_get(url, text, headers=build_hf_headers(), tqdm_class=Silence)
    found = json.loads(text.getvalue())
    return found if isinstance(found, dict) else {}


def _weight_bytes(name: str, commit: str) -> int:
    """Bytes of its parameters, from the headers of its safetensors files; 0: not told."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    try:
        told = HfApi(endpoint=settings.HUB_ENDPOINT).get_safetensors_metadata(name, revision=commit)
    except (NotASafetensorsRepoError, SafetensorsParsingError):
        return 0
    return sum(int(count * TYPE_BYTES.get(kind, 2)) for kind, count in told.parameter_count.items())


class Silence:
    """In the place of a progress bar; `update` is told of every piece."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def update(self, count: int) -> None:
        """So many bytes more."""
