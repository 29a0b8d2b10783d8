"""What a card's source holds: config and weights, on disk or on the Hub. Slow: call in a thread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.catalogue import ModelCard
from inference.errors import ModelUnavailable
from inference.sizing import Shape, Weights


def local_folder(card: ModelCard) -> Path | None:
    """The folder that the card's source names, or None for a Hub id."""
    folder = settings.BASE_DIR / card.source
    return folder if folder.is_dir() else None


def source_of(card: ModelCard) -> str:
    """The source as an engine takes it: an absolute folder, or a Hub id."""
    folder = local_folder(card)
    return str(folder) if folder else card.source


def free_disk(folder: Path) -> int:
    """Bytes that may still be written where this installation keeps its data."""
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


def measure(card: ModelCard) -> Weights:
    """What the model of this card is made of.

    Raises ModelUnavailable when neither the disk nor the Hub has a config for the source.
    """
    if card.engine == "echo":
        memory = int(card.engine_args.get("memory_bytes", 2**20))
        return Weights(Shape(0, 0, 0, 0, 1), memory)
    folder = local_folder(card)
    config, weight_bytes = _from_folder(folder) if folder else _from_hub(card)
    return Weights(Shape.of(config), weight_bytes, "quantization_config" in config)


def _from_folder(folder: Path) -> tuple[dict[str, Any], int]:
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The folder `{folder.name}` has no readable config.json: {type(error).__name__}.", 60
        ) from error
    return config, sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _from_hub(card: ModelCard) -> tuple[dict[str, Any], int]:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    revision = card.revision or None
    try:
        info = HfApi().model_info(card.source, revision=revision, files_metadata=True, timeout=10)
        config = hf_hub_download(card.source, "config.json", revision=revision)
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise ModelUnavailable(
            f"The Hub did not give `{card.source}`: {type(error).__name__}.", 60
        ) from error
    files = [f for f in info.siblings or [] if f.rfilename.endswith(".safetensors")]
    return json.loads(Path(config).read_text()), sum(f.size or 0 for f in files)
