"""What a folder of weights holds. Slow: call it in a thread."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.catalogue import ModelCard
from inference.custom import limits_of
from inference.errors import ModelUnavailable, UnsafeFormat
from inference.found import PICKLES, check_code, hears, sees
from inference.hub import is_id
from inference.sizing import Shape, Weights

logger = logging.getLogger(__name__)

# What a model may say of how its tokens are drawn.
DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def local_folder(card: ModelCard) -> Path | None:
    """The folder that the card's source names, or None for a Hub id.

    What somebody found on the Hub is never a folder of ours, whatever its name is.
    """
    folder = settings.BASE_DIR / card.source
    return folder if not card.found and folder.is_dir() else None


def cached_folder(source: str, revision: str) -> Path | None:
    """The model in Hugging Face's own cache (HF_HOME), if somebody put all of it there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not is_id(source):
        return None
    try:
        found = snapshot_download(source, revision=revision or None, local_files_only=True)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return None
    return Path(found) if _is_whole(Path(found)) else None


def _is_whole(folder: Path) -> bool:
    index = folder / "model.safetensors.index.json"
    if not (folder / "config.json").exists():
        return False
    if not index.exists():
        return any(folder.glob("*.safetensors"))
    names = set(json.loads(index.read_text()).get("weight_map", {}).values())
    return all((folder / name).exists() for name in names)


def free_disk(folder: Path) -> int:
    """Bytes that may still be written where this installation keeps its data."""
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


def measure(card: ModelCard, folder: Path | None) -> Weights:
    """What the model of this card is made of.

    Raises ModelUnavailable for a folder without a config, UnsafeFormat, UnsafeCode.
    """
    if card.engine == "custom":
        return Weights(Shape(0, 0, 0, 0, 1), limits_of(card).memory_bytes)
    if card.engine == "echo" or folder is None:
        memory = int(card.engine_args.get("memory_bytes", 2**20))
        pictures, sounds = (bool(card.engine_args.get(name)) for name in ("pictures", "sounds"))
        return Weights(Shape(0, 0, 0, 0, 1), memory, pictures=pictures, sounds=sounds)
    config = config_of(folder)
    check_code(card.id, config, card.trust_remote_code)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if not size and any(file.name.endswith(PICKLES) for file in folder.iterdir()):
        raise UnsafeFormat(
            f"The weights of `{card.id}` are pickles, which run code when they are read. Only "
            "safetensors are loaded."
        )
    return Weights(
        Shape.of(config),
        size,
        "quantization_config" in config,
        sees(config),
        hears(config),
        _defaults(folder),
    )


def _defaults(folder: Path) -> dict[str, float]:
    """How tokens are drawn by default; a model without such a file has no wishes of its own."""
    file = folder / "generation_config.json"
    try:
        said = json.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read: %s", file, error)
        return {}
    given = said if isinstance(said, dict) else {}
    return {name: given[name] for name in DEFAULTS if type(given.get(name)) in (int, float)}


def config_of(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder. Raises ModelUnavailable where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The folder `{folder.name}` has no readable config.json: {type(error).__name__}.", 60
        ) from error
    return found
