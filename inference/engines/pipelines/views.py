"""Tasks whose input is a picture, or several."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from inference.engines.program import Call
from inference.errors import InvalidRequest, LoadFailed
from inference.requests import Media

from . import media
from .kind import Kind, PipelineKind, labels, ranked, template

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_LABELS = 5


class PictureKind(PipelineKind):
    """A picture goes in."""

    lists = True

    def read(self, call: Call) -> Any:
        return media.picture(call.inputs)


class ImageClassification(PictureKind):
    """[{label, score}, …]"""

    def options(self, call: Call) -> dict[str, Any]:
        return {"top_k": DEFAULT_LABELS, **call.parameters}

    def write(self, result: Any, call: Call) -> Any:
        return ranked(result)


class ZeroShotImageClassification(PictureKind):
    """[{label, score}, …]"""

    def read(self, call: Call) -> Any:
        labels(call)
        template(call)
        return super().read(call)


class ImageSegmentation(PictureKind):
    """[{label, mask, score}, …], each mask a picture in black and white."""

    # Its own post-processing takes one picture at a time.
    together = False

    def write(self, result: Any, call: Call) -> Any:
        return [{**each, "mask": media.png(each["mask"])} for each in result]


class ObjectDetection(PictureKind):
    """[{label, score, box}, …]"""

    together = False


class ZeroShotObjectDetection(PictureKind):
    """[{label, score, box}, …]"""

    together = False

    def read(self, call: Call) -> Any:
        return {"image": super().read(call), "candidate_labels": labels(call)}

    def options(self, call: Call) -> dict[str, Any]:
        return {k: v for k, v in call.parameters.items() if k != "candidate_labels"}


class DepthEstimation(PictureKind):
    """{depth, predicted_depth}: a picture, and the numbers as a NumPy file of float32."""

    together = False

    def write(self, result: Any, call: Call) -> Any:
        import numpy as np

        into = io.BytesIO()
        np.save(into, result["predicted_depth"].squeeze().float().cpu().numpy())
        numbers = Media(into.getvalue(), "application/x-npy")
        return {"depth": media.png(result["depth"]), "predicted_depth": numbers}


class ImageFeatures(PictureKind):
    """Vectors of each patch; `pool` for one of the whole picture."""


class MaskGeneration(PictureKind):
    """[{mask, score}, …], best first."""

    together = False

    def load(self) -> None:
        try:
            import torchvision  # noqa: F401
        except Exception as error:  # a build that does not fit raises whatever it likes
            raise LoadFailed(
                "Masks need torchvision, and no build of it that fits is installed."
            ) from error
        super().load()

    def write(self, result: Any, call: Call) -> Any:
        import numpy as np
        from PIL import Image

        pairs = zip(result["masks"], result["scores"], strict=True)
        found = [
            {"mask": media.png(Image.fromarray(np.asarray(mask, dtype="uint8") * 255)), "score": s}
            for mask, s in pairs
        ]
        return sorted(found, key=lambda each: -float(each["score"]))


class KeypointMatching(PipelineKind):
    """[{keypoint_image_0, keypoint_image_1, score}, …]"""

    together = False

    def read(self, call: Call) -> list[Image]:
        pair = call.inputs.get("images") if isinstance(call.inputs, dict) else call.inputs
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidRequest("Expected two pictures.", "inputs")
        return [media.picture(each, f"inputs[{i}]") for i, each in enumerate(pair)]


class ImageToImage(Kind):
    """A picture."""

    together = False
    model: Any
    reader: Any

    def load(self) -> None:
        self.reader = self.origin.part("AutoImageProcessor")
        self.model = self.origin.model("AutoModelForImageToImage")

    def read(self, call: Call) -> Any:
        if call.parameters:
            name = min(call.parameters)
            raise InvalidRequest(f"This model has no {name}.", f"parameters.{name}")
        return media.picture(call.inputs)

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        import torch
        from PIL import Image

        encoded = self.reader(images=inputs, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            made = self.model(**encoded).reconstruction.float().clamp(0, 1)
        pictures = (made * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [media.png(Image.fromarray(each)) for each in pictures]
