"""What a model of each task can be asked for, and how to see that it answers."""

from __future__ import annotations

from collections.abc import Mapping

from inference import samples
from inference.catalogue import PIPELINE_TASKS, ModelCard
from inference.errors import UnsupportedParameter
from inference.requests import (
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    Question,
    SamplingParams,
    ScoreRequest,
    TaskRequest,
    TokenizeRequest,
)

TOKENS = (TokenizeRequest, DetokenizeRequest)
ANSWERS: Mapping[str, tuple[type[Question], ...]] = {
    "text-generation": (GenerateRequest, *TOKENS),
    # Two texts are as near as their vectors are.
    "embedding": (EmbedRequest, ScoreRequest, *TOKENS),
    "rerank": (ScoreRequest, *TOKENS),
    **dict.fromkeys(PIPELINE_TASKS, (TaskRequest,)),
    "custom": (TaskRequest,),
}
# In the words of the API's routes.
CAPABILITIES: Mapping[type[Question], tuple[str, ...]] = {
    GenerateRequest: ("chat.completions", "completions"),
    EmbedRequest: ("embeddings",),
    ScoreRequest: ("rerank", "score"),
    TokenizeRequest: ("tokenize",),
    DetokenizeRequest: ("detokenize",),
    TaskRequest: ("hf",),
}
# Tasks that OpenAI has routes for too.
ALSO: Mapping[str, tuple[str, ...]] = {
    "automatic-speech-recognition": ("audio.transcriptions", "audio.translations"),
    "text-to-audio": ("audio.speech",),
    "text-to-speech": ("audio.speech",),
}


def capabilities(card: ModelCard) -> tuple[str, ...]:
    """What the model of this card may be asked for."""
    words = (word for kind in answers(card) for word in CAPABILITIES[kind])
    return (*words, *ALSO.get(card.task, ()))


def answers(card: ModelCard) -> tuple[type[Question], ...]:
    """The questions that the model of this card answers."""
    kinds = ANSWERS[card.task]
    # Somebody's own code has no tokens to speak of.
    return tuple(kind for kind in kinds if card.engine != "custom" or kind not in TOKENS)


def check(card: ModelCard, request: Question) -> None:
    """Raise UnsupportedParameter for a request that no model of the card's task answers."""
    if type(request) not in answers(card):
        asked = " or ".join(CAPABILITIES[type(request)])
        message = f"The model `{card.id}` is for {card.task}; it cannot be asked for {asked}."
        raise UnsupportedParameter(message, "model")
    if isinstance(request, TaskRequest) and request.task != card.task:
        message = (
            f"The model `{card.id}` is for {card.task}; it cannot be asked for {request.task}."
        )
        raise UnsupportedParameter(message, "model")


def probe(card: ModelCard) -> Question | None:
    """The least that shows that a loaded model answers; None where nothing is known of it."""
    if card.engine == "custom" or card.task == "custom":
        return None
    if card.task in PIPELINE_TASKS:
        inputs, parameters = samples.sample(card.task)
        return TaskRequest(
            model=card.id, task=card.task, inputs=inputs, parameters=parameters, account="probe"
        )
    if card.task == "embedding":
        return EmbedRequest(model=card.id, inputs=("Hello",), account="probe")
    if card.task == "rerank":
        pair = ("Hello",)
        return ScoreRequest(model=card.id, queries=pair, documents=pair, account="probe")
    sampling = SamplingParams(max_tokens=1)
    return GenerateRequest(model=card.id, prompt="Hello", sampling=sampling, account="probe")
