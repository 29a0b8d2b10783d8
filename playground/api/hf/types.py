"""Input and parameter types in the form of `huggingface_hub`'s, for tasks that it has none for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class MaskGenerationParameters:
    """As the arguments of transformers' pipeline."""

    points_per_batch: int | None = None
    """How many points are looked at together: more is faster and takes more memory."""
    points_per_crop: int | None = None
    """Points along each side of the grid that is laid over a crop."""
    crops_n_layers: int | None = None
    """How many times the picture is cut up into smaller crops, which finds smaller things."""
    crop_overlap_ratio: float | None = None
    """How far crops overlap, as a part of the picture's length."""
    crop_n_points_downscale_factor: int | None = None
    """In each further layer of crops the grid has so many times fewer points a side."""
    crops_nms_thresh: float | None = None
    """Of masks from different crops that overlap more than this, the best one is kept."""
    pred_iou_thresh: float | None = None
    """Masks that the model thinks worse of than this are left out."""
    stability_score_thresh: float | None = None
    """Masks that change more than this with their cut-off are left out; 1 is no change."""
    stability_score_offset: float | None = None
    """How far the cut-off is moved to see how stable a mask is."""
    mask_threshold: float | None = None
    """Where a value is above it, a pixel belongs to the mask."""


@dataclass
class MaskGenerationOutputElement:
    """`mask` is a PNG in base64."""

    mask: str
    score: float


@dataclass
class KeypointMatchingParameters:
    """Which pairs are told."""

    threshold: float | None = None
    """Pairs with a lower score are left out."""


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
    """What the answer is, and how it is drawn."""

    generation_mode: Literal["text", "image", "audio"] | None = None
    """What the model is to answer with."""
    generation_parameters: dict[str, Any] | None = None
    """How the answer is drawn."""
    max_new_tokens: int | None = None
    """At most so many tokens in the answer."""


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
    """How the answer is drawn."""
    max_new_tokens: int | None = None
    """At most so many tokens in the answer."""


@dataclass
class ImageFeatureExtractionParameters:
    """Vectors of what."""

    pool: bool | None = None
    """One vector of the whole picture in place of one for each part of it."""


@dataclass
class ZeroShotAudioClassificationParameters:
    """As for pictures."""

    candidate_labels: list[str]
    """The classes that a sound may belong to, in words."""
    hypothesis_template: str | None = None
    """The sentence that each label is put into, in place of its `{}`."""


@dataclass
class ZeroShotObjectDetectionParameters:
    """Hugging Face's own, and what its pipeline takes besides."""

    candidate_labels: list[str]
    """What to look for, in words."""
    threshold: float | None = None
    """Things with a lower score are left out."""
    top_k: int | None = None
    """At most so many things, the surest first."""


@dataclass
class NoParameters:
    """None at all."""
