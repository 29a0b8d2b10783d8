"""What holds where a parameter of a task is left out, as far as that is the same for all models.

Most are those of transformers' pipelines, with which `tests/playground/test_parameters.py` compares
them; some are those of Hugging Face's own API, which `inference/engines/pipelines` follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABELS = {"top_k": 5}
ANSWERS = {"top_k": 1, "max_answer_len": 15, "handle_impossible_answer": False}

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "audio-classification": LABELS | {"function_to_apply": "softmax"},
    "automatic-speech-recognition": {"return_timestamps": False},
    "document-question-answering": ANSWERS,
    "feature-extraction": {"truncate": False, "truncation_direction": "right"},
    "fill-mask": LABELS,
    "image-classification": LABELS,
    "image-segmentation": {
        "mask_threshold": 0.5,
        "overlap_mask_area_threshold": 0.5,
        "threshold": 0.9,
    },
    "keypoint-matching": {"threshold": 0.0},
    "mask-generation": {
        "crop_n_points_downscale_factor": 1,
        "crops_n_layers": 0,
        "crops_nms_thresh": 0.7,
        "mask_threshold": 0,
        "points_per_batch": 64,
        "points_per_crop": 32,
        "pred_iou_thresh": 0.88,
        "stability_score_offset": 1,
        "stability_score_thresh": 0.95,
    },
    "object-detection": {"threshold": 0.5},
    "question-answering": ANSWERS
    | {"align_to_words": True, "max_question_len": 64, "max_seq_len": 384},
    "table-question-answering": {"sequential": False},
    "text-classification": LABELS,
    "token-classification": {"aggregation_strategy": "simple"},
    "video-classification": LABELS | {"frame_sampling_rate": 1, "function_to_apply": "softmax"},
    "visual-question-answering": LABELS,
    "zero-shot-audio-classification": {"hypothesis_template": "This is a sound of {}."},
    "zero-shot-classification": {
        "hypothesis_template": "This example is {}.",
        "multi_label": False,
    },
    "zero-shot-image-classification": {"hypothesis_template": "This is a photo of {}."},
    "zero-shot-object-detection": {"threshold": 0.1},
}
