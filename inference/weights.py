"""What a folder of weights holds. Slow: call it in a thread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.catalogue import ModelCard
from inference.custom import limits_of
from inference.errors import ModelUnavailable, UnsafeFormat
from inference.found import PICKLES, check_code
from inference.hub import is_id
from inference.sizing import Shape, Weights


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
        return Weights(Shape(0, 0, 0, 0, 1), memory)
    config = _config(folder)
    check_code(card.id, config, card.trust_remote_code)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if not size and any(file.name.endswith(PICKLES) for file in folder.iterdir()):
        raise UnsafeFormat(
            f"The weights of `{card.id}` are pickles, which run code when they are read. Only "
            "safetensors are loaded."
        )
    return Weights(Shape.of(config), size, "quantization_config" in config)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The folder `{folder.name}` has no readable config.json: {type(error).__name__}.", 60
        ) from error
    return found
