"""The program of a child process that answers one task: see `inference.engines.program.Program`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference.engines.loading import Loading
from inference.engines.program import Call
from inference.errors import InvalidRequest, LoadFailed
from inference.requests import Media

from . import films, mixed, questions, sequences, sounds, spans, texts, views
from .kind import Kind, plain
from .origin import Origin

KINDS: Mapping[str, type[Kind]] = {
    "any-to-any": mixed.AnyToAny,
    "audio-classification": sounds.AudioClassification,
    "automatic-speech-recognition": sounds.SpeechRecognition,
    "depth-estimation": views.DepthEstimation,
    "document-question-answering": questions.DocumentQuestionAnswering,
    "feature-extraction": texts.Features,
    "fill-mask": texts.FillMask,
    "image-classification": views.ImageClassification,
    "image-feature-extraction": views.ImageFeatures,
    "image-segmentation": views.ImageSegmentation,
    "image-text-to-text": mixed.ImageTextToText,
    "image-to-image": views.ImageToImage,
    "image-to-text": mixed.ImageToText,
    "keypoint-matching": views.KeypointMatching,
    "mask-generation": views.MaskGeneration,
    "object-detection": views.ObjectDetection,
    "question-answering": spans.QuestionAnswering,
    "sentence-similarity": texts.SentenceSimilarity,
    "summarization": sequences.Summarization,
    "table-question-answering": questions.TableQuestionAnswering,
    "text-classification": texts.TextClassification,
    "text-to-audio": sounds.TextToAudio,
    "text-to-speech": sounds.TextToAudio,
    "text2text-generation": sequences.TextToText,
    "token-classification": texts.TokenClassification,
    "translation": sequences.Translation,
    "video-classification": films.VideoClassification,
    "visual-question-answering": questions.VisualQuestionAnswering,
    "zero-shot-audio-classification": sounds.ZeroShotAudioClassification,
    "zero-shot-classification": texts.ZeroShotClassification,
    "zero-shot-image-classification": views.ZeroShotImageClassification,
    "zero-shot-object-detection": views.ZeroShotObjectDetection,
}


class PipelineProgram:
    """One model for one task; `loading` are the fields of `Loading`."""

    def __init__(self, task: str, **loading: Any) -> None:
        if task not in KINDS:
            raise LoadFailed(f"There is no way here to run a model for {task}.")
        self._kind = KINDS[task](task, Origin(Loading(**loading)))

    def load(self) -> Mapping[str, Any]:
        """Load the model."""
        self._kind.load()
        return {"task": self._kind.task, **self._kind.facts()}

    def parts(self, call: Call) -> Sequence[Call] | None:
        """A list of inputs is as many calls, where the task takes lists."""
        many = isinstance(call.inputs, list) and self._kind.lists
        if not many and not self._kind.listed:
            return None
        inputs = call.inputs if many else [call.inputs]
        return [Call(call.task, each, call.parameters) for each in inputs]

    def size(self, call: Call) -> int:
        """Characters and bytes."""
        return _size(call.inputs)

    def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """One result each; those that ask for the same go through the model together."""
        results: list[Any] = [None] * len(calls)
        groups: dict[Any, list[tuple[int, Any]]] = {}
        for i, call in enumerate(calls):
            try:
                read = self._kind.read(call)
            except Exception as error:
                results[i] = told(error)
                continue
            key = self._kind.key(call) if self._kind.together else i
            groups.setdefault(key, []).append((i, read))
        for group in groups.values():
            self._answer(group, calls, results)
        return results

    def _answer(
        self, group: list[tuple[int, Any]], calls: Sequence[Call], results: list[Any]
    ) -> None:
        """Fill in the results of calls that go together; each by itself where that fails."""
        places = [i for i, _ in group]
        try:
            options = self._kind.options(calls[places[0]])
            found = self._kind.ask([read for _, read in group], options)
            for i, result in zip(places, found, strict=True):
                results[i] = plain(self._kind.write(result, calls[i]))
        except Exception as error:
            if _is_memory(error):
                raise
            if len(group) == 1:
                results[places[0]] = told(error)
                return
            for each in group:
                self._answer([each], calls, results)


def told(error: Exception) -> Exception:
    """The error as its caller is told it: what transformers calls a bad value is the caller's."""
    from transformers.pipelines import PipelineException

    if _is_memory(error):
        raise error
    if isinstance(error, ValueError | PipelineException):
        return InvalidRequest(f"The model cannot take this: {error}"[:300], None)
    return error


def _is_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Media):
        return len(value.data)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 1
