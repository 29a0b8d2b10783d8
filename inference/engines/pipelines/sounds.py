"""Tasks that hear or speak."""

from __future__ import annotations

from typing import Any

from inference.engines.program import Call
from inference.errors import UnsupportedParameter

from . import media
from .kind import PipelineKind, labels, ranked, sampled, template, text

# Whisper reads so much at once; longer sounds go through it piece by piece.
WINDOW_SECONDS = 30.0
DEFAULT_LABELS = 5
GENERATION = "generation_parameters"
# What a model of many languages is told besides.
WORDS = ("language", "task")


class SoundKind(PipelineKind):
    """A sound goes in; one at a time, because some models hear what fills up a shorter one."""

    together = False

    @property
    def rate(self) -> int:
        """Samples a second that the model takes."""
        return int(self.pipe.feature_extractor.sampling_rate)

    def read(self, call: Call) -> Any:
        return media.sound(call.inputs, self.rate)


class AudioClassification(SoundKind):
    """[{label, score}, …]"""

    def options(self, call: Call) -> dict[str, Any]:
        return {"top_k": DEFAULT_LABELS, **call.parameters}

    def write(self, result: Any, call: Call) -> Any:
        return ranked(result)


class ZeroShotAudioClassification(SoundKind):
    """[{label, score}, …]"""

    def read(self, call: Call) -> Any:
        labels(call)
        template(call)
        return super().read(call)


class SpeechRecognition(SoundKind):
    """{text}, and with `return_timestamps` chunks of {text, timestamp}."""

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> Any:
        [samples] = inputs
        long = len(samples) > WINDOW_SECONDS * self.rate
        return super().ask(inputs, self._timed(options, long))

    def options(self, call: Call) -> dict[str, Any]:
        found = {k: v for k, v in call.parameters.items() if k not in (GENERATION, *WORDS)}
        said = {k: call.parameters[k] for k in WORDS if k in call.parameters}
        if said and self.pipe.type != "seq2seq_whisper":
            name = "model" if "task" in said else "language"
            reason = "This model writes what it hears, in the one way that it was trained for."
            raise UnsupportedParameter(reason, name)
        return found | {"generate_kwargs": sampled(call.parameters, GENERATION) | said}

    def write(self, result: Any, call: Call) -> Any:
        if not call.parameters.get("return_timestamps"):
            return {"text": result["text"]}
        chunks = [
            {"text": each["text"], "timestamp": list(each["timestamp"])}
            for each in result.get("chunks", ())
        ]
        return {"text": result["text"], "chunks": chunks}

    def _timed(self, options: dict[str, Any], long: bool) -> dict[str, Any]:
        """Whisper needs its time marks to read on; others are given pieces that overlap."""
        wanted = options.pop("return_timestamps", None)
        more: dict[str, Any] = {}
        if self.pipe.type == "seq2seq_whisper":
            more = {"return_timestamps": True} if wanted or long else {}
        elif self.pipe.type == "ctc":
            more = {"return_timestamps": "word"} if wanted else {}
            more |= {"chunk_length_s": WINDOW_SECONDS} if long else {}
            options.pop("generate_kwargs")
        elif wanted:
            more = {"return_timestamps": wanted}
        return options | more


class TextToAudio(PipelineKind):
    """A sound."""

    together = False
    name = "text-to-audio"

    def read(self, call: Call) -> Any:
        return text(call.inputs)

    def options(self, call: Call) -> dict[str, Any]:
        given = {k: v for k, v in call.parameters.items() if k not in (GENERATION, "format")}
        chosen = sampled({GENERATION: given | (call.parameters.get(GENERATION) or {})}, GENERATION)
        found: dict[str, Any] = {"generate_kwargs": chosen} if chosen else {}
        if self.pipe.model.config.model_type == "speecht5":
            found["forward_params"] = {"speaker_embeddings": self._nobody()}
        return found

    def write(self, result: Any, call: Call) -> Any:
        form = call.parameters.get("format", "wav")
        return media.written(result["audio"], int(result["sampling_rate"]), form)

    def _nobody(self) -> Any:
        """SpeechT5 speaks in somebody's voice; this is the middle of all of them."""
        import torch

        model = self.pipe.model
        return torch.zeros(1, model.config.speaker_embedding_dim, device=model.device)
