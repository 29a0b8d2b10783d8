"""How a child loads the weights of a model: where they go, and in how many bits.

`inference/sizing.py` chooses the rung; here it becomes the arguments of `from_pretrained`.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.catalogue import RUNGS
from inference.errors import LoadFailed

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".joblib")
CONFIGS = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
UNSAFE = "unsafe_format"
CODE = (
    "It comes with code of its own (`auto_map`), which runs only where its card says so, in a jail."
)
FULL, EIGHT_BIT, FOUR_BIT, CPU_OFFLOAD, DISK_OFFLOAD = RUNGS


@dataclass(frozen=True, slots=True)
class Loading:
    """One model and its place. Memory in bytes, for weights.

    `source` is a folder or a Hub id. `kind` is cpu or cuda, `devices` counts the GPUs, which the
    child sees as 0, 1 …. `device_bytes` is for each of them, and `host_bytes` for the machine's own
    memory; both count only where `rung` spreads the model over several memories. `offload` is the
    folder for what fits in none of them. `trust` is only for a child in a jail: it lets code run
    that comes with the model.
    """

    source: str
    revision: str = ""
    dtype: str = "auto"
    kind: str = "cpu"
    devices: int = 1
    rung: str = FULL
    device_bytes: int = 0
    host_bytes: int = 0
    offload: str = ""
    trust: bool = False

    @property
    def device(self) -> str:
        """Where inputs go, in torch's words."""
        return "cpu" if self.kind == "cpu" else "cuda:0"

    def repository(self) -> dict[str, Any]:
        """What every `from_pretrained` gets: tokenizers, processors and configs too."""
        return {"revision": self.revision or None, "trust_remote_code": self.trust}

    def weights(self) -> dict[str, Any]:
        """What a model's `from_pretrained` gets."""
        found = {**self.repository(), "dtype": self._dtype(), "use_safetensors": True}
        if self.rung in (EIGHT_BIT, FOUR_BIT):
            found["quantization_config"] = self._bits()
        place = self._device_map()
        if place is not None:
            found["device_map"] = place
        if self.rung in (CPU_OFFLOAD, DISK_OFFLOAD):
            found["max_memory"] = self._max_memory()
        if self.rung == DISK_OFFLOAD:
            found |= {"offload_folder": self.offload, "offload_state_dict": True}
        return found

    def _dtype(self) -> Any:
        import torch

        return "auto" if self.dtype == "auto" else getattr(torch, self.dtype)

    def _bits(self) -> Any:
        import torch
        from transformers import BitsAndBytesConfig

        if self.rung == EIGHT_BIT:
            return BitsAndBytesConfig(load_in_8bit=True)
        compute = torch.float32 if self.kind == "cpu" else torch.bfloat16
        return BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
        )

    def _device_map(self) -> str | Mapping[str, Any] | None:
        if self.rung in (CPU_OFFLOAD, DISK_OFFLOAD) or self.devices > 1:
            return "auto"
        if self.kind == "cpu":
            return {"": "cpu"} if self.rung in (EIGHT_BIT, FOUR_BIT) else None
        return {"": 0}

    def _max_memory(self) -> dict[int | str, int]:
        found: dict[int | str, int] = {"cpu": self.host_bytes}
        if self.kind != "cpu":
            found |= dict.fromkeys(range(self.devices), self.device_bytes)
        return found


def check_repository(loading: Loading) -> None:
    """Raise LoadFailed for weights that are pickles, and for code that comes with them."""
    folder = Path(loading.source)
    if folder.is_dir():
        names = [file.name for file in folder.rglob("*")]
        pickles = [name for name in names if name.endswith(PICKLES)]
        if pickles and not any(name.endswith(".safetensors") for name in names):
            raise LoadFailed(f"{UNSAFE}: its weights are `{pickles[0]}`, which may run code.")
    for name in CONFIGS:
        file = _file(loading, name)
        if not loading.trust and file is not None and "auto_map" in _json(file):
            raise LoadFailed(CODE)


def _file(loading: Loading, name: str) -> Path | None:
    from transformers.utils import cached_file

    found = cached_file(
        loading.source,
        name,
        revision=loading.revision or None,
        _raise_exceptions_for_missing_entries=False,
    )
    return Path(found) if found else None


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise LoadFailed(f"Its {file.name} is no JSON.") from error


def free_memory() -> None:
    """Give back what nobody holds any more, after memory ran out."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
