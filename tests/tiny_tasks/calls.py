"""What to ask each tiny model, and what an answer to it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from inference.engines.program import Call
from inference.requests import Media

from . import samples

TEXT = "the cat says paris is good."
OTHERS = ("a dog", "who is in the red house? berlin and paris, says the good dog.")
LABELS = {"candidate_labels": ["cat", "dog", "house"]}
BOXES = [["paris", [10, 10, 50, 20]], ["is", [60, 10, 70, 20]], ["red", [80, 10, 90, 20]]]
TABLE = {"name": ["cat", "dog"], "age": ["1", "2"]}


def png(seed: int = 1) -> Media:
    return Media(samples.picture(seed), "image/png")


def tone(seconds: float = 0.4, pitch: int = 440) -> Media:
    return Media(samples.sound(seconds, pitch=pitch), "audio/wav")


@cache
def film() -> Media:
    return Media(samples.film(), "video/mp4")


def chat(picture: Media) -> list[dict[str, Any]]:
    parts = [{"type": "image", "image": picture}, {"type": "text", "text": "what is this"}]
    return [{"role": "user", "content": parts}]


@cache
def calls() -> Mapping[str, list[Call]]:
    """Some calls for each task, all of them with the same parameters."""
    texts = (TEXT, *OTHERS)
    views = (png(1), png(2), png(3))
    sounds = (tone(), tone(0.3, 300))
    asked: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "any-to-any": ([chat(png())], {"max_new_tokens": 4}),
        "audio-classification": ([*sounds], {"top_k": 2}),
        "automatic-speech-recognition": ([*sounds], {"return_timestamps": True}),
        "depth-estimation": ([*views], {}),
        "document-question-answering": (
            [{"image": png(), "question": "what is red?"}],
            {"word_boxes": BOXES},
        ),
        "feature-extraction": ([*texts], {}),
        "fill-mask": ([f"{text} [MASK]" for text in texts], {"top_k": 3}),
        "image-classification": ([*views], {}),
        "image-feature-extraction": ([*views], {}),
        "image-segmentation": ([*views], {}),
        "image-text-to-text": ([chat(png(i)) for i in (1, 2)], {"max_new_tokens": 4}),
        "image-to-image": ([*views], {}),
        "image-to-text": ([*views], {"max_new_tokens": 4}),
        "keypoint-matching": ([[png(1), png(2)]], {}),
        "mask-generation": ([png()], {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}),
        "object-detection": ([*views], {"threshold": 0.0}),
        "question-answering": (
            [{"question": "who is good?", "context": text * n} for n, text in enumerate(texts, 1)],
            {"top_k": 2},
        ),
        "sentence-similarity": ([{"source_sentence": TEXT, "sentences": [*OTHERS, TEXT]}], {}),
        "summarization": ([*texts], {"generate_parameters": {"max_new_tokens": 4}}),
        "table-question-answering": ([{"query": "how many cat", "table": TABLE}], {}),
        "text-classification": ([*texts], {"top_k": 2}),
        "text-to-audio": (["hello"], {}),
        "text-to-speech": (["hello"], {}),
        "text2text-generation": ([*texts], {}),
        "token-classification": ([*texts], {"aggregation_strategy": "none"}),
        "translation": ([*texts], {}),
        "video-classification": ([film()], {"top_k": 2}),
        "visual-question-answering": (
            [{"image": png(i), "question": "what is red?"} for i in (1, 2)],
            {"top_k": 2},
        ),
        "zero-shot-audio-classification": ([*sounds], LABELS),
        "zero-shot-classification": ([*texts], {**LABELS, "multi_label": True}),
        "zero-shot-image-classification": ([*views], LABELS),
        "zero-shot-object-detection": ([*views], {**LABELS, "threshold": 0.0}),
    }
    return {
        task: [Call(task, each, parameters) for each in inputs]
        for task, (inputs, parameters) in asked.items()
    }


LABELLED = [{"label", "score"}]
SHAPES: Mapping[str, Any] = {
    "any-to-any": [{"generated_text"}],
    "audio-classification": LABELLED,
    "automatic-speech-recognition": {"text", "chunks"},
    "depth-estimation": {"depth", "predicted_depth"},
    "document-question-answering": [{"answer", "score", "start", "end"}],
    "fill-mask": [{"score", "sequence", "token", "token_str"}],
    "image-classification": LABELLED,
    "image-segmentation": [{"label", "score", "mask"}],
    "image-text-to-text": [{"generated_text"}],
    "image-to-text": [{"generated_text"}],
    "keypoint-matching": [{"keypoint_image_0", "keypoint_image_1", "score"}],
    "mask-generation": [{"mask", "score"}],
    "object-detection": [{"label", "score", "box"}],
    "question-answering": [{"answer", "score", "start", "end"}],
    "summarization": [{"summary_text"}],
    "table-question-answering": {"answer", "cells", "coordinates", "aggregator"},
    "text-classification": [LABELLED],
    "text2text-generation": [{"generated_text"}],
    "token-classification": [{"entity", "score", "index", "word", "start", "end"}],
    "translation": [{"translation_text"}],
    "video-classification": LABELLED,
    "visual-question-answering": [{"answer", "score"}],
    "zero-shot-audio-classification": LABELLED,
    "zero-shot-classification": LABELLED,
    "zero-shot-image-classification": LABELLED,
    "zero-shot-object-detection": [{"label", "score", "box"}],
}
