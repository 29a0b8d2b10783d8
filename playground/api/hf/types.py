"""Input and parameter types in the form of `huggingface_hub`'s, for tasks that it has none for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class MaskGenerationParameters:
    """As the arguments of transformers' pipeline."""

    points_per_batch: int | None = None
    points_per_crop: int | None = None
    crops_n_layers: int | None = None
    crop_overlap_ratio: float | None = None
    crop_n_points_downscale_factor: int | None = None
    crops_nms_thresh: float | None = None
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float | None = None
    mask_threshold: float | None = None


@dataclass
class MaskGenerationOutputElement:
    """`mask` is a PNG in base64."""

    mask: str
    score: float


@dataclass
class KeypointMatchingParameters:
    """Pairs with a lower score are left out."""

    threshold: float | None = None


@dataclass
class Keypoint:
    """A place in a picture, in pixels."""

    x: float
    y: float


@dataclass
class KeypointMatchingOutputElement:
    """Two places that show the same."""

    keypoint_image_0: Keypoint
    keypoint_image_1: Keypoint
    score: float


@dataclass
class AnyToAnyParameters:
    """`generation_mode` is what the model is to answer with."""

    generation_mode: Literal["text", "image", "audio"] | None = None
    generation_parameters: dict[str, Any] | None = None
    max_new_tokens: int | None = None


@dataclass
class AnyToAnyOutputElement:
    """One of them; bytes are base64."""

    generated_text: str | None = None
    generated_image: str | None = None
    generated_audio: str | None = None


@dataclass
class ImageTextToTextParameters:
    """How the answer is drawn."""

    generation_parameters: dict[str, Any] | None = None
    max_new_tokens: int | None = None


@dataclass
class ImageFeatureExtractionParameters:
    """`pool`: one vector of the whole picture."""

    pool: bool | None = None


@dataclass
class ZeroShotAudioClassificationParameters:
    """As for pictures."""

    candidate_labels: list[str]
    hypothesis_template: str | None = None


@dataclass
class ZeroShotObjectDetectionParameters:
    """Hugging Face's own, and what its pipeline takes besides."""

    candidate_labels: list[str]
    threshold: float | None = None
    top_k: int | None = None


@dataclass
class NoParameters:
    """None at all."""
