"""One model for each task, made here: random weights, real processors and tokenizers.

`python -m tests.tiny_tasks TASK FOLDER` writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests import tiny_model

from . import sound_models, text_models, view_models

WRITERS: Mapping[str, Callable[[Path], None]] = {
    "any-to-any": tiny_model.write,
    "audio-classification": sound_models.audio_classification,
    "automatic-speech-recognition": sound_models.letters,
    "depth-estimation": view_models.depth,
    "document-question-answering": text_models.pages,
    "feature-extraction": text_models.features,
    "fill-mask": text_models.fill_mask,
    "image-classification": view_models.image_classification,
    "image-feature-extraction": view_models.image_features,
    "image-segmentation": view_models.segmentation,
    "image-text-to-text": tiny_model.write,
    "image-to-image": view_models.upscaling,
    "image-to-text": view_models.captions,
    "keypoint-matching": view_models.matching,
    "mask-generation": view_models.masks,
    "object-detection": view_models.detection,
    "question-answering": text_models.question_answering,
    "sentence-similarity": text_models.features,
    "summarization": text_models.sequences,
    "table-question-answering": text_models.table,
    "text-classification": text_models.text_classification,
    "text-to-audio": sound_models.speech,
    "text-to-speech": sound_models.speech,
    "text2text-generation": text_models.sequences,
    "token-classification": text_models.token_classification,
    "translation": text_models.sequences,
    "video-classification": view_models.films,
    "visual-question-answering": view_models.visual_questions,
    "zero-shot-audio-classification": sound_models.clap,
    "zero-shot-classification": text_models.zero_shot,
    "zero-shot-image-classification": view_models.clip,
    "zero-shot-object-detection": view_models.zero_shot_detection,
}


def write(task: str, folder: Path) -> Path:
    """Write the model of this task; the folder."""
    import torch

    torch.manual_seed(0)
    WRITERS[task](folder)
    return folder
