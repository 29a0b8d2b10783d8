"""Tasks whose input is a film."""

from __future__ import annotations

from typing import Any

from inference.engines.program import Call
from inference.errors import InvalidRequest, LoadFailed

from . import media
from .kind import Kind

DEFAULT_LABELS = 5
DEFAULT_FRAMES = 16


class VideoClassification(Kind):
    """[{label, score}, …]

    Not by transformers' pipeline: it takes addresses and paths of films, never their bytes.
    """

    model: Any
    reader: Any

    def load(self) -> None:
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise LoadFailed(f"Films need PyAV, and no build of it loads: {error}") from error
        self.reader = self.origin.part("AutoImageProcessor")
        self.model = self.origin.model("AutoModelForVideoClassification")

    def read(self, call: Call) -> Any:
        config = self.model.config
        count = int(getattr(config, "num_frames", DEFAULT_FRAMES))
        if call.parameters.get("num_frames", count) != count:
            raise InvalidRequest(f"This model takes {count} frames.", "parameters.num_frames")
        every = int(call.parameters.get("frame_sampling_rate") or 1)
        return media.frames(call.inputs, count, every)

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        import torch

        found = []
        for film in inputs:
            encoded = self.reader(film, return_tensors="pt").to(self.model.device)
            with torch.inference_mode():
                logits = self.model(**encoded).logits[0].float()
            found.append(self._named(logits, options))
        return found

    def _named(self, logits: Any, options: dict[str, Any]) -> list[dict[str, Any]]:
        ways = {"softmax": logits.softmax(-1), "sigmoid": logits.sigmoid(), "none": logits}
        scores = ways[options.get("function_to_apply") or "softmax"]
        count = min(options.get("top_k") or DEFAULT_LABELS, len(scores))
        best, ids = scores.topk(count)
        names = self.model.config.id2label
        pairs = zip(best.tolist(), ids.tolist(), strict=True)
        return [{"label": names[i], "score": score} for score, i in pairs]
