"""What each task takes: the shape of its inputs, and the dataclass of its parameters.

The dataclasses are those that `huggingface_hub` generates from the Hub's own schemas.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from . import types as ours

# What a body holds under `inputs`.
Inputs = Literal["text", "picture", "sound", "film", "fields", "pictures", "messages"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One task. `fields` name what is inside of inputs that are an object, and which of them are
    pictures. `flat`: its parameters may stand beside `inputs` as well."""

    inputs: Inputs
    parameters: str
    output: str = ""
    fields: tuple[str, ...] = ()
    flat: bool = False


PAGE = ("image", "question")
KINDS: Mapping[str, Kind] = {
    "any-to-any": Kind("messages", "AnyToAnyParameters", "AnyToAnyOutputElement"),
    "audio-classification": Kind(
        "sound", "AudioClassificationParameters", "AudioClassificationOutputElement"
    ),
    "automatic-speech-recognition": Kind(
        "sound", "AutomaticSpeechRecognitionParameters", "AutomaticSpeechRecognitionOutput"
    ),
    "depth-estimation": Kind("picture", "NoParameters", "DepthEstimationOutput"),
    "document-question-answering": Kind(
        "fields",
        "DocumentQuestionAnsweringParameters",
        "DocumentQuestionAnsweringOutputElement",
        PAGE,
    ),
    "feature-extraction": Kind("text", "FeatureExtractionInput", flat=True),
    "fill-mask": Kind("text", "FillMaskParameters", "FillMaskOutputElement"),
    "image-classification": Kind(
        "picture", "ImageClassificationParameters", "ImageClassificationOutputElement"
    ),
    "image-feature-extraction": Kind("picture", "ImageFeatureExtractionParameters"),
    "image-segmentation": Kind(
        "picture", "ImageSegmentationParameters", "ImageSegmentationOutputElement"
    ),
    "image-text-to-text": Kind("messages", "ImageTextToTextParameters", "ImageToTextOutput"),
    "image-to-image": Kind("picture", "NoParameters"),
    "image-to-text": Kind("picture", "ImageToTextParameters", "ImageToTextOutput"),
    "keypoint-matching": Kind(
        "pictures", "KeypointMatchingParameters", "KeypointMatchingOutputElement"
    ),
    "mask-generation": Kind("picture", "MaskGenerationParameters", "MaskGenerationOutputElement"),
    "object-detection": Kind(
        "picture", "ObjectDetectionParameters", "ObjectDetectionOutputElement"
    ),
    "question-answering": Kind(
        "fields",
        "QuestionAnsweringParameters",
        "QuestionAnsweringOutputElement",
        ("question", "context"),
    ),
    "sentence-similarity": Kind("fields", "NoParameters", fields=("source_sentence", "sentences")),
    "summarization": Kind("text", "SummarizationParameters", "SummarizationOutput"),
    "table-question-answering": Kind(
        "fields",
        "TableQuestionAnsweringParameters",
        "TableQuestionAnsweringOutputElement",
        ("query", "table"),
    ),
    "text-classification": Kind(
        "text", "TextClassificationParameters", "TextClassificationOutputElement"
    ),
    "text-to-audio": Kind("text", "TextToAudioParameters", "TextToAudioOutput"),
    "text-to-speech": Kind("text", "TextToSpeechParameters", "TextToSpeechOutput"),
    "text2text-generation": Kind(
        "text", "Text2TextGenerationParameters", "Text2TextGenerationOutput"
    ),
    "token-classification": Kind(
        "text", "TokenClassificationParameters", "TokenClassificationOutputElement"
    ),
    "translation": Kind("text", "TranslationParameters", "TranslationOutput"),
    "video-classification": Kind(
        "film", "VideoClassificationParameters", "VideoClassificationOutputElement"
    ),
    "visual-question-answering": Kind(
        "fields",
        "VisualQuestionAnsweringParameters",
        "VisualQuestionAnsweringOutputElement",
        PAGE,
    ),
    "zero-shot-audio-classification": Kind(
        "sound", "ZeroShotAudioClassificationParameters", "ZeroShotImageClassificationOutputElement"
    ),
    "zero-shot-classification": Kind(
        "text", "ZeroShotClassificationParameters", "ZeroShotClassificationOutputElement"
    ),
    "zero-shot-image-classification": Kind(
        "picture",
        "ZeroShotImageClassificationParameters",
        "ZeroShotImageClassificationOutputElement",
    ),
    "zero-shot-object-detection": Kind(
        "picture", "ZeroShotObjectDetectionParameters", "ZeroShotObjectDetectionOutputElement"
    ),
}
# Models that write and embed, served by other engines too.
TEXT_GENERATION = Kind("text", "TextGenerationInputGenerateParameters", "TextGenerationOutput")
# The input's own fields, where parameters stand beside them.
NOT_PARAMETERS = frozenset({"inputs"})
# Parameters that other text models' tasks call `generate_parameters` are these of speech.
GENERATION = "TextToAudioGenerationParameters"
# The client of Hugging Face sends these at the top of a speech's parameters.
SPEECH = ("text-to-audio", "text-to-speech")
# Of fields that the Hub's own schemas say nothing of.
NOTES: Mapping[str, str] = {
    "grammar": "What the text has to follow: a JSON Schema or a regular expression.",
    "normalize": "Whether vectors are brought to length 1.",
    "truncate": "Whether texts that are too long for the model are cut; else they are refused.",
    "truncation_direction": "At which end texts that are too long are cut.",
}
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@cache
def of_name(name: str) -> type:
    """A dataclass by its name: ours, or else `huggingface_hub`'s."""
    if hasattr(ours, name):
        found: type = getattr(ours, name)
        return found
    from huggingface_hub.inference._generated import types as generated

    found = getattr(generated, name)
    return found


@cache
def fields_of(name: str) -> Mapping[str, tuple[Any, bool]]:
    """The fields of a dataclass: type, and whether it must be given."""
    cls = of_name(name)
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]))
    return {
        field.name: (hints[field.name], field.default is dataclasses.MISSING)
        for field in dataclasses.fields(cls)
        if field.name not in NOT_PARAMETERS
    }


@cache
def notes_of(name: str) -> Mapping[str, str]:
    """What the text under each field of a dataclass says of it, without its links."""
    tree = ast.parse(inspect.getsource(of_name(name)))
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    found = {}
    for field, note in zip(body, body[1:], strict=False):
        match field, note:
            case (
                ast.AnnAssign(target=ast.Name(id=field_name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[field_name] = " ".join(LINK.sub(r"\1", text).split())
    return {each: NOTES[each] for each in fields_of(name) if each in NOTES} | found


@cache
def parameters_of(task: str) -> Mapping[str, tuple[Any, bool]]:
    """The parameters of a task."""
    return {name: field for each in classes_of(task) for name, field in fields_of(each).items()}


@cache
def parameter_notes_of(task: str) -> Mapping[str, str]:
    """What is said of each of them."""
    return {name: note for each in classes_of(task) for name, note in notes_of(each).items()}


def classes_of(task: str) -> tuple[str, ...]:
    """The dataclasses that have the parameters of a task."""
    kind = TEXT_GENERATION if task == "text-generation" else KINDS[task]
    return (kind.parameters, GENERATION) if task in SPEECH else (kind.parameters,)
